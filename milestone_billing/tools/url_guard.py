"""Which addresses a server may be sent to by a URL that a user typed (server-side request forgery)."""

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import urlsplit


class UrlError(ValueError):
    """The URL is refused; ``code`` tells why."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class Target(NamedTuple):
    """A checked URL in parts; ``path`` holds the query, which may hold a key."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self):
        """Return host and port, which are no secret."""
        return f"{self.host}:{self.port}"


def parse(url: str) -> Target:
    """Split and check a URL: http or https, no user, no fragment, a plain host name.

    :raise UrlError: ``scheme``, ``credentials``, ``host``, ``port`` or ``characters``.
    """
    url = (url or "").strip()
    if not re.fullmatch(r"[\x21-\x7e]{1,500}", url) or "\\" in url:
        raise UrlError("characters")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise UrlError("scheme")
    if "@" in parts.netloc or parts.fragment:
        raise UrlError("credentials")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise UrlError("port") from None
    host = (parts.hostname or "").rstrip(".")
    if not re.fullmatch(r"[0-9a-z.-]{1,253}|[0-9a-f:.]{2,45}", host):
        raise UrlError("host")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, path)


def is_public(ip: str) -> bool:
    """Tell whether an IP address may be reached: global, and not a mapped or tunnelled private one."""
    address = ipaddress.ip_address(ip)
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        if inner or address.is_site_local or address in ipaddress.ip_network("64:ff9b::/96"):
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def choose_ip(target: Target, ips, allowed_origins, is_plain_allowed=False) -> str:
    """Return the IP address to connect to.

    All answers of the name must be public, so that a name with one private address cannot be retried
    until it hits. A host and port which the server's administrator listed is allowed as it is. Plain
    http is for listed hosts only: a key in the URL must not travel in the clear.

    :param bool is_plain_allowed: nothing in the message is secret, and its answer is signed.
    :raise UrlError: ``unresolved``, ``private`` or ``plain_http``.
    """
    ips = list(ips)
    if not ips:
        raise UrlError("unresolved")
    if target.origin in allowed_origins:
        return ips[0]
    if not all(is_public(ip) for ip in ips):
        raise UrlError("private")
    if target.scheme != "https" and not is_plain_allowed:
        raise UrlError("plain_http")
    return ips[0]
