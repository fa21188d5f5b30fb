"""Talks JSON-RPC to a node: the core's pinned connection, with caps on size and time of the answer."""

import time

import requests
from odoo.addons.milestone_billing.transport import pin
from urllib3.exceptions import HTTPError

from .const import NODE_ANSWER_MAX, NODE_ANSWER_SECONDS, NODE_TIMEOUT
from .tools.json_rpc import RpcError

_CHUNK = 64 * 1024


def build_transport(url, allowed_origins=(), verify=True, timeout=NODE_TIMEOUT, answer_max=NODE_ANSWER_MAX):
    """Return a function that posts a body to the node and returns the answer's body.

    :param str url: the node's URL; it may hold a key and is never put into an error.
    :param allowed_origins: ``host:port`` texts which the administrator allows although they are private.
    :raise UrlError: if the URL is refused.
    """
    pinned = pin(url, allowed_origins)
    headers = {"Host": pinned.origin, "Content-Type": "application/json", "Accept-Encoding": "gzip"}

    def post(body):
        try:
            with pinned.session.post(
                pinned.url,
                data=body,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
                verify=verify,
                stream=True,
            ) as response:
                return _read(response, answer_max)
        except (requests.RequestException, HTTPError, OSError) as error:
            raise RpcError("transport", type(error).__name__) from None

    return post


def _read(response, answer_max):
    """Return the body of an answer, as long as it is small, plain or packed once, and quick.

    :raise RpcError: telling what the caller may do: wait, ask for less, or nothing.
    """
    if response.status_code in (429, 503):
        wait = response.headers.get("Retry-After", "")
        raise RpcError(
            "slow_down", f"status {response.status_code}", int(wait[:6]) if wait.isdecimal() else 0
        )
    if response.status_code == 413:
        raise RpcError("too_large", "status 413")
    if response.status_code != 200:
        raise RpcError("http", f"status {response.status_code}")
    if response.headers.get("Content-Encoding", "identity").lower() not in ("identity", "gzip"):
        raise RpcError(
            "protocol", "an encoding that was not asked for"
        )  # packed twice it would have no bounds
    parts, size, deadline = [], 0, time.monotonic() + NODE_ANSWER_SECONDS
    while chunk := response.raw.read1(_CHUNK, decode_content=True):  # what is there, without waiting for more
        size += len(chunk)
        if time.monotonic() > deadline:
            raise RpcError("transport", "the answer takes too long")
        if size > answer_max:
            raise RpcError("too_large", f"the answer is larger than {answer_max} bytes")
        parts.append(chunk)
    return b"".join(parts)
