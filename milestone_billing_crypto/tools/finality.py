"""Reorganisations and finality: what the stored hashes and the node's answer mean."""

from typing import NamedTuple

#: How many block hashes are kept below the cursor.
HASHES_KEPT = 128


class Verdict(NamedTuple):
    """``kind`` is ``linked``, ``lagging``, ``reorg`` or ``lost``; ``fork`` is the last common block."""

    kind: str
    fork: int | None = None


def newest_comparable(stored: dict[int, str], head: int, cursor: int) -> int | None:
    """Return the newest stored block number the node can be asked for, or None when it is below all."""
    return max((number for number in stored if number <= min(head, cursor)), default=None)


def compare(stored: dict[int, str], answered: dict[int, str | None], head: int, cursor: int) -> Verdict:
    """Compare stored hashes with the node's.

    A node whose head is below the cursor but whose blocks are equal only lags: nothing changes. A hash
    that differs is a reorganisation, and the fork is the highest equal block. When none is equal a person
    must decide.

    :param stored: block number -> hash as stored.
    :param answered: block number -> hash as the node says now, for some of the stored numbers.
    """
    newest = newest_comparable(stored, head, cursor)
    if newest is None:
        return Verdict("lagging") if stored else Verdict("linked", cursor)
    if answered.get(newest) == stored[newest]:
        return Verdict("lagging") if head < cursor else Verdict("linked", cursor)
    equal = [number for number, known in stored.items() if number <= newest and answered.get(number) == known]
    if not equal:
        return Verdict("lost")
    return Verdict("reorg", max(equal))


def confirmations(block: int, head: int) -> int:
    """Return how many blocks confirm a block, itself included; zero when the head is below it."""
    return max(0, head - block + 1)


def is_deep_enough(block: int, head: int, finalized: int | None, depth: int, wants_finalized: bool) -> bool:
    """Tell whether a receipt may be posted.

    :param finalized: number of the node's ``finalized`` block, None when it has no such tag; then the
        depth decides for large amounts too.
    :param depth: confirmations that a small amount needs.
    :param wants_finalized: the amount is large enough for the policy "finalized".
    """
    if wants_finalized and finalized is not None:
        return block <= finalized
    return confirmations(block, head) >= depth


def next_span(span: int, maximum: int) -> int:
    """Return the range to try after a success: a quarter more, at least one block more."""
    return min(maximum, span + max(1, span // 4))


def halved_span(span: int) -> int:
    """Return the range to try after the node refused one as too large."""
    return max(1, span // 2)
