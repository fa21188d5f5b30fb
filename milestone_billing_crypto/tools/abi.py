"""The few ABI encodings which an ERC-20 watcher needs."""

import re

from .address import to_topic
from .units import DECIMALS_MAX

#: First four bytes of the Keccak-256 of the signatures (EIP-20).
SELECTOR_BALANCE_OF = "0x70a08231"
SELECTOR_DECIMALS = "0x313ce567"
SELECTOR_SYMBOL = "0x95d89b41"
SELECTOR_LATEST_ROUND = "0xfeaf968c"
SELECTOR_TRANSFER = "0xa9059cbb"
#: Multicall3, one contract at one address on nearly every network: https://github.com/mds1/multicall3
MULTICALL = "0xca11bde05977b3631167028862be2a173976ca11"
SELECTOR_AGGREGATE = "0x82ad56cb"
SELECTOR_COIN_BALANCE = "0x4d2301cc"


class AbiError(ValueError):
    """The answer of a contract cannot be read."""


def encode_balance_of(address: str) -> str:
    """Return the call data of ``balanceOf(address)``."""
    return SELECTOR_BALANCE_OF + to_topic(address)[2:]


def encode_transfer(to: str, base_units: int) -> str:
    """Return the call data of ``transfer(to, value)``, for a payer's wallet to sign."""
    return SELECTOR_TRANSFER + to_topic(to)[2:] + f"{base_units:064x}"


def encode_coin_balance(address: str) -> str:
    """Return the call data of Multicall3's ``getEthBalance(address)``."""
    return SELECTOR_COIN_BALANCE + to_topic(address)[2:]


def encode_aggregate(calls) -> str:
    """Return the call data of Multicall3's ``aggregate3``: many calls as one, each of which may fail.

    :param calls: pairs of contract and call data.
    """
    heads, bodies, offset = [], [], 32 * len(calls)
    for target, data in calls:
        size = len(data) // 2 - 1
        padded = data[2:].ljust(-(-size // 32) * 64, "0")
        bodies.append(to_topic(target)[2:] + _word(1) + _word(96) + _word(size) + padded)
        heads.append(_word(offset))
        offset += len(bodies[-1]) // 2
    return SELECTOR_AGGREGATE + _word(32) + _word(len(calls)) + "".join(heads + bodies)


def decode_aggregate(data, count: int) -> list[str | None]:
    """Read the answer of ``aggregate3``: the data of each call, None for one that failed.

    :raise AbiError: if it is not the answer of so many calls.
    """
    if not isinstance(data, str) or not re.fullmatch(r"0x([0-9a-fA-F]{64})*", data):
        raise AbiError("not a list of results")
    raw = bytes.fromhex(data[2:])
    start = _read_word(raw, 0) + 32
    if _read_word(raw, start - 32) != count:
        raise AbiError("the answers do not belong to the calls")
    return [_read_result(raw, start + _read_word(raw, start + 32 * index)) for index in range(count)]


def _read_result(raw, place):
    body = place + _read_word(raw, place + 32)
    size = _read_word(raw, body)
    found = raw[body + 32 : body + 32 + size]
    if len(found) != size:
        raise AbiError("a result is cut off")
    return "0x" + found.hex() if _read_word(raw, place) else None


def _read_word(raw, place):
    word = raw[place : place + 32]
    if len(word) != 32:
        raise AbiError("the answer is cut off")
    return int.from_bytes(word, "big")


def _word(value):
    return f"{value:064x}"


def decode_uint(data) -> int:
    """Read one unsigned word.

    :raise AbiError: if there is no whole word, as when no contract lives at the address.
    """
    if not isinstance(data, str) or not re.fullmatch(r"0x[0-9a-fA-F]{64,}", data):
        raise AbiError(f"not a word: {ascii(data)[:70]}")
    return int(data[2:66], 16)


def decode_price(decimals, answer) -> tuple[int, int, int]:
    """Read what a price feed says: the number, its decimals, and when it was updated (seconds).

    :param decimals: the answer of ``decimals()``.
    :param answer: the answer of ``latestRoundData()``: round, price, started, updated, round.
    :raise AbiError: if it says no price; one below zero is none.
    """
    if not isinstance(answer, str) or not re.fullmatch(r"0x([0-9a-fA-F]{64}){5}", answer):
        raise AbiError("not a round of a price feed")
    number, updated, digits = int(answer[66:130], 16), int(answer[194:258], 16), decode_uint(decimals)
    if not 0 < number < 2**255 or digits > DECIMALS_MAX:
        raise AbiError("no price")
    return number, digits, updated


def decode_symbol(data) -> str:
    """Read a token symbol: a ``string``, or ``bytes32`` as a few old tokens answer.

    :raise AbiError: if it is neither.
    """
    if not isinstance(data, str) or not re.fullmatch(r"0x([0-9a-fA-F]{64})+", data):
        raise AbiError(f"not a symbol: {ascii(data)[:70]}")
    raw = bytes.fromhex(data[2:])
    if len(raw) == 32:
        text = raw.rstrip(b"\0")
    else:
        offset = int.from_bytes(raw[:32], "big")
        length = int.from_bytes(raw[offset : offset + 32], "big")
        text = raw[offset + 32 : offset + 32 + length]
        if offset + 32 + length > len(raw) or length > 64:
            raise AbiError("symbol out of bounds")
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise AbiError("symbol is not text") from error
