"""XLSX files: texts stay texts, totals are formulas, memory stays small."""

import io
import tempfile
import tracemalloc
import unittest

import openpyxl
from conftest import load_tools

load_tools("milestone_billing")
from milestone_billing_tools import workbook as tool

COLUMNS = [
    tool.Column("Text"),
    tool.Column("Currency", tool.CURRENCY),
    tool.Column("Amount", tool.MONEY, True),
    tool.Column("Share", tool.PERCENT),
]


def write(rows, digits=None):
    file = io.BytesIO()
    book = tool.Book(file, digits or {"USD": 2, "JPY": 0, "KWD": 3}, "Total")
    book.add("Sheet", COLUMNS, rows)
    book.close()
    return file


class TestWorkbook(unittest.TestCase):
    def test_texts_are_never_formulas_nor_links(self):
        sheet = openpyxl.load_workbook(
            write([("=1+1", "USD", 1, None), ("http://x.example", "USD", 2, 5)])
        ).active
        self.assertEqual((sheet["A2"].value, sheet["A2"].data_type), ("=1+1", "s"))
        self.assertIsNone(sheet["A3"].hyperlink)

    def test_totals_are_formulas_by_currency_with_their_result(self):
        file = write([("a", "USD", "0.10", None), ("b", "JPY", 5, None), ("c", "USD", "0.20", None)])
        sheet = openpyxl.load_workbook(file).active
        self.assertEqual(sheet["C5"].value, "=SUMIF(B2:B4,B5,C2:C4)")
        self.assertEqual([sheet["B5"].value, sheet["B6"].value], ["USD", "JPY"])
        results = openpyxl.load_workbook(file, data_only=True).active
        self.assertEqual([results["C5"].value, results["C6"].value], [0.3, 5])

    def test_amounts_are_numbers_in_the_format_of_their_currency(self):
        sheet = openpyxl.load_workbook(
            write([("a", "USD", 1.5, 12.5), ("b", "JPY", 5, None), ("c", "KWD", 1, None)])
        ).active
        formats = [sheet[f"C{row}"].number_format for row in (2, 3, 4)]
        self.assertEqual(formats, ["#,##0.00", "#,##0", "#,##0.000"])
        self.assertEqual((sheet["C2"].data_type, sheet["D2"].value), ("n", 0.125))

    def test_header_is_frozen_and_filtered(self):
        sheet = openpyxl.load_workbook(write([("a", "USD", 1, None)])).active
        self.assertEqual((sheet.freeze_panes, sheet.auto_filter.ref), ("A2", "A1:D2"))

    def test_empty_sheet_and_long_text(self):
        self.assertEqual(openpyxl.load_workbook(write([])).active.max_row, 1)
        sheet = openpyxl.load_workbook(write([("x" * 40000, "USD", 1, None)])).active
        self.assertEqual(len(sheet["A2"].value), tool.TEXT_SIZE_MAX)

    def test_full_sheet_goes_on_on_the_next(self):
        old, tool.ROWS_MAX = tool.ROWS_MAX, 3
        try:
            book = openpyxl.load_workbook(write([("a", "USD", 1, None)] * 7))
        finally:
            tool.ROWS_MAX = old
        self.assertEqual(book.sheetnames, ["Sheet", "Sheet 2", "Sheet 3"])

    def test_memory_does_not_grow_with_the_rows(self):
        small, large = self.measure(2_000), self.measure(20_000)
        self.assertLess(large - small, 2_000_000)

    def measure(self, count):
        with tempfile.TemporaryFile() as file:
            book = tool.Book(file, {"USD": 2}, "Total")
            tracemalloc.start()
            book.add("Sheet", COLUMNS, ((f"row {n}", "USD", n, 1) for n in range(count)))
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            book.close()
        return peak
