"""The network's own coin: it leaves no log, so that what was received is found by the balance that changed.

A transfer by a contract from inside (a smart wallet, an exchange's batch) is in no list of a block either; the
balance at two blocks shows both kinds. The block is found by halving the range in between.
"""

from . import transfer_log
from .address import ZERO_ADDRESS, AddressError, normalize
from .json_rpc import Call
from .transfer_log import RangeError, Transfer

#: Stands for the coin where a token has its contract.
COIN = "coin"
#: A receipt of the coin has no log; its identity is (network, block hash, address).
NO_LOG = -1
DECIMALS = 18
#: Changes of one address that are told apart in one cycle; more are found in the next.
CHANGES_MAX = 20


class UnknownStateError(ValueError):
    """The node does not keep the state of so old a block."""


def find_changes(ask, low: int, high: int, before: int, after: int) -> list[tuple[int, int]]:
    """Find the blocks in which a balance changed, newest first.

    :param ask: ``ask(block) -> balance`` at the end of a block.
    :param low: block at whose end the balance should be ``before``.
    :param high: block at whose end it is ``after``.
    :return: pairs of block number and difference; their sum is ``after - before``.
    :raise UnknownStateError: if the node has forgotten one of the blocks.
    """
    changes = []
    while after != before and len(changes) < CHANGES_MAX:
        if high <= low or ask(low) == after:
            return [*changes, (low, after - before)]  # it changed earlier than was looked
        first, last = low, high
        while last - first > 1:
            middle = (first + last) // 2
            first, last = (first, middle) if ask(middle) == after else (middle, last)
        earlier = ask(first)
        changes.append((last, after - earlier))
        after, high = earlier, first
    return changes


def balance_call(address: str, block: int) -> Call:
    """Return the call for a balance at the end of a block."""
    return Call("eth_getBalance", [address, hex(block)])


def block_call(block: int) -> Call:
    """Return the call for a block with its transactions."""
    return Call("eth_getBlockByNumber", [hex(block), True])


def read_receipt(raw_block, address: str, difference: int) -> Transfer:
    """Return the change of a balance as a transfer; with its transaction when the block lists exactly one.

    :param raw_block: the block with its transactions.
    :param difference: base units, negative for what was sent.
    :raise RangeError: if it is no block.
    """
    header = transfer_log.parse_header(raw_block)
    listed = raw_block.get("transactions") or []
    if not isinstance(listed, list):
        raise RangeError("transactions are not a list")
    found = [one for one in listed if _moves(one, address, difference)]
    tx_hash, other = "", ZERO_ADDRESS
    if len(found) == 1:
        tx_hash = transfer_log.block_hash(found[0].get("hash"))
        other = _other_side(found[0], difference)
    sender, receiver = (other, address) if difference > 0 else (address, other)
    return Transfer(header.number, header.hash, NO_LOG, tx_hash, COIN, sender, receiver, abs(difference))


def _moves(raw, address, difference):
    """Tell whether a transaction explains the change; what an address sends costs gas on top."""
    if not isinstance(raw, dict):
        raise RangeError("a transaction is not an object")
    if difference < 0:
        return str(raw.get("from")).lower() == address
    return str(raw.get("to")).lower() == address and transfer_log.quantity(raw.get("value")) == difference


def _other_side(raw, difference):
    try:
        return normalize(str(raw.get("from" if difference > 0 else "to")))
    except AddressError:
        return ZERO_ADDRESS
