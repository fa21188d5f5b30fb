"""JSON-RPC 2.0 batches: build, send by a transport that is passed in, check the answers.

Errors say whether the range was too large, the node asks to slow down, or it failed; messages of nodes
are kept short and never carry the URL, which may hold a key.
"""

import itertools
import json
import re
from typing import NamedTuple

_TOO_LARGE = re.compile(
    r"too (large|many|big|wide)|range|limit exceeded|more than \d+|exceed|max(imum)? (block|results?)|response size",
    re.IGNORECASE,
)
_SLOW_DOWN = re.compile(r"rate.?limit|too many requests|capacity|quota|throttl|slow down", re.IGNORECASE)
_URL = re.compile(r"\b\w+://\S+")
_SECRET = re.compile(r"[0-9A-Za-z_-]{24,}")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
DEPTH_MAX = 64  # a block with its transactions takes five
#: Bytes of one request: nodes refuse more than some two million, which 14,000 open addresses reach.
BODY_MAX = 1_800_000


class Call(NamedTuple):
    """One call of a batch."""

    method: str
    params: list


class RpcError(Exception):
    """A node's failure. ``kind``: transport, http, protocol, too_large, slow_down or refused."""

    def __init__(self, kind, message="", retry_after=0):
        super().__init__(f"{kind}: {scrub(message)}")
        self.kind = kind
        self.retry_after = retry_after


def scrub(message) -> str:
    """Return a node's message cut short, without addresses of hosts, long keys and what no database stores."""
    text = "".join(char if char.isprintable() else " " for char in str(message)[:2000])
    text = _URL.sub("[address]", text)
    return _SECRET.sub(lambda found: found[0] if found[0].startswith("0x") else "[…]", text)[:200]


def encode(calls) -> bytes:
    """Return the body of a batch; the answers are matched by position."""
    body = [
        {"jsonrpc": "2.0", "id": index, "method": call.method, "params": call.params}
        for index, call in enumerate(calls)
    ]
    return json.dumps(body, separators=(",", ":")).encode()


def split(calls) -> list[list[Call]]:
    """Return calls in parts, each of which is a request that nodes take."""
    parts, size = [], BODY_MAX
    for call in calls:
        length = len(encode([call]))
        if size + length > BODY_MAX:
            parts.append([])
            size = 0
        parts[-1].append(call)
        size += length
    return parts


def classify(error) -> RpcError:
    """Turn a JSON-RPC error object into a named error."""
    if not isinstance(error, dict):
        return RpcError("protocol", "error without an object")
    message = str(error.get("message", ""))
    code = error.get("code")
    if (code == -32005 and not _TOO_LARGE.search(message)) or code == 429 or _SLOW_DOWN.search(message):
        return RpcError("slow_down", message)
    if code == -32005 or _TOO_LARGE.search(message):
        return RpcError("too_large", message)
    return RpcError("refused", message)


def _get_depth(text: str) -> int:
    """Return how deeply lists and objects are nested; a parser runs out of stack where a node nests enough."""
    brackets = _BRACKET.findall(_STRING.sub("", text))
    return max(itertools.accumulate(1 if bracket in "[{" else -1 for bracket in brackets), default=0)


def decode(body: bytes, count: int) -> list:
    """Read the answers of a batch, in the order of its calls.

    An element is the result, or an :class:`RpcError` when that call was refused.

    :raise RpcError: if the whole answer is an error or is not a complete batch answer.
    """
    try:
        text = body.decode()
        if _get_depth(text) > DEPTH_MAX:
            raise RpcError("protocol", "the answer is nested too deeply")
        answers = json.loads(text)
    except ValueError:
        raise RpcError("protocol", "the answer is not JSON") from None
    if isinstance(answers, dict) and "error" in answers:
        raise classify(answers["error"])
    if not isinstance(answers, list) or len(answers) != count:
        raise RpcError("protocol", "the answer is not the whole batch")
    by_id = {str(answer.get("id")): answer for answer in answers if isinstance(answer, dict)}
    if set(by_id) != set(map(str, range(count))):
        raise RpcError("protocol", "the answers do not belong to the calls")
    return [_result(by_id[str(index)]) for index in range(count)]


def _result(answer):
    if answer.get("error") is not None:
        return classify(answer["error"])
    return answer.get("result") if "result" in answer else RpcError("protocol", "no result")


class Client:
    """Sends batches. ``transport(body) -> bytes`` does the network and raises :class:`RpcError`."""

    def __init__(self, transport):
        self._transport = transport
        self.requests = 0
        self.calls = 0

    def batch(self, calls) -> list:
        """Send several calls as one request, or as few as a node takes; an answer may be an :class:`RpcError`."""
        answers = []
        for part in split(calls):
            self.requests += 1
            self.calls += len(part)
            answers += decode(self._transport(encode(part)), len(part))
        return answers

    def batch_strict(self, calls) -> list:
        """Send several calls.

        :raise RpcError: the first refused call's error.
        """
        answers = self.batch(calls)
        for answer in answers:
            if isinstance(answer, RpcError):
                raise answer
        return answers
