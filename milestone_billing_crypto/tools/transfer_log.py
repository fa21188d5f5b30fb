"""Raw logs of a node -> token transfers; and the checks of one scanned range of blocks.

The identity of a transfer is (chain, block hash, log index). The log index counts over the whole block,
so a reorganisation that moves a transaction changes it: (transaction, log index) is no identity.
"""

import re
from datetime import UTC, datetime
from typing import NamedTuple

from .address import AddressError, from_topic

#: keccak256("Transfer(address,address,uint256)"), EIP-20.
TRANSFER_TOPIC = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
_HASH_RE = re.compile(r"0x[0-9a-fA-F]{64}")

#: A larger number of a block or log is of no network, and of no database's integer.
BLOCK_MAX = 2**31 - 1
#: In the year 2106; a later time is of no block and of no price.
SECONDS_MAX = 2**32


class RangeError(ValueError):
    """The answer for a range contradicts itself: nothing of it may be used."""


class Transfer(NamedTuple):
    """One token transfer; ``value`` is in base units."""

    block_number: int
    block_hash: str
    log_index: int
    tx_hash: str
    token: str
    sender: str
    receiver: str
    value: int


class Header(NamedTuple):
    """What is used of a block header; ``timestamp`` is in seconds since 1970, UTC."""

    number: int
    hash: str
    parent_hash: str
    timestamp: int


def moment(seconds: int) -> datetime:
    """Return a time that the network names as the ORM keeps it: UTC, without a zone.

    What lies beyond is cut to a date that fits: a node or a feed that lies must not stop the reader.
    """
    return datetime.fromtimestamp(min(seconds, SECONDS_MAX), UTC).replace(tzinfo=None)


def quantity(value) -> int:
    """Read a JSON-RPC quantity.

    :raise RangeError: if it is not one, or longer than 256 bits.
    """
    if not isinstance(value, str) or not re.fullmatch(r"0x[0-9a-fA-F]{1,64}", value):
        raise RangeError(f"not a quantity: {ascii(value)[:70]}")
    return int(value, 16)


def ordinal(value) -> int:
    """Read the number of a block or of a log.

    :raise RangeError: if it is none, or too large.
    """
    number = quantity(value)
    if number > BLOCK_MAX:
        raise RangeError(f"not the number of a block or log: {value}")
    return number


def block_hash(value) -> str:
    """Read a 32-byte hash.

    :raise RangeError: if it is not one.
    """
    if not isinstance(value, str) or not _HASH_RE.fullmatch(value):
        raise RangeError(f"not a hash: {ascii(value)[:70]}")
    return value.lower()


def parse_header(raw) -> Header:
    """Read a block of ``eth_getBlockByNumber``.

    :raise RangeError: if it is not a block.
    """
    if not isinstance(raw, dict):
        raise RangeError("no block")
    return Header(
        ordinal(raw.get("number")),
        block_hash(raw.get("hash")),
        block_hash(raw.get("parentHash")),
        quantity(raw.get("timestamp")),
    )


def parse_log(raw, tokens) -> Transfer | None:
    """Read one log.

    Ignored (None): logs marked as removed, of other contracts, other events, with another number of
    topics (an NFT has the same first topic and four in all), and of zero value (anybody can make those
    in the name of anybody).

    :param tokens: lower-case addresses of the listed token contracts.
    :raise RangeError: if a listed token's transfer is malformed.
    """
    if not isinstance(raw, dict):
        raise RangeError("a log is not an object")
    topics = raw.get("topics")
    token = str(raw.get("address", "")).lower()
    if raw.get("removed") is True or token not in tokens or not isinstance(topics, list):
        return None
    if len(topics) != 3 or str(topics[0]).lower() != TRANSFER_TOPIC:
        return None
    data = raw.get("data")
    if not isinstance(data, str) or not _HASH_RE.fullmatch(data):
        raise RangeError("the value of a listed token's transfer is not one word")
    if not int(data, 16):
        return None
    try:
        sender, receiver = from_topic(topics[1]), from_topic(topics[2])
    except AddressError as error:
        raise RangeError("a listed token's transfer has a malformed address") from error
    return Transfer(
        ordinal(raw.get("blockNumber")),
        block_hash(raw.get("blockHash")),
        ordinal(raw.get("logIndex")),
        block_hash(raw.get("transactionHash")),
        token,
        sender,
        receiver,
        int(data, 16),
    )


def check_headers(headers, first, last, parent_hash) -> dict[int, Header]:
    """Check that the headers are exactly the wanted range and link to what is stored.

    :param headers: parsed headers, any order.
    :param parent_hash: stored hash of block ``first - 1``, or None when nothing is stored.
    :return: headers by block number.
    :raise RangeError: if one is missing, doubled, or does not link to the one before.
    """
    by_number = {header.number: header for header in headers}
    if len(by_number) != len(headers) or sorted(by_number) != list(range(first, last + 1)):
        raise RangeError("the headers are not the range that was asked for")
    expected = parent_hash
    for number in range(first, last + 1):
        if expected is not None and by_number[number].parent_hash != expected:
            raise RangeError(f"block {number} does not link to the block before it")
        expected = by_number[number].hash
    return by_number


def check_transfers(transfers, headers) -> list[Transfer]:
    """Check that each transfer is inside the range and in the block its header names.

    :return: the transfers without exact repetitions, in chain order.
    :raise RangeError: if one is outside, in another block, or two contradict each other.
    """
    by_identity = {}
    for transfer in transfers:
        header = headers.get(transfer.block_number)
        if header is None:
            raise RangeError(f"a log of block {transfer.block_number} is outside the range")
        if header.hash != transfer.block_hash:
            raise RangeError(f"a log of block {transfer.block_number} names another block")
        known = by_identity.setdefault((transfer.block_hash, transfer.log_index), transfer)
        if known != transfer:
            raise RangeError("two different logs have one identity")
    return sorted(by_identity.values(), key=lambda t: (t.block_number, t.log_index))
