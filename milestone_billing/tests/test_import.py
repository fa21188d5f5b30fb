import base64
import io

import openpyxl
from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged
from odoo.tools import file_open, mute_logger

from .common import MilestoneBillingCommon


@tagged("post_install", "-at_install")
class TestImport(MilestoneBillingCommon):
    """Customers, orders and schedules come from one sheet, as a whole or not at all."""

    def make(self, content, name="orders.csv", **values):
        data = base64.b64encode(content.encode() if isinstance(content, str) else content)
        return self.env["milestone.billing.import"].create({"file": data, "filename": name, **values})

    def get_template(self):
        with file_open("milestone_billing/static/xls/milestones_import.csv") as file:
            return file.read()

    def find(self, reference="OLD-%"):
        return self.env["sale.order"].search([("origin", "=like", reference)], order="origin")

    def test_template_file_is_imported(self):
        wizard = self.make(self.get_template(), is_confirmed=True)
        wizard.action_check()
        self.assertIn("can be imported", wizard.result)
        self.assertFalse(self.find(), "a check leaves nothing behind")
        action = wizard.action_import()
        orders = self.env["sale.order"].search(action["domain"], order="origin")
        order, part_billed = orders
        self.assertEqual(
            (order.partner_id.name, order.amount_untaxed, order.state), ("Acme Ltd", 12000.0, "sale")
        )
        self.assertRecordValues(
            order.milestone_line_ids,
            [
                {"name": "Deposit", "amount_untaxed": 3000.0, "trigger": "order_confirmed"},
                {"name": "Designs", "amount_untaxed": 3000.0, "trigger": "manual"},
                {"name": "Launch", "amount_untaxed": 6000.0, "trigger": "date"},
            ],
        )
        self.assertConserved(order)
        self.assertRecordValues(
            part_billed.milestone_line_ids,
            [
                {"amount_untaxed": 3200.0, "amount_billed": 3200.0, "invoice_status": "before"},
                {"amount_untaxed": 2400.0, "amount_billed": 1200.0, "invoice_status": "none"},
                {"amount_untaxed": 2400.0, "amount_billed": 0.0, "invoice_status": "none"},
            ],
        )
        schedule = part_billed.milestone_schedule_id
        self.assertEqual(
            schedule.opening_ids.mapped("reference"), ["OLD-INV-118", "OLD-INV-131"], "with number and day"
        )
        self.assertEqual((schedule.amount_before, schedule.amount_retained), (4400.0, 160.0))
        self.assertConserved(part_billed)

    def test_workbook_is_imported_like_csv(self):
        book = openpyxl.Workbook()
        for line in self.get_template().splitlines():
            book.active.append(line.split(","))
        file = io.BytesIO()
        book.save(file)
        self.make(file.getvalue(), "orders.xlsx").action_import()
        order = self.find("OLD-0042")
        self.assertEqual(order.milestone_line_ids.mapped("amount_untaxed"), [3000.0, 3000.0, 6000.0])
        self.assertEqual(order.state, "draft")
        self.assertEqual(len(self.find("OLD-0043").milestone_line_ids.opening_ids), 2)

    def test_errors_name_their_rows_and_nothing_is_imported(self):
        good = self.get_template()
        bad = good + "Gamma,,OLD-2,,x,Start,120,never,,\n,,OLD-2,,,End,rest,date,soon,\n"
        wizard = self.make(bad)
        wizard.action_import()
        for text in (
            "Row 8: “product”",
            "Row 8: “amount”",
            "Row 8: “percent”",
            "Row 8: “trigger”",
            "Row 9: “date”",
        ):
            self.assertIn(text, wizard.result)
        self.assertFalse(self.find())

    def test_refusals_of_the_schedule_name_the_row(self):
        bad = (
            self.get_template()
            + "Gamma,,OLD-2,Website,100,Only half,50,,,\nGamma,,OLD-3,Nothing,1,All,rest,,,\n"
        )
        wizard = self.make(bad)
        wizard.action_import()
        self.assertIn("Row 8", wizard.result)
        self.assertIn("short of the order", wizard.result)
        self.assertIn("Row 9: There is no product “Nothing”", wizard.result)
        self.assertFalse(self.find())

    def test_customer_is_found_again(self):
        self.client_company.email = "office@acme.example"
        self.make(self.get_template()).action_import()
        self.assertEqual(self.find("OLD-0042").partner_id, self.client_company)

    def test_same_sheet_is_not_imported_twice(self):
        self.make(self.get_template(), is_confirmed=True).action_import()
        orders = self.find()
        again = self.make(self.get_template(), is_confirmed=True)
        again.action_import()
        self.assertEqual(self.find(), orders)
        self.assertIn("Row 2", again.result)
        self.assertIn(orders[0].name, again.result)
        orders[0]._action_cancel()
        again.action_check()
        self.assertNotIn("Row 2:", again.result, "what was cancelled may come again")

    def test_customer_of_a_refused_order_is_made_again_for_the_next(self):
        wizard = self.make(
            "customer,order,product,amount,milestone,percent\n"
            "Newcomer,NEW-1,No such product,100,All,rest\n"
            "Newcomer,NEW-2,Website,100,All,rest\n"
        )
        wizard.action_import()
        self.assertIn("Row 2: There is no product", wizard.result)
        self.assertNotIn("Row 3", wizard.result)

    def test_other_files_and_other_people_are_refused(self):
        for content, name in ((b"\xff\xfe\x00", "a.csv"), (b"PK", "a.xlsx"), (b"a,b\n1,2\n", "a.csv")):
            with self.assertRaises(UserError):
                self.make(content, name).action_check()
        with self.assertRaises(AccessError):
            self.env["milestone.billing.import"].with_user(self.project_user).create({"file": b"YQ=="})


@tagged("post_install", "-at_install")
class TestOdooImport(MilestoneBillingCommon):
    """Orders come with their milestones through Odoo's own import: template, dry run, errors by row."""

    OPTIONS = {
        "quoting": '"',
        "separator": ",",
        "has_headers": True,
        "encoding": "utf-8",
        "float_thousand_separator": ",",
        "float_decimal_separator": ".",
        "date_format": "%Y-%m-%d",
        "datetime_format": "",
    }

    def run_import(self, content, is_dry):
        """Import a sheet as the import screen does, with the columns that it finds by itself."""
        values = {"res_model": "sale.order", "file": content.encode(), "file_name": "orders.csv"}
        wizard = self.env["base_import.import"].create({**values, "file_type": "text/csv"})
        preview = wizard.parse_preview(self.OPTIONS)
        matches = preview["matches"]
        self.assertEqual(len(matches), len(preview["headers"]), "each column of the template is known")
        columns = ["/".join(matches[place]) for place in range(len(preview["headers"]))]
        self.env.flush_all()  # a dry run is undone, what was not written yet with it
        return wizard.execute_import(columns, preview["headers"], self.OPTIONS, dryrun=is_dry)

    def get_template(self):
        path = self.env["sale.order"].get_import_templates()[-1]["template"]
        with file_open(path.lstrip("/")) as file:
            return file.read()

    def find(self):
        return self.env["sale.order"].search(
            [("client_order_ref", "=like", "PO-104_")], order="client_order_ref"
        )

    def test_template_is_tried_and_imported(self):
        for name in ("Acme Ltd", "Beta Builders"):
            self.env["res.partner"].create({"name": name})
        self.env["product.product"].create({"name": "Hosting", "type": "service"})
        self.service.name = "Website"
        self.assertFalse(self.run_import(self.get_template(), is_dry=True)["messages"])
        self.assertFalse(self.find(), "a dry run leaves nothing")
        self.assertFalse(self.run_import(self.get_template(), is_dry=False)["messages"])
        orders = self.find()
        self.assertEqual(
            [order.milestone_line_ids.mapped("amount_untaxed") for order in orders],
            [[3150.0, 3150.0, 6300.0], [4000.0, 4000.0]],
        )
        orders.action_confirm()
        self.assertEqual(
            orders.milestone_line_ids.filtered("invoice_ids").mapped("name"), ["Deposit", "Half now"]
        )

    def test_errors_name_their_rows_and_nothing_is_imported(self):
        self.env["res.partner"].create({"name": "Acme Ltd"})
        self.service.name = "Website"
        with mute_logger("odoo.sql_db"):
            result = self.run_import(self.get_template(), is_dry=False)
        self.assertEqual(sorted({message["rows"]["from"] for message in result["messages"]}), [0, 3])
        self.assertIn("Hosting", str(result["messages"]))
        self.assertIn("Beta Builders", str(result["messages"]))
        self.assertFalse(self.find())
