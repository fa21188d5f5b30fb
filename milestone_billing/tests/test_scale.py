import io
import tracemalloc

from odoo import Command
from odoo.tests import new_test_user, tagged

from .common_approval import ApprovalCommon
from .scale import multiply

FEW, MANY = 20, 400
QUEUE_FIELDS = (
    "reference",
    "name",
    "partner_id",
    "amount_total",
    "state",
    "invoice_status",
    "blocked_reason",
    "waiting_days",
    "is_ready",
    "can_complete",
    "position_label",
    "next_reminder_on",
)


@tagged("post_install", "-at_install")
class TestScale(ApprovalCommon):
    """The queue, the dashboard and the client's list take the same number of statements for few and for many."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.approval = cls.create_submitted()
        cls.order = cls.approval.line_id.order_id
        cls.Line = cls.env["milestone.billing.line"]

    def count_statements(self, work):
        """Count the SQL statements of a piece of work with an empty cache."""
        self.env.flush_all()
        self.env.invalidate_all()
        before = self.env.cr.sql_log_count
        result = work()
        self.env.flush_all()
        return self.env.cr.sql_log_count - before, result

    def assertConstant(self, work, slack=0):
        """A piece of work takes as many statements with many more milestones as with few.

        :param work: function; called again for each size.
        :param slack: statements more that are allowed, for a further chunk of prefetching.
        """
        work()
        multiply(self.order, FEW)
        few, _result = self.count_statements(work)
        multiply(self.order, MANY)
        many, result = self.count_statements(work)
        self.assertLessEqual(many, few + slack)
        return result

    def test_copies_are_orders_like_any_other(self):
        ids = multiply(self.order, 3)
        copies = self.Line.browse(ids)
        self.assertEqual(len(copies.order_id), 3)
        self.assertEqual(copies.order_id.milestone_line_ids, copies)
        self.assertEqual(set(copies.mapped("amount_total")), {2500.0})
        self.assertFalse(copies.order_id & self.order)
        for order in copies.order_id:
            self.assertEqual(order.milestone_schedule_id.amount_difference, 0.0)
            self.assertEqual(order.milestone_line_ids.approval_ids.mapped("state"), ["requested"])

    def test_page_of_the_queue(self):
        spec = {name: {} for name in QUEUE_FIELDS}

        def read_page():
            return self.Line.web_search_read(
                [("state", "!=", "cancelled")], spec, limit=80, count_limit=10001
            )

        result = self.assertConstant(read_page)
        self.assertEqual(len(result["records"]), 80)

    def test_queue_takes_no_statement_for_each_row(self):
        multiply(self.order, FEW)
        spec = {name: {} for name in QUEUE_FIELDS}

        def read_page(limit):
            return self.Line.web_search_read([("state", "!=", "cancelled")], spec, limit=limit)["records"]

        self.count_statements(lambda: read_page(80))
        few, rows = self.count_statements(lambda: read_page(8))
        many, more = self.count_statements(lambda: read_page(80))
        self.assertEqual((few, len(rows), len(more)), (many, 8, 80))

    def test_filter_of_what_is_ready(self):
        self.order.milestone_schedule_id.gate = "none"
        found = self.assertConstant(lambda: self.Line.search_count([("is_ready", "=", True)]))
        self.assertEqual(found, 1 + FEW + MANY)

    def test_filter_of_what_a_payment_blocks(self):
        self.order.milestone_schedule_id.gate = "block"
        found = self.assertConstant(lambda: self.Line.search_count([("is_blocked_by_payment", "=", True)]))
        self.assertEqual(found, 3 * (1 + FEW + MANY))

    def test_columns_of_the_queue(self):
        groups = self.assertConstant(
            lambda: self.Line.formatted_read_group([], ["state"], ["__count", "amount_total:sum"])
        )
        self.assertGreater(sum(group["__count"] for group in groups), 4 * MANY)

    def test_dashboard(self):
        Dashboard = self.env["milestone.billing.dashboard"].with_company(self.company)
        figures = self.assertConstant(Dashboard.get_figures)["figures"]
        contract = next(figure["value"] for figure in figures if figure["name"] == "contract")
        self.assertEqual(contract, 10000.0 * (1 + FEW + MANY))

    def test_list_of_the_client(self):
        user = new_test_user(self.env, "zoe_scale", "base.group_portal")
        user.partner_id.parent_id = self.client_company
        user.write({"company_ids": [Command.link(self.company.id)], "company_id": self.company.id})
        Line = self.env["milestone.billing.line"].sudo()

        def read_list():
            return Line._search_for_client(user, limit=40)._prepare_client_rows(user)

        self.assertEqual(len(self.assertConstant(read_list)), 40)

    def test_list_takes_no_statement_for_each_row(self):
        multiply(self.order, FEW + 20)
        user = new_test_user(self.env, "zoe_scale", "base.group_portal")
        user.partner_id.parent_id = self.client_company
        user.write({"company_ids": [Command.link(self.company.id)], "company_id": self.company.id})
        Line = self.env["milestone.billing.line"].sudo()

        def read_list(limit):
            return Line._search_for_client(user, limit=limit)._prepare_client_rows(user)

        self.count_statements(lambda: read_list(40))
        few, _rows = self.count_statements(lambda: read_list(10))
        many, _rows = self.count_statements(lambda: read_list(40))
        self.assertEqual(few, many)

    def test_workbook_is_written_in_chunks(self):
        """Ten times the rows take hardly more memory: rows are read, written and forgotten."""
        Workbook = self.env["milestone.billing.workbook"].with_company(self.company)
        multiply(self.order, 150)
        self.measure_peak(Workbook)
        few = self.measure_peak(Workbook)
        multiply(self.order, 1350)
        many = self.measure_peak(Workbook)
        self.assertLess(many, 3 * few + 2**20, f"{few} and {many} bytes")

    def measure_peak(self, Workbook):
        self.env.flush_all()
        self.env.invalidate_all()
        with io.BytesIO() as file:
            tracemalloc.start()
            Workbook._write(file, "schedule")
            _now, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            size = file.tell()
        return max(peak - size, 1)
