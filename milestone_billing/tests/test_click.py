from odoo.tests import tagged

from .common_approval import ApprovalCommon

# A ratchet: lower them when a click gets cheaper. Stock Odoo takes 110 for an invoice of a project milestone, without
# evidence and without asking the client.
COMPLETE_MAX, POST_MAX = 92, 63


@tagged("post_install", "-at_install")
class TestClick(ApprovalCommon):
    """What one click costs on a warm server, in SQL statements, everything written and the caches empty before."""

    def count_statements(self, work):
        self.env.flush_all()
        self.env.cr.precommit.run()
        self.env.flush_all()
        self.env.invalidate_all()
        before = self.env.cr.sql_log_count
        work()
        self.env.flush_all()
        self.env.cr.precommit.run()
        self.env.flush_all()
        return self.env.cr.sql_log_count - before

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # As everybody has who logs in with a browser.
        cls.env.user.tz = "Europe/Brussels"

    def create_planned(self):
        """Create a confirmed order of five lines in four stages that need approval; give the first stage."""
        order = self.create_order(
            prices=(333.33, 1250.0, 99.99, 4000.0, 17.5), taxes=self.tax_20, confirm=False
        )
        order.milestone_line_ids.approval_required = True
        order.action_confirm()
        return order.milestone_line_ids[0]

    def test_completing_one_milestone(self):
        lines = [self.create_planned() for _place in range(2)]
        _warm, statements = (self.count_statements(line.action_complete) for line in lines)
        self.assertEqual(lines[1].state, "submitted")
        self.assertEqual(self.get_events(lines[1])[-1], "request.created")
        self.assertEqual(lines[1].approval_ids.link_ids.mapped("state"), ["queued"])
        self.assertLessEqual(statements, COMPLETE_MAX)

    def test_posting_one_approved_invoice(self):
        self.company.milestone_invoice_posting = "draft"
        moves = []
        for _place in range(2):
            line = self.create_planned()
            line.action_complete()
            document = self.env["ir.attachment"].create({"name": "Signed", "raw": b"signed"})
            line.approval_ids.record_on_behalf("paper", document.id)
            moves.append(line.invoice_ids)
        _warm, statements = (self.count_statements(move._post) for move in moves)
        self.assertEqual(moves[1].state, "posted")
        self.assertEqual(self.get_events(moves[1].milestone_line_id)[-1], "invoice.posted")
        self.assertLessEqual(statements, POST_MAX)
