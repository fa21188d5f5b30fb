"""The only place of this addon that talks to an address which a user typed.

The name is resolved once and the connection goes to that very address, so that a name which answers
differently the second time cannot lead inside. No redirects, no proxy, no cookies, no answer is kept.
"""

import socket

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
    target = parse(url)
    ip = choose_ip(target, resolve(target.host, target.port), set(allowed_origins))
    place = f"[{ip}]" if ":" in ip else ip
    with requests.Session() as session:
        session.trust_env = False
        if target.scheme == "https":
            session.mount("https://", _PinnedAdapter(target.host))
        with session.post(
            f"{target.scheme}://{place}:{target.port}{target.path}",
            data=body,
            headers={**headers, "Host": target.origin},
            timeout=TIMEOUT_S,
            allow_redirects=False,
            stream=True,
        ) as response:
            return response.status_code
