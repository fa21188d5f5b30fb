"""The only place that talks to an address which a user typed; other addons begin here too.

The name is resolved once and the connection goes to that very address, so that a name which answers
differently the second time cannot lead inside. No redirects, no proxy, no cookies; an answer is read only where it is
asked for, up to a size and within a time.
"""

import contextlib
import socket
import threading
import time
from typing import NamedTuple

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from .tools.url_guard import choose_ip, parse

TIMEOUT_S = 10
ANSWER_SECONDS_MAX = 20
#: Seconds for status and headers altogether: a timeout is for each read, and one byte may come just before it.
HEAD_SECONDS_MAX = 30
_CHUNK = 16 * 1024


class _Hurried:
    """A connection that hangs up when status and headers take too long."""

    def getresponse(self):
        """Override of `urllib3` to bound the time of the whole head."""
        late = threading.Event()
        timer = threading.Timer(HEAD_SECONDS_MAX, self._hang_up, [late])
        timer.daemon = True
        timer.start()
        try:
            response = super().getresponse()
        finally:
            timer.cancel()
        if late.is_set():
            raise TimeoutError(
                "status and headers take too long"
            )  # what came of them looks like a whole head
        return response

    def _hang_up(self, late):
        late.set()
        with contextlib.suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)


def _hurry(pool, path):
    """Give a kind of pool whose connections are hurried, and ask for a path that only they know."""

    def putrequest(self, method, url, *args, **kwargs):
        return super(connection, self).putrequest(method, path, *args, **kwargs)

    connection = type("_HurriedConnection", (_Hurried, pool.ConnectionCls), {"putrequest": putrequest})
    return type("_HurriedPool", (pool,), {"ConnectionCls": connection})


class _PinnedAdapter(HTTPAdapter):
    """Connects to the address in the URL, but asks and checks the certificate for the host's name.

    The path may hold a key: it is in no URL that the libraries see, for they log it and put it into errors.
    """

    def __init__(self, path, host=None):
        self._names = {"server_hostname": host, "assert_hostname": host} if host else {}
        pools = {"http": HTTPConnectionPool, "https": HTTPSConnectionPool}
        self._pools = {scheme: _hurry(pool, path) for scheme, pool in pools.items()}
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args, **kwargs):
        """Override of `requests` to name the host in the TLS handshake, and to be in a hurry."""
        manager = super().init_poolmanager(*args, **self._names, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools
        return manager


def resolve(host, port):
    """Return all IP addresses of a host."""
    try:
        infos = socket.getaddrinfo(host, port, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(info[4][0] for info in infos))


class Pinned(NamedTuple):
    """Where to send to: a session that knows the path, the URL with the checked IP address, and the host's name."""

    session: requests.Session
    url: str
    origin: str


def pin(url, allowed_origins=(), is_plain_allowed=False):
    """Resolve and check an address once, and return what connects to the result and to nothing else.

    :param str url: typed by a user.
    :param allowed_origins: ``host:port`` texts that may be private and plain http.
    :param bool is_plain_allowed: plain http to a public address will do: nothing sent there is secret.
    :rtype: Pinned
    :raise UrlError: if the address is refused.
    """
    target = parse(url)
    ips = resolve(target.host, target.port)
    ip = choose_ip(target, ips, set(allowed_origins), is_plain_allowed)
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", _PinnedAdapter(target.path))
    session.mount("https://", _PinnedAdapter(target.path, target.host))
    place = f"[{ip}]" if ":" in ip else ip
    return Pinned(session, f"{target.scheme}://{place}:{target.port}/", target.origin)


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


class AnswerError(requests.RequestException):
    """An answer that is too large or takes too long."""


def ask(url, body, headers, answer_max, allowed_origins=()):
    """Post a body that holds no secret to a public address and read the answer.

    :param str url: typed by a user; plain http will do, so whoever asks must be able to check the answer itself.
    :param bytes body: what to send.
    :param int answer_max: bytes of the answer at most.
    :param allowed_origins: ``host:port`` texts that may be private.
    :return: the HTTP status and the bytes of the answer.
    :rtype: tuple[int, bytes]
    :raise UrlError: if the address is refused.
    :raise requests.RequestException: if there is no answer, or an `AnswerError`.
    """
    pinned = pin(url, allowed_origins, is_plain_allowed=True)
    headers = {**headers, "Host": pinned.origin, "Accept-Encoding": "identity"}
    options = {"timeout": TIMEOUT_S, "allow_redirects": False, "stream": True}
    with (
        pinned.session as session,
        session.post(pinned.url, data=body, headers=headers, **options) as response,
    ):
        return response.status_code, _read(response, answer_max)


def _read(response, answer_max):
    """Read what is there, without waiting for more: a slow sender cannot hold the connection beyond its time."""
    parts, size, deadline = [], 0, time.monotonic() + ANSWER_SECONDS_MAX
    try:
        while chunk := response.raw.read1(_CHUNK):
            size += len(chunk)
            if size > answer_max:
                raise AnswerError(f"the answer is larger than {answer_max} bytes")
            if time.monotonic() > deadline:
                raise AnswerError("the answer takes too long")
            parts.append(chunk)
    except (HTTPError, OSError) as error:
        if isinstance(error, requests.RequestException):
            raise
        raise AnswerError(type(error).__name__) from error
    return b"".join(parts)
