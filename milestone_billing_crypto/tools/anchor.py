"""Decide whether a transaction anchors a digest: it carries it, succeeded, and can no longer be undone."""

from typing import NamedTuple

from . import finality
from .transfer_log import RangeError, block_hash, parse_header, quantity


class AnchorError(ValueError):
    """The transaction anchors nothing yet; ``code`` is unknown, other_data, failed, not_final or contradiction."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class Anchor(NamedTuple):
    """Where a digest stands on a network."""

    block_number: int
    block_hash: str


class Answers(NamedTuple):
    """What a node says, as it came: the transaction, its receipt, its newest and its finalized block."""

    transaction: dict | None
    receipt: dict | None
    latest: dict | None
    finalized: dict | None


def data_of(digest: str) -> str:
    """Return what the transaction's data must be: the 32 bytes of the digest and nothing else."""
    return "0x" + digest.lower()


def judge(digest: str, tx_hash: str, answers: Answers, depth: int) -> Anchor:
    """Find where a transaction anchored a digest.

    :param digest: 64 hex digits.
    :param depth: confirmations that count on a network whose nodes know no finalized block.
    :raise AnchorError: if it does not, or not yet.
    """
    transaction, receipt = answers.transaction, answers.receipt
    if not isinstance(transaction, dict):
        raise AnchorError("unknown")
    try:
        if block_hash(transaction.get("hash")) != tx_hash:
            raise AnchorError("contradiction")
        if str(transaction.get("input", transaction.get("data"))).lower() != data_of(digest):
            raise AnchorError("other_data")
        if not isinstance(receipt, dict):
            raise AnchorError("not_final")
        return _judge_receipt(tx_hash, answers, depth)
    except RangeError:
        raise AnchorError("contradiction") from None


def _judge_receipt(tx_hash, answers, depth):
    transaction, receipt = answers.transaction, answers.receipt
    found = Anchor(quantity(receipt.get("blockNumber")), block_hash(receipt.get("blockHash")))
    same = (block_hash(receipt.get("transactionHash")), block_hash(transaction.get("blockHash")))
    if same != (tx_hash, found.block_hash):
        raise AnchorError("contradiction")
    if receipt.get("status") != "0x1":
        raise AnchorError("failed")
    head = parse_header(answers.latest).number
    finalized = parse_header(answers.finalized).number if answers.finalized else None
    if not finality.is_deep_enough(found.block_number, head, finalized, depth, wants_finalized=True):
        raise AnchorError("not_final")
    return found


def confirm(found: Anchor, receipt, header) -> None:
    """Check that another look, best at another node, says the same.

    :param header: the block of the number at which it was found.
    :raise AnchorError: if it does not.
    """
    try:
        same = (
            isinstance(receipt, dict)
            and receipt.get("status") == "0x1"
            and block_hash(receipt.get("blockHash")) == found.block_hash
            and parse_header(header).hash == found.block_hash
        )
    except RangeError:
        same = False
    if not same:
        raise AnchorError("contradiction")
