"""The import sheet: what was billed before needs a whole invoice."""

import unittest

import conftest  # noqa: F401
from milestone_billing_tools.import_sheet import Problem, check, read

HEAD = (
    "customer,order,product,amount,milestone,percent,billed_before,billed_number,billed_on,retained_before\n"
)


class TestBilledBefore(unittest.TestCase):
    def problems(self, *cells):
        content = HEAD + "Acme,A-1,Website,100,All,rest," + ",".join(cells) + "\n"
        return check(read(content.encode(), "a.csv"), {"manual"})

    def test_whole_invoice_is_right(self):
        self.assertEqual(self.problems("10.50", "RE-1", "2025-01-31", ""), [])
        self.assertEqual(self.problems("10.50", "RE-1", "2025-01-31", "1.05"), [])

    def test_nothing_is_right(self):
        self.assertEqual(self.problems("", "", "", ""), [])

    def test_amount_needs_number_and_day(self):
        self.assertEqual(
            self.problems("10", "", "", ""),
            [Problem(2, "billed_number", "missing"), Problem(2, "billed_on", "date")],
        )

    def test_number_day_or_retainage_need_an_amount(self):
        for cells in (("", "RE-1", "", ""), ("", "", "2025-01-31", ""), ("", "", "", "5")):
            self.assertEqual(self.problems(*cells), [Problem(2, "billed_before", "missing")])

    def test_amounts_are_numbers_above_zero(self):
        for amount in ("x", "0", "-1", "nan"):
            self.assertEqual(
                self.problems(amount, "RE-1", "2025-01-31", ""), [Problem(2, "billed_before", "number")]
            )
        for retained in ("x", "-1"):
            self.assertEqual(
                self.problems("1", "RE-1", "2025-01-31", retained), [Problem(2, "retained_before", "number")]
            )


if __name__ == "__main__":
    unittest.main()
