"""Keep what a mail said, without the secret in it."""

from __future__ import annotations

from email.header import Header
from email.mime.text import MIMEText
from email.utils import parseaddr
from secrets import token_hex

BLANK = "***"


def make_copy(headers: dict[str, str], html: str, *secrets: str) -> str:
    """Return a mail as ASCII text in the format of mail files, its link secrets blanked and the blanking noted.

    A random header keeps its hash from being a guess at an address.

    :param dict headers: From, To, Subject, Date, Message-Id as they were queued.
    :param str html: body as it was queued.
    :param str secrets: of the links in it; blanked wherever they stand.
    """
    message = MIMEText(_blank(str(html), secrets), "html", "utf-8")
    for name, value in headers.items():
        message[name] = _encode(_blank(str(value or ""), secrets))
    message["X-Evidence-Copy"] = f"link secrets blanked as {BLANK}"
    message["X-Evidence-Nonce"] = token_hex(16)
    return message.as_string()


def _blank(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, BLANK)
    return text


def _encode(value: str) -> str:
    text = " ".join(value.split())
    if text.isascii():
        return text
    name, address = parseaddr(text)
    if "@" in address and address.isascii():
        return f"{Header(name, 'utf-8').encode()} <{address}>"
    return Header(text, "utf-8").encode()
