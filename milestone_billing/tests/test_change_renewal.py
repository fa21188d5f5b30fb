from datetime import timedelta

from odoo import fields
from odoo.tests import tagged

from .test_change import ChangeHttpCommon

UNKNOWN = "7f1df4c4-39a4-4a1f-9d6b-4a3a2a8f8f11"


@tagged("post_install", "-at_install")
class TestChangeRenewal(ChangeHttpCommon):
    """Whoever holds a link of a change order that ran out gets a fresh one: by mail, to the address on record."""

    def setUp(self):
        super().setUp()
        self.change = self.propose()
        self.link = self.change.sudo().link_ids
        self.base, _mark, self.secret = self.get_link(self.change).partition("?k=")
        self.run_out()
        self.authenticate(None, None)

    def run_out(self):
        self.link.expires_on = fields.Datetime.now() - timedelta(seconds=1)

    def send(self, action, secret=None, base=None):
        """Press a button below the link, as somebody who has opened it before."""
        token = self.fields_of(self.url_open("/milestones/verify"))["csrf_token"]
        form = {"csrf_token": token, "k": self.secret if secret is None else secret}
        return self.url_open(f"{base or self.base}/{action}", data=form, allow_redirects=False)

    def run_job(self):
        """Send what is queued, and give the mails."""
        Mail = self.env["mail.mail"].sudo()
        before = Mail.search([])
        with self.no_commits():
            self.env["milestone.billing.change.link"].sudo()._cron_send_links()
        return Mail.search([]) - before

    def get_sent(self):
        entries = self.change.evidence_ids.filtered(lambda entry: entry.type == "request.sent")
        return [entry._get_body()["data"] for entry in entries.sorted("seq")]

    def test_fresh_link_goes_to_the_approver_and_replaces_the_old_one(self):
        page = self.send("open")
        self.assertEqual(page.status_code, 410)
        self.assertIn("Send me a new link", page.text)
        self.assertEqual(self.fields_of(page)["k"], self.secret)
        answer = self.send("renew")
        self.assertEqual((answer.status_code, answer.headers["Referrer-Policy"]), (200, "no-referrer"))
        self.assertIn("on its way to the same mail address", answer.text)
        self.assertNotIn("client.example", answer.text, "nobody learns the address")
        mail = self.run_job()
        self.assertEqual(mail.email_to, self.contact.email_formatted)
        self.assertIn("the new link which you asked for", mail.body_html)
        address = "/mc/" + mail.body_html.split("/mc/")[1].split('"')[0]
        base, _mark, secret = address.partition("?k=")
        self.assertEqual(base, self.base)
        self.assertEqual(self.send("open").status_code, 404, "the old one is over")
        opened = self.send("open", secret)
        self.assertEqual(opened.headers["Location"], f"/my/changes/{self.change.uuid}")

    def test_evidence_holds_both_mails(self):
        self.send("renew")
        self.run_job()
        first, second = self.get_sent()
        self.assertEqual((first["purpose"], second["purpose"]), ("request", "resend"))
        self.assertNotEqual(first["mail_sha256"], second["mail_sha256"])
        self.assertTrue(self.change.verify_evidence()["ok"])
        self.assertFalse(self.change._find_document_problems(is_deep=True))
        files = self.change._prepare_bundle_mails("full")
        self.assertEqual(sorted(files), ["mail/request_1.eml", "mail/request_1_1.eml"])
        self.assertNotIn(b"?k=" + self.secret.encode(), files["mail/request_1.eml"])

    def test_a_few_a_day_and_one_mail_for_impatient_clicks(self):
        statuses = [self.send("renew").status_code for _click in range(4)]
        self.assertEqual(statuses, [200] * 3 + [403])
        self.assertEqual(len(self.run_job()), 1)
        self.assertFalse(self.run_job())

    def test_made_up_links_and_wrong_secrets_get_the_same_answer_and_no_mail(self):
        answers = [
            self.send("renew", "x" * 43),
            self.send("renew", ""),
            self.send("renew", base=f"/mc/{UNKNOWN}"),
            self.send("renew", base="/mc/nothing"),
        ]
        texts = {answer.text.replace(answer.url.split("/")[4], "") for answer in answers}
        self.assertEqual([answer.status_code for answer in answers], [404] * 4)
        self.assertEqual(len(texts), 1)
        self.assertFalse(self.run_job())

    def test_decided_and_expired_ones_are_sent_for_reading_and_withdrawn_ones_not_at_all(self):
        for state in ("approved", "declined", "expired"):
            self.env["milestone.billing.attempt"].sudo().search([]).unlink()
            self.change._write_internal({"state": state})
            page = self.send("open")
            self.assertIn("Send me a new link", page.text, state)
            self.assertEqual("read what was offered" in page.text, state == "expired")
            self.assertEqual(self.send("renew").status_code, 200)
            self.secret = self.run_job().body_html.split("?k=")[1].split('"')[0]
            self.assertEqual(self.send("open").status_code, 303, state)
            self.run_out()
        self.link._revoke()
        self.assertEqual(self.send("renew").status_code, 403)
        self.assertFalse(self.run_job())
