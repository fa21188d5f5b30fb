"""The only place that talks to an address which a user typed; other addons begin here too.

The name is resolved once and the connection goes to that very address, so that a name which answers
differently the second time cannot lead inside. No redirects, no proxy, no cookies, no answer is kept.
"""

import socket
from typing import NamedTuple

import requests
from requests.adapters import HTTPAdapter

from .tools.url_guard import choose_ip, parse

TIMEOUT_S = 10


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
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(info[4][0] for info in infos))


class Pinned(NamedTuple):
    """Where to send to: a session, the URL with the checked IP address, and what the host is called."""

    session: requests.Session
    url: str
    origin: str


def pin(url, allowed_origins=()):
    """Resolve and check an address once, and return what connects to the result and to nothing else.

    :param str url: typed by a user.
    :param allowed_origins: ``host:port`` texts that may be private and plain http.
    :rtype: Pinned
    :raise UrlError: if the address is refused.
    """
    target = parse(url)
    ip = choose_ip(target, resolve(target.host, target.port), set(allowed_origins))
    session = requests.Session()
    session.trust_env = False
    if target.scheme == "https":
        session.mount("https://", _PinnedAdapter(target.host))
    place = f"[{ip}]" if ":" in ip else ip
    return Pinned(session, f"{target.scheme}://{place}:{target.port}{target.path}", target.origin)


def post(url, body, headers, allowed_origins=()):
    """Post a body to a public https address.

    :param str url: typed by a user.
    :param bytes body: what to send.
    :param allowed_origins: ``host:port`` texts that may be private and plain http.
    :return: the HTTP status of the answer.
    :rtype: int
    :raise UrlError: if the address is refused.
    :raise requests.RequestException: if there is no answer.
    """
    pinned = pin(url, allowed_origins)
    with (
        pinned.session as session,
        session.post(
            pinned.url,
            data=body,
            headers={**headers, "Host": pinned.origin},
            timeout=TIMEOUT_S,
            allow_redirects=False,
            stream=True,
        ) as response,
    ):
        return response.status_code
