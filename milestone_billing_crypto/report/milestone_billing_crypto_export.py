"""One row per receipt, with all that an accountant asks for; rows first, then one writer each."""

import csv
import io
from itertools import chain

import xlsxwriter

from ..tools.address import to_checksum

HEADINGS = (
    "time_utc",
    "chain_id",
    "network",
    "block",
    "block_hash",
    "transaction",
    "log_index",
    "token",
    "token_contract",
    "decimals",
    "base_units",
    "amount",
    "from",
    "to",
    "direction",
    "state",
    "match",
    "booking",
    "reference",
    "invoice",
    "rate",
    "rate_source",
    "currency",
    "value",
    "covered",
    "tolerance",
    "customer_credit",
    "price_at_receipt",
    "lot_cost",
    "lot_currency",
    "journal_entry",
    "sweep_or_refund",
    "gas",
    "gas_coin",
    "gas_cost",
    "gas_currency",
)
SWEEP_HEADINGS = ("address", "path", "network", "chain_id", "token", "token_contract", "base_units", "amount")


def receipt_rows(transfers):
    """Yield the rows of receipts as texts; figures keep all their digits.

    What a sweep's or a refund's network fee was stands in the first row of its transfers, so that it adds up.
    """
    told = set()
    for transfer in transfers:
        token, invoices = transfer.token_id, transfer.payment_id.sudo().transaction_id.invoice_ids
        yield (
            transfer.block_time.isoformat(),
            str(transfer.chain_id.evm_id),
            transfer.chain_id.name,
            str(transfer.block_number),
            transfer.block_hash,
            transfer.tx_hash or "",
            str(transfer.log_index),
            token.symbol,
            token.contract or "",
            str(token.decimals),
            transfer.value,
            transfer.amount_text.split(" ")[0],
            to_checksum(transfer.sender),
            to_checksum(transfer.receiver),
            transfer.direction,
            transfer.state,
            transfer.match_kind,
            transfer.booking_state,
            transfer.payment_id.reference or "",
            ", ".join(invoices.mapped("name")),
            transfer.rate or "",
            transfer.rate_source or "",
            transfer.currency_id.name or "",
            *(
                _money(transfer, name)
                for name in ("amount_value", "amount_covered", "amount_write_off", "amount_excess")
            ),
            transfer.price or "",
            f"{transfer.lot_cost:.{token.peg_currency_id.decimal_places}f}",
            token.peg_currency_id.name,
            _entry(transfer).name or "",
            *_gas(transfer, told),
        )


def _entry(transfer):
    """Return the journal entry of a receipt, or of the sweep or refund by which it left."""
    one = transfer.sudo()
    return one.move_id or one.sweep_id.move_id or one.refund_id.account_payment_id.move_id


def _gas(transfer, told):
    sending = transfer.sudo().sweep_id or transfer.sudo().refund_id
    if not sending or sending in told:
        return (sending.name or "", "", "", "", "")
    told.add(sending)
    currency = sending.company_currency_id
    cost = f"{sending.gas_cost:.{currency.decimal_places}f}" if sending.gas_cost else ""
    coin = transfer.chain_id.native_symbol if sending.gas_text else ""
    return (sending.name, sending.gas_text or "", coin, cost, currency.name if cost else "")


def sweep_rows(balances):
    """Yield address, path, token and balance of what can be swept, for the merchant's own wallet."""
    for balance in balances:
        token = balance.token_id
        yield (
            balance.checksum,
            balance.path or "",
            token.chain_id.name,
            str(token.chain_id.evm_id),
            token.symbol,
            token.contract or "",
            balance.base_units,
            balance.amount_text.split(" ")[0],
        )


def _money(transfer, name):
    digits = transfer.currency_id.decimal_places if transfer.currency_id else 2
    return f"{transfer[name]:.{digits}f}"


def _defused(text):
    """Return a text that no spreadsheet takes for a formula."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def write_csv(headings, rows):
    """Return rows as CSV bytes."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(headings)
    writer.writerows([_defused(text) for text in row] for row in rows)
    return buffer.getvalue().encode("utf-8-sig")


def write_xlsx(headings, rows):
    """Return rows as a workbook; all cells are texts, so that no digit is lost and nothing is a formula."""
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"constant_memory": True, "strings_to_formulas": False}) as workbook:
        sheet = workbook.add_worksheet()
        for number, row in enumerate(chain([headings], rows)):
            for column, text in enumerate(row):
                sheet.write_string(number, column, text)
    return buffer.getvalue()
