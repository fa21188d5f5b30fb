"""Write rows to an XLSX file without holding them in memory.

Texts are written as texts, never as formulas. Amounts have the number format of their currency. The header is
frozen, and the totals below are formulas, one line for each currency.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

import xlsxwriter
from xlsxwriter.utility import xl_col_to_name, xl_rowcol_to_cell

TEXT, MONEY, DATE, INTEGER, PERCENT, CURRENCY = "text", "money", "date", "integer", "percent", "currency"
TEXT_SIZE_MAX = 32767
ROWS_MAX = 1_000_000
WIDTHS = {TEXT: 28, MONEY: 16, DATE: 12, INTEGER: 10, PERCENT: 10, CURRENCY: 9}


class Column(NamedTuple):
    """A column of a sheet; money columns marked ``total`` are added up."""

    label: str
    kind: str = TEXT
    total: bool = False


def money_format(digits: int) -> str:
    """Give the number format of a currency with so many decimals."""
    return "#,##0" + ("." + "0" * digits if digits else "")


class Sheet:
    """One sheet that is written row by row."""

    def __init__(self, book, name, columns):
        self.book, self.name, self.columns = book, name, columns
        self.sheet = book.workbook.add_worksheet(name)
        self.row = 0
        self.currency_at = next((n for n, column in enumerate(columns) if column.kind == CURRENCY), None)
        self.sums = defaultdict(lambda: defaultdict(Decimal))
        self._write_header()

    def _write_header(self):
        for place, column in enumerate(self.columns):
            self.sheet.set_column(place, place, WIDTHS[column.kind])
            self.sheet.write_string(0, place, column.label, self.book.bold)
        self.sheet.freeze_panes(1, 0)
        self.row = 1

    def write(self, values):  # pylint: disable=method-required-super
        """Write one row; None leaves a cell empty."""
        currency = values[self.currency_at] if self.currency_at is not None else None
        for place, (column, value) in enumerate(zip(self.columns, values, strict=True)):
            if value is None or value is False:
                continue
            self._write_cell(place, column, value, currency)
        self.row += 1

    def _write_cell(self, place, column, value, currency):
        if column.kind == MONEY:
            self.sheet.write_number(self.row, place, float(value), self.book.get_money_format(currency))
            if column.total:
                self.sums[currency][place] += Decimal(str(value))
        elif column.kind == DATE:
            self.sheet.write_datetime(self.row, place, self._as_datetime(value), self.book.date)
        elif column.kind == INTEGER:
            self.sheet.write_number(self.row, place, int(value))
        elif column.kind == PERCENT:
            self.sheet.write_number(self.row, place, float(value) / 100, self.book.percent)
        else:
            self.sheet.write_string(self.row, place, str(value)[:TEXT_SIZE_MAX])

    @staticmethod
    def _as_datetime(value):
        return (
            value
            if isinstance(value, datetime) or not isinstance(value, date)
            else datetime.combine(value, datetime.min.time())
        )

    def close(self):
        """Write the totals below the rows and switch the filter on."""
        last = self.row
        self.sheet.autofilter(0, 0, max(last - 1, 0), len(self.columns) - 1)
        for currency, sums in self.sums.items():
            self.sheet.write_string(self.row, 0, self.book.total_label, self.book.bold)
            if self.currency_at is not None:
                self.sheet.write_string(self.row, self.currency_at, currency or "", self.book.bold)
            for place, column in enumerate(self.columns):
                if column.total:
                    self._write_total(place, last, currency, sums[place])
            self.row += 1

    def _write_total(self, place, last, currency, amount):
        span = f"{xl_rowcol_to_cell(1, place)}:{xl_rowcol_to_cell(last - 1, place)}"
        if self.currency_at is None:
            formula = f"=SUM({span})"
        else:
            name = xl_col_to_name(self.currency_at)
            formula = f"=SUMIF({name}2:{name}{last},{name}{self.row + 1},{span})"
        money = self.book.get_money_format(currency, bold=True)
        self.sheet.write_formula(self.row, place, formula, money, float(amount))


class Book:
    """An XLSX file in the making.

    :param file: path or binary file to write to.
    :param dict digits: decimals by currency name.
    :param str total_label: what stands before the totals.
    """

    def __init__(self, file, digits, total_label):
        self.workbook = xlsxwriter.Workbook(
            file, {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
        )
        self.digits, self.total_label, self._money = digits, total_label, {}
        self.bold = self.workbook.add_format({"bold": True})
        self.date = self.workbook.add_format({"num_format": "yyyy-mm-dd"})
        self.percent = self.workbook.add_format({"num_format": "0.00%"})

    def get_money_format(self, currency, bold=False):
        """Give the cell format of amounts in a currency."""
        key = (currency, bold)
        if key not in self._money:
            self._money[key] = self.workbook.add_format(
                {"num_format": money_format(self.digits.get(currency, 2)), "bold": bold}
            )
        return self._money[key]

    def add(self, name: str, columns: list[Column], rows: Iterable):
        """Write rows to a sheet, and to further sheets when one is full."""
        sheet, number = Sheet(self, name, columns), 1
        for row in rows:
            if sheet.row > ROWS_MAX:
                sheet.close()
                number += 1
                sheet = Sheet(self, f"{name} {number}", columns)
            sheet.write(row)
        sheet.close()

    def close(self):
        """Finish the file."""
        self.workbook.close()
