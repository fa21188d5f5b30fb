"""Balances of many addresses as of one block, a thousand in a call where the network has a multicall contract."""

from odoo import models
from odoo.exceptions import UserError

from ..tools import abi, native, transfer_log
from ..tools.address import normalize
from ..tools.json_rpc import Call
from ..tools.reading import CALLS_PER_BATCH, block_call
from ..tools.transfer_log import RangeError

#: Balances in one call: some 450 kB asked, 320 kB answered.
_BALANCES_PER_CALL = 1000


class MilestoneBillingCryptoChain(models.Model):
    _inherit = "milestone.billing.crypto.chain"

    def _read_balances(self, addresses, tokens, number=None):
        """Return a block's header and ``{(address id, token id): base units}`` as of that block.

        :param int number: the block; default is the one up to which the network was read.

        The block's hash is looked at again with each request, so that all figures are of one block, and of the
        branch that was read: what is on another one explains nothing.

        :raise UserError: if no node answers, or one contradicts itself.
        """
        try:
            return self._read_balances_at(number or self.cursor_block, addresses, tokens)
        except (RangeError, abi.AbiError) as error:
            raise UserError(self._unusable_message(error)) from None

    def _unusable_message(self, error):
        return self.env._(
            "The node's answer about balances cannot be used (%(problem)s). Try again in a minute.",
            problem=str(error),
        )

    def _read_balances_at(self, number, addresses, tokens):
        contract, raw = self._find_multicall(number)
        block = self._read_known_header(raw)
        pairs = [(address, token) for address in addresses for token in tokens]
        step = _BALANCES_PER_CALL if contract else CALLS_PER_BATCH
        balances = {}
        for start in range(0, len(pairs), step):
            chunk = pairs[start : start + step]
            found = self._ask_balances(chunk, block, contract)
            keys = ((address.id, token.id) for address, token in chunk)
            balances.update(zip(keys, found, strict=True))
        return block, balances

    def _find_multicall(self, number):
        """Return the multicall contract, False where there is none, and the block itself."""
        contract = normalize(self.multicall_contract) if self.multicall_contract else False
        calls = [Call("eth_getCode", [contract, hex(number)])] if contract else []
        raw, *code = self._call([block_call(number), *calls])
        return contract if code and code[0] not in (None, "0x") else False, raw

    def _ask_balances(self, pairs, block, contract):
        if contract:
            calls = [self._prepare_balance_call(address, token, contract) for address, token in pairs]
            data = {"to": contract, "data": abi.encode_aggregate(calls)}
            raw, answer = self._call([block_call(block.number), Call("eth_call", [data, hex(block.number)])])
            found = abi.decode_aggregate(answer, len(calls))
        else:
            asked = [self._prepare_single_call(address, token, block.number) for address, token in pairs]
            raw, *found = self._call([block_call(block.number), *asked])
        if transfer_log.parse_header(raw).hash != block.hash:
            raise RangeError("the chain changed while balances were read")
        return [
            transfer_log.quantity(one) if token.is_native and not contract else abi.decode_uint(one)
            for (_address, token), one in zip(pairs, found, strict=True)
        ]

    def _prepare_balance_call(self, address, token, multicall):
        """Return contract and call data that tell a balance from inside a multicall."""
        if token.is_native:
            return multicall, abi.encode_coin_balance(address.address)
        return token._place(), abi.encode_balance_of(address.address)

    def _prepare_single_call(self, address, token, number):
        if token.is_native:
            return native.balance_call(address.address, number)
        data = {"to": token._place(), "data": abi.encode_balance_of(address.address)}
        return Call("eth_call", [data, hex(number)])
