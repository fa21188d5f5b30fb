"""Read schedules from one sheet: a row for each milestone, rows with the same order belong together."""

import csv
import io
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

import openpyxl

COLUMNS = (
    "customer",
    "email",
    "order",
    "product",
    "amount",
    "milestone",
    "percent",
    "trigger",
    "date",
    "description",
    "billed_before",
    "billed_number",
    "billed_on",
    "retained_before",
)
REST = "rest"
ROWS_MAX = 20_000


class SheetError(ValueError):
    """The file cannot be read; ``code`` is ``columns``, ``rows`` or ``file``."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class Row(NamedTuple):
    """One milestone as it stands in the sheet; ``number`` counts from 1 with the header."""

    number: int
    values: dict


class Problem(NamedTuple):
    """What is wrong in a row: the column, and ``missing``, ``number``, ``date``, ``trigger`` or ``twice``."""

    row: int
    column: str
    code: str


def read(content: bytes, name: str) -> list[Row]:
    """Read a CSV (UTF-8) or XLSX file.

    :raise SheetError: if it is neither, lacks a column or is too long.
    """
    try:
        table = _read_xlsx(content) if name.lower().endswith(".xlsx") else _read_csv(content)
    except (UnicodeError, csv.Error, OSError, KeyError, ValueError) as error:
        raise SheetError("file") from error
    if not table or not {"order", "milestone", "percent"} <= {str(cell).strip().lower() for cell in table[0]}:
        raise SheetError("columns")
    if len(table) > ROWS_MAX:
        raise SheetError("rows")
    names = [str(cell).strip().lower() for cell in table[0]]
    rows = [
        Row(number, {key: _text(cell) for key, cell in zip(names, cells, strict=False) if key in COLUMNS})
        for number, cells in enumerate(table[1:], start=2)
    ]
    return [row for row in rows if any(row.values.values())]


def _read_csv(content):
    text = content.decode("utf-8-sig")
    separator = ";" if text.split("\n", 1)[0].count(";") > text.split("\n", 1)[0].count(",") else ","
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))


def _read_xlsx(content):
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    except Exception as error:
        raise ValueError(str(error)) from error
    return [list(cells) for cells in book.active.iter_rows(values_only=True, max_row=ROWS_MAX + 1)]


def _text(cell):
    if isinstance(cell, (datetime, date)):
        return cell.strftime("%Y-%m-%d")
    return "" if cell is None else str(cell).strip()


def group(rows: list[Row]) -> dict[str, list[Row]]:
    """Put the rows of each order together, in the order of the sheet."""
    orders = {}
    for row in rows:
        orders.setdefault(row.values.get("order", ""), []).append(row)
    return orders


def check(rows: list[Row], triggers) -> list[Problem]:
    """Find what cannot be imported, row by row.

    :param triggers: names of triggers that are known.
    """
    problems = []
    for reference, members in group(rows).items():
        if not reference:
            problems += [Problem(row.number, "order", "missing") for row in members]
            continue
        problems += _check_head(members[0])
        rests = [row for row in members if row.values.get("percent", "").lower() == REST]
        problems += [Problem(row.number, "percent", "twice") for row in rests[1:]]
        problems += [problem for row in members for problem in _check_row(row, triggers)]
    return sorted(problems)


def _check_head(row):
    missing = [
        Problem(row.number, name, "missing") for name in ("customer", "product") if not row.values.get(name)
    ]
    return (
        missing if number(row.values.get("amount")) else [*missing, Problem(row.number, "amount", "number")]
    )


def _check_row(row, triggers):
    values = row.values
    if not values.get("milestone"):
        yield Problem(row.number, "milestone", "missing")
    percent = values.get("percent", "")
    share = number(percent)
    if percent.lower() != REST and not (share and 0 < share <= 100):
        yield Problem(row.number, "percent", "number")
    if values.get("trigger") and values["trigger"] not in triggers:
        yield Problem(row.number, "trigger", "trigger")
    if values.get("trigger") == "date" and not day(values.get("date")):
        yield Problem(row.number, "date", "date")
    yield from _check_before(row)


def _check_before(row):
    """What was billed before: an amount needs the number and the day of its invoice, and they need an amount."""
    values, before = row.values, row.values.get("billed_before")
    if not before:
        for name in ("billed_number", "billed_on", "retained_before"):
            if values.get(name):
                yield Problem(row.number, "billed_before", "missing")
                return
        return
    amount, retained = number(before), number(values.get("retained_before") or "0")
    if not amount or amount < 0:
        yield Problem(row.number, "billed_before", "number")
    if retained is None or retained < 0:
        yield Problem(row.number, "retained_before", "number")
    if not values.get("billed_number"):
        yield Problem(row.number, "billed_number", "missing")
    if not day(values.get("billed_on")):
        yield Problem(row.number, "billed_on", "date")


def number(text) -> Decimal | None:
    """Read a decimal number, or None."""
    try:
        value = Decimal((text or "").replace(" ", ""))
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def day(text) -> date | None:
    """Read a day such as 2026-03-31, or None."""
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None
