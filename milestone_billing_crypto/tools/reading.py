"""Reading the next blocks of a network from one node: what to ask, and what of the answer may be believed.

A cycle is one batch: the chain ID, the newest block, what is known at the cursor, and already the logs and
headers of the blocks that should be there by now. Only when more or fewer are there does a second one follow.
"""

from typing import NamedTuple

from . import finality, transfer_log
from .address import to_topic
from .json_rpc import Call, RpcError
from .transfer_log import RangeError

#: Addresses in one filter: providers refuse more than some thousands of parameters.
ADDRESSES_PER_FILTER = 1000
#: Headers in one batch where many are read at once: common limit of hosted nodes.
CALLS_PER_BATCH = 100


class WrongNetworkError(ValueError):
    """The node answers for another network; ``got`` is its chain ID."""

    def __init__(self, got):
        super().__init__(f"chain ID {got}")
        self.got = got


class Snapshot(NamedTuple):
    """What a cycle starts from; ``expected`` is how many new blocks there should be since the cursor.

    ``known`` are the (block hash, log index) of what fresh addresses already received.
    """

    evm_id: int
    cursor: int
    hashes: dict
    tokens: dict
    addresses: list
    fresh: list = []
    fresh_blocks: int = 0
    known: frozenset = frozenset()
    head: int = 0
    expected: int = 0
    scan_lag: int = 0
    span_max: int = 1


class Reading(NamedTuple):
    """What a node said. ``kind``: ok, first, reorg, lagging, lost, error or stopped.

    ``finalized`` is 0 when the node has no finalized block, and None when it did not say.
    """

    kind: str
    head: int = 0
    finalized: int | None = None
    fork: int | None = None
    first: int = 0
    last: int = 0
    headers: dict = {}
    transfers: list = []
    older: dict = {}
    node_id: int = 0
    span: int = 0
    requests: int = 0
    calls: int = 0
    problem: str = ""


def block_call(number: int | str) -> Call:
    """Return the call for a block's header, by number or tag."""
    return Call("eth_getBlockByNumber", [hex(number) if isinstance(number, int) else number, False])


def log_calls(tokens, addresses, first: int, last: int | str) -> list[Call]:
    """Return the filters of a range, for money that comes in and money that goes out.

    :param last: a block number, or ``latest``.
    """
    if not addresses or not tokens:
        return []
    calls, addresses = [], list(addresses)
    end = hex(last) if isinstance(last, int) else last
    for start in range(0, len(addresses), ADDRESSES_PER_FILTER):
        topics = [to_topic(address) for address in addresses[start : start + ADDRESSES_PER_FILTER]]
        for places in ([None, topics], [topics]):
            query = {"fromBlock": hex(first), "toBlock": end, "address": list(tokens)}
            calls.append(Call("eth_getLogs", [{**query, "topics": [transfer_log.TRANSFER_TOPIC, *places]}]))
    return calls


def check_chain_id(answer, evm_id: int) -> None:
    """Refuse a node of another network.

    :raise WrongNetworkError: with what it said.
    """
    got = transfer_log.quantity(answer)
    if got != evm_id:
        raise WrongNetworkError(got)


class Range(NamedTuple):
    """A range of blocks, and the calls that ask for its logs (``count`` of them first) and headers."""

    first: int
    last: int
    is_open: bool
    calls: list
    count: int


class Reader:
    """Reads the next range from one node, in steps of at most ``span`` blocks."""

    def __init__(self, client, snapshot: Snapshot, span: int):
        self.client, self.snapshot, self.span = client, snapshot, max(1, span)

    def read_next(self) -> Reading:
        """Ask the node and return what may be applied.

        :raise RpcError: if the node fails.
        :raise RangeError: if it contradicts itself.
        :raise WrongNetworkError: if it is on another network.
        """
        newest = max(self.snapshot.hashes, default=None)
        calls = [Call("eth_chainId", []), block_call("latest"), block_call("finalized")]
        if newest is not None:
            calls.append(block_call(newest))
        guess = self._guess()
        answers = self.client.batch([*calls, *guess.calls])
        head, finalized = self._read_head(answers)
        if not self.snapshot.cursor:
            return self._read_first(head, finalized)
        verdict = self._compare(head, {} if newest is None else {newest: answers[3]})
        if verdict.kind != "linked":
            return Reading(verdict.kind, head, finalized, verdict.fork, span=self.span)
        reading = self._take_guess(head, guess, answers[len(calls) :]) or self._read_range(head)
        return reading._replace(finalized=finalized)

    # === HEAD === #

    def _read_head(self, answers):
        for answer in answers[:2]:
            if isinstance(answer, RpcError):
                raise answer
        check_chain_id(answers[0], self.snapshot.evm_id)
        head, finalized = transfer_log.parse_header(answers[1]).number, answers[2]
        if isinstance(finalized, dict):
            return head, transfer_log.parse_header(finalized).number
        is_busy = isinstance(finalized, RpcError) and finalized.kind != "refused"
        return head, None if is_busy else 0

    def _read_first(self, head, finalized):
        """Begin near the head, with the hashes below it, so that a reorganisation is noticed from the start."""
        last = max(1, head - self.snapshot.scan_lag)
        first = max(0, last - finality.HASHES_KEPT + 1)
        headers = list(map(transfer_log.parse_header, self._ask_blocks(range(first, last + 1))))
        known = transfer_log.check_headers(headers, first, last, None)
        return Reading("first", head, finalized, first=first, last=last, headers=known)

    def _ask_blocks(self, numbers):
        """Return blocks as the node gives them, in batches that hosted nodes take."""
        numbers, raw = list(numbers), []
        for start in range(0, len(numbers), CALLS_PER_BATCH):
            raw += self.client.batch_strict(map(block_call, numbers[start : start + CALLS_PER_BATCH]))
        return raw

    def _compare(self, head, answered):
        """Say whether the node's chain continues ours; asks for all stored headers only when it does not."""
        stored, cursor = self.snapshot.hashes, self.snapshot.cursor
        hashes = {number: _hash_of(raw) for number, raw in answered.items()}
        newest = finality.newest_comparable(stored, head, cursor)
        if newest is not None and hashes.get(newest) != stored[newest]:
            numbers = sorted(number for number in stored if number <= head)
            raw = self._ask_blocks(numbers)
            hashes = {number: _hash_of(block) for number, block in zip(numbers, raw, strict=True)}
        return finality.compare(stored, hashes, head, cursor)

    # === RANGE === #

    def _range(self, first, last, is_open=False):
        """Return a range with its calls: its logs, those of fresh addresses a little before, its headers."""
        snapshot = self.snapshot
        calls = log_calls(snapshot.tokens, snapshot.addresses, first, "latest" if is_open else last)
        if snapshot.fresh:
            back = max(min(snapshot.hashes, default=first), first - snapshot.fresh_blocks)
            for start in range(back, first, self.span):
                end = min(start + self.span, first) - 1
                calls += log_calls(snapshot.tokens, snapshot.fresh, start, end)
        headers = [block_call(number) for number in range(first, last + 1)]
        return Range(first, last, is_open, calls + headers, len(calls))

    def _guess(self):
        """Return the range that should be there by now.

        Up to where it is not sure that the blocks exist, the filter is open: nodes differ in what they
        answer about blocks to come.
        """
        first, expected = self.snapshot.cursor + 1, self.snapshot.expected
        if not self.snapshot.cursor or expected < 1:
            return Range(first, first - 1, False, [], 0)
        last = self.snapshot.cursor + min(expected, self.span)
        return self._range(first, last, last > self.snapshot.head and expected <= self.span)

    def _take_guess(self, head, guess, answers):
        """Return the reading of the guessed range, or None when it has to be asked for again.

        With an open end the newest block is left for the next cycle: the logs may have been looked up a
        moment before the head moved. For the same reason a contradiction is only believed of a closed one.
        """
        lag = max(1, self.snapshot.scan_lag) if guess.is_open else self.snapshot.scan_lag
        last = min(guess.last, head - lag)
        wanted = [*answers[: guess.count], *answers[guess.count : guess.count + last - guess.first + 1]]
        if last < guess.first or any(answer is None or isinstance(answer, RpcError) for answer in wanted):
            return None
        try:
            return self._judge(head, guess, last, wanted, last - guess.first + 1 == self.span)
        except RangeError:
            if guess.is_open:
                return None
            raise

    def _read_range(self, head):
        """Read the next range, halving it as long as the node says that it is too large."""
        snapshot, span = self.snapshot, self.span
        while True:
            self.span = span
            first, last = snapshot.cursor + 1, min(head - snapshot.scan_lag, snapshot.cursor + span)
            if last < first:
                return Reading("ok", head, first=first, last=snapshot.cursor, span=span)
            try:
                wanted = self._range(first, last)
                answers = self.client.batch_strict(wanted.calls)
                return self._judge(head, wanted, last, answers, last - first + 1 == span)
            except RpcError as error:
                if error.kind != "too_large" or span == 1:
                    raise
                span = finality.halved_span(min(span, last - first + 1))

    def _judge(self, head, asked, last, answers, is_full):
        """Check logs and headers of a range against each other."""
        parent = self.snapshot.hashes.get(asked.first - 1)
        headers = [transfer_log.parse_header(raw) for raw in answers[asked.count :]]
        headers = transfer_log.check_headers(headers, asked.first, last, parent)
        later = range(last + 1, head + 1) if asked.is_open else ()
        transfers = self._parse_logs(headers, answers[: asked.count], later)
        older = self._fetch_older(headers, transfers)
        span = finality.next_span(self.span, self.snapshot.span_max) if is_full else self.span
        return Reading("ok", head, None, None, asked.first, last, headers, transfers, older, span=span)

    def _parse_logs(self, headers, answers, later):
        """Return the transfers of watched addresses that are not recorded yet.

        :param later: numbers of blocks that came while the range was read; their logs come with the next one.
        """
        transfers = []
        for logs in answers:
            if not isinstance(logs, list):
                raise RangeError("logs are not a list")
            parsed = (transfer_log.parse_log(raw, self.snapshot.tokens) for raw in logs)
            transfers += [one for one in parsed if one and one.block_number not in later]
        older = {
            number: transfer_log.Header(number, known, "", 0)
            for number, known in self.snapshot.hashes.items()
            if number not in headers
        }
        checked = transfer_log.check_transfers(transfers, {**older, **headers})
        watched, known = set(self.snapshot.addresses), self.snapshot.known
        return [
            one
            for one in checked
            if (one.receiver in watched or one.sender in watched)
            and (one.block_hash, one.log_index) not in known
        ]

    def _fetch_older(self, headers, transfers):
        """Return the headers of blocks before the range in which a fresh address was paid."""
        numbers = sorted({transfer.block_number for transfer in transfers} - set(headers))
        raw = self._ask_blocks(numbers)
        older = {header.number: header for header in map(transfer_log.parse_header, raw)}
        if any(
            number not in older or older[number].hash != self.snapshot.hashes[number] for number in numbers
        ):
            raise RangeError("the chain changed while it was read")
        return older


def _hash_of(raw):
    if raw is None or isinstance(raw, RpcError):
        return None
    return transfer_log.parse_header(raw).hash
