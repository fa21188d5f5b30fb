from odoo.exceptions import AccessError
from odoo.tests import tagged

from .test_evidence_export import FIREFOX, ExportCommon, make_pdf


@tagged("post_install", "-at_install")
class TestEvidenceCertificate(ExportCommon):
    def test_certificate_is_issued_once_for_a_state(self):
        Certificate = self.env["milestone.billing.evidence.certificate"]
        self.assertFalse(self.line._get_certificate())
        self.approve()
        first = self.line._get_certificate()
        self.assertEqual((first.number, first.state), (f"{self.line.reference}-C1", "approved"))
        self.assertEqual(first._get_pdf(), make_pdf(pages=1))
        self.assertEqual(self.line._get_certificate(), first)
        self.assertFalse(Certificate._find_without() & self.line)
        self.line._log_evidence("payment.confirmed", actor_kind="system")
        self.assertEqual(self.line._get_certificate().number, f"{self.line.reference}-C2")
        self.assertTrue(self.line.verify_evidence()["ok"])

    def test_decided_milestones_are_found_for_issuing(self):
        self.approve()
        found = self.env["milestone.billing.evidence.certificate"]._find_without()
        self.assertIn(self.line, found)
        self.assertNotIn(self.other_line, found)

    def test_number_and_head_are_told_to_belong_together(self):
        self.approve()
        certificate = self.line._get_certificate()
        self.approve(self.other_line)
        other, known = self.other_line._get_certificate(), certificate._is_known
        for entry in self.line.evidence_ids:
            self.assertTrue(known(certificate.number, f" {entry.entry_hash.upper()} "))
        foreign = self.other_line.evidence_ids[-1].entry_hash
        for number, head in (
            (certificate.number, foreign),
            (other.number, entry.entry_hash),
            ("", ""),
            (None, None),
        ):
            self.assertFalse(known(number, head))

    def test_replaced_file_is_not_handed_out(self):
        self.approve()
        certificate = self.line._get_certificate()
        domain = [
            ("res_model", "=", certificate._name),
            ("res_field", "=", "pdf"),
            ("res_id", "=", certificate.id),
        ]
        self.env["ir.attachment"].sudo().search(domain).raw = b"%PDF forged"
        self.assertIsNone(certificate._get_pdf())

    def test_project_users_do_not_read_certificates(self):
        self.approve()
        with self.assertRaises(AccessError):
            self.line._get_certificate().with_user(self.project_user).read(["pdf"])

    def test_text_is_complete_and_masked(self):
        self.approve(actor_email="zoe@client.example", reason="<b>no markup</b>")
        self.line._log_evidence("review.file_opened", data={"file_uuid": "f1"})
        html = self._render("X-C1", "client")
        for text in (
            "X-C1",
            "Approved",
            "L1: personal link",
            "Client Ltd",
            "All done",
            "2500.00",
            "site.txt",
        ):
            self.assertIn(text, html)
        for text in (
            "Opened by the approver",
            "z***@client.example",
            "&lt;b&gt;no markup",
            "203.0.113.7",
            "I approve.",
        ):
            self.assertIn(text, html)
        self.assertNotIn("zoe@client.example", html)
        self.assertNotIn("INTERIM", html)
        self.assertIn(self.line.evidence_ids[-1].entry_hash, html)
        self.assertIn("zoe@client.example", self._render("X-C1", "dispute"))
        self.assertIn("INTERIM", self._render(None, "client"))

    def test_browser_that_nobody_knows_is_shown_as_it_is(self):
        self.approve(user_agent="curious/1.0")
        self.assertIn("curious/1.0", self._render("X", "client"))

    def test_addresses_of_several_people_are_shown_to_none_of_them(self):
        self.approve(user_agent=FIREFOX)
        self.line._log_evidence("test.case", pii={"ip": "192.0.2.99"})
        html = self._render("X", "client")
        for value in ("203.0.113.7", FIREFOX, "<div>Firefox 128.0, Linux</div>"):
            self.assertIn(value, html)
        self.assertNotIn("192.0.2.99", html, "an address of staff")
        other = self.client_company.milestone_evidence_ref
        who = {"actor_kind": "link_holder", "actor_ref": other}
        self.line._log_evidence("link.opened", **who, pii={"ip": "198.51.100.9", "actor_name": "Max"})
        html = self._render("X", "client")
        for value in ("203.0.113.7", "198.51.100.9", FIREFOX, "Firefox 128.0"):
            self.assertNotIn(value, html)
        html = self._render("X", "dispute")
        for value in ("203.0.113.7", "198.51.100.9", FIREFOX, "Firefox 128.0"):
            self.assertIn(value, html)

    def test_approval_by_staff_is_not_shown_as_the_clients_own(self):
        self.approve()
        self.line._log_evidence("approval.on_behalf", data={"method": "paper", "document_sha256": "0" * 64})
        self.assertIn("Not the client's own portal approval", self._render("X", "client"))

    def test_address_of_the_report_gives_neither_numbers_nor_addresses_in_full(self):
        self.approve()
        who = {"actor_kind": "link_holder", "actor_ref": self.client_company.milestone_evidence_ref}
        self.line._log_evidence("link.opened", **who, pii={"ip": "198.51.100.9", "actor_name": "Max"})
        html = self._render("FORGED-C1", "dispute", is_internal=False)
        self.assertNotIn("FORGED-C1", html)
        self.assertNotIn("198.51.100.9", html)
        self.assertIn("FORGED-C1", self._render("FORGED-C1", "dispute"))

    def _render(self, number, reader, is_internal=True):
        report = self.env["ir.actions.report"].sudo(is_internal)
        content, _kind = report._render_qweb_html(
            "milestone_billing.action_report_certificate",
            self.line.ids,
            data={"number": number, "reader": reader},
        )
        return content.decode()
