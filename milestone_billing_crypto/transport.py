"""The only place that talks to a node over the network.

The name is resolved once and the connection goes to that very address, so that a name which answers
differently the second time cannot lead inside. No redirects, no proxy, no cookies; time and size are capped.
"""

import socket
import time

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from .const import NODE_ANSWER_MAX, NODE_ANSWER_SECONDS, NODE_TIMEOUT
from .tools.json_rpc import RpcError
from .tools.url_guard import choose_ip, parse

_CHUNK = 64 * 1024


class _PinnedAdapter(HTTPAdapter):
    """Connects to the address in the URL, but asks and checks the certificate for the host's name."""

    def __init__(self, host):
        self._host = host
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args, **kwargs):
        """Override of `requests` to name the host in the TLS handshake."""
        return super().init_poolmanager(
            *args, server_hostname=self._host, assert_hostname=self._host, **kwargs
        )


def resolve(host, port):
    """Return all IP addresses of a host."""
    try:
        infos = socket.getaddrinfo(host, port, proto=socket.IPPROTO_TCP)
    except OSError:
        return []
    return list(dict.fromkeys(info[4][0] for info in infos))


def build_transport(url, allowed_origins=(), verify=True, timeout=NODE_TIMEOUT, answer_max=NODE_ANSWER_MAX):
    """Return a function that posts a body to the node and returns the answer's body.

    :param str url: the node's URL; it may hold a key and is never put into an error.
    :param allowed_origins: ``host:port`` texts which the administrator allows although they are private.
    :raise UrlError: if the URL is refused.
    """
    target = parse(url)
    ip = choose_ip(target, resolve(target.host, target.port), set(allowed_origins))
    session = requests.Session()
    session.trust_env = False
    if target.scheme == "https":
        session.mount("https://", _PinnedAdapter(target.host))
    place = f"[{ip}]" if ":" in ip else ip
    pinned = f"{target.scheme}://{place}:{target.port}{target.path}"
    headers = {"Host": target.origin, "Content-Type": "application/json", "Accept-Encoding": "gzip"}

    def post(body):
        try:
            with session.post(
                pinned,
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
    if response.status_code in (429, 503):
        wait = response.headers.get("Retry-After", "")
        raise RpcError("slow_down", f"status {response.status_code}", int(wait) if wait.isdigit() else 0)
    if response.status_code == 413:
        raise RpcError("too_large", "status 413")
    if response.status_code != 200:
        raise RpcError("http", f"status {response.status_code}")
    parts, size, deadline = [], 0, time.monotonic() + NODE_ANSWER_SECONDS
    while chunk := response.raw.read1(_CHUNK, decode_content=True):  # what is there, without waiting for more
        size += len(chunk)
        if time.monotonic() > deadline:
            raise RpcError("transport", "the answer takes too long")
        if size > answer_max:
            raise RpcError("too_large", f"the answer is larger than {answer_max} bytes")
        parts.append(chunk)
    return b"".join(parts)
