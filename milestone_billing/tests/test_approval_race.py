import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from unittest.mock import patch

import psycopg2
from odoo import SUPERUSER_ID, Command, api
from odoo.http import root
from odoo.tests.common import HOST, tagged
from odoo.tools import mute_logger
from werkzeug.test import Client

from ..models.milestone_billing_approval_link import MilestoneBillingApprovalLink
from .common_race import RaceCommon

MANY = 20
TIMEOUT_SECONDS = 240
HIDDEN = re.compile(r'<input type="hidden" name="([a-z_0-9]+)" value="([^"]*)"')
TOLD = re.compile(r'<div id="refusal"[^>]*>\s*(.*?)\s*</div>', re.DOTALL)
QUIET = ("odoo.sql_db", "odoo.service.model", "werkzeug", "odoo.http")


class Browser:
    """A client's browser: the whole server behind it, in a thread and a transaction of its own."""

    def __init__(self):
        self.client = Client(root)

    def get(self, path):
        """Open a page and give its text."""
        response = self.client.get(path, base_url=f"http://{HOST}")
        assert response.status_code == 200, (
            path,
            response.status_code,
            response.get_data(as_text=True)[:500],
        )
        return response.get_data(as_text=True)

    def post(self, path, form):
        """Send a form; give the status, and what the answer says."""
        response = self.client.post(path, data=form, base_url=f"http://{HOST}")
        told = TOLD.search(response.get_data(as_text=True))
        return response.status_code, " ".join(re.sub("<[^>]+>", "", told[1]).split()) if told else ""

    def enter(self, path, secret):
        """Come in by the link of a mail."""
        form = dict(HIDDEN.findall(self.get(f"{path}?k={secret}")))
        return self.post(f"{path}/open", form)

    def read_form(self, approval_uuid, step="approve", **more):
        """Open the form of a decision and fill it in."""
        fields = dict(HIDDEN.findall(self.get(f"/my/milestones/{approval_uuid}/{step}")))
        return {**fields, "accept": "1", "typed_name": "Zoe Client", "reason": "Not yet", **more}


@tagged("-standard", "-at_install", "post_install", "milestone_race")
class TestDecisionRace(RaceCommon):
    """Many answers at the same moment through the whole server: one effect, and every loser is told why."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with cls.registry.cursor() as cr:
            env = api.Environment(cr, SUPERUSER_ID, {})
            cls.create_company(env, "Race Studio", milestone_invoice_posting="approval")
            client = env["res.partner"].create({"name": "Race Client Ltd", "is_company": True})
            cls.contact_ids = (
                env["res.partner"]
                .create(
                    [
                        {
                            "name": f"Approver {number}",
                            "parent_id": client.id,
                            "email": f"a{number}@client.example",
                        }
                        for number in range(MANY)
                    ]
                )
                .ids
            )

    def submit(self, approvers=1, quorum=1):
        """Commit a submission, with a link for each approver.

        :return: id and uuid of the submission, and path and secret of each link.
        """
        with self.registry.cursor() as cr:
            env = self.env_of(cr)
            order = env["sale.order"].create(
                {
                    "partner_id": env["res.partner"].browse(self.contact_ids[0]).parent_id.id,
                    "company_id": self.company_id,
                    "order_line": [Command.create({"product_id": self.product_id, "price_unit": 1000.0})],
                    "milestone_line_ids": [
                        Command.create({"name": "All of it", "percent": 100.0, "approval_required": True})
                    ],
                }
            )
            order.milestone_schedule_id.write(
                {
                    "quorum": quorum,
                    "approver_ids": [
                        Command.create({"partner_id": partner_id})
                        for partner_id in self.contact_ids[:approvers]
                    ],
                }
            )
            order.action_confirm()
            # The job that sends the mails of the links would take part in the race.
            with patch.object(MilestoneBillingApprovalLink, "_queue", self.make_link):
                order.milestone_line_ids._complete(trigger="manual")
            approval = order.milestone_line_ids.approval_ids
            links = [(f"/ma/{link.uuid}", link._issue_secret()) for link in approval.link_ids.sorted("id")]
            return approval.id, approval.uuid, links

    @staticmethod
    def make_link(links, seats, purpose="request"):
        return links.sudo().create(
            [{"seat_id": seat.id, "purpose": purpose, "state": "sent"} for seat in seats]
        )

    def enter_all(self, links):
        """Give one browser for each link, inside."""
        browsers = [Browser() for _link in links]
        for browser, (path, secret) in zip(browsers, links, strict=True):
            self.assertEqual(browser.enter(path, secret)[0], 303)
        return browsers

    def run_together(self, calls):
        """Run calls at the same moment in threads of their own."""
        barrier = threading.Barrier(len(calls))

        def run(call):
            barrier.wait(timeout=TIMEOUT_SECONDS)
            return call()

        with ThreadPoolExecutor(max_workers=len(calls)) as executor, mute_logger(*QUIET):
            futures = [executor.submit(run, call) for call in calls]
            return [future.result(timeout=TIMEOUT_SECONDS) for future in futures]

    def answer_together(self, browsers, approval_uuid, forms):
        """Send all forms at the same moment; a busy answer asks to press again, and so the browser does.

        :param forms: pairs of step and form.
        :return: status and words of each last answer.
        """

        def send(browser, step, form):
            def call():
                for _press in range(10):
                    status, told = browser.post(f"/my/milestones/{approval_uuid}/{step}", form)
                    if "press the button again" not in told:
                        break
                    self.assertEqual(status, 409)
                return status, told

            return call

        calls = [send(browser, *form) for browser, form in zip(browsers, forms, strict=True)]
        answers = self.run_together(calls)
        for status, told in answers:
            self.assertIn(status, (303, 409), told)
            if status == 409:
                self.assertRegex(told, "already decided", "every loser is told why")
        return answers

    def look(self, approval_id):
        """Give what became of a submission; its evidence is good after every race."""
        with self.registry.cursor() as cr:
            approval = self.env_of(cr)["milestone.billing.approval"].browse(approval_id)
            line = approval.line_id
            evidence = line.verify_evidence()
            self.assertTrue(evidence["ok"], evidence["problems"])
            return {
                "state": approval.state,
                "line": line.state,
                "decisions": Counter(approval.decision_ids.mapped("decision")),
                "events": Counter(line.evidence_ids.mapped("type")),
                "invoice": approval.move_id.state,
                "invoices": len(line.invoice_ids),
            }

    # === RACES ===

    def test_one_link_is_used_twenty_times_at_once(self):
        approval_id, key, links = self.submit()
        browsers = self.enter_all(links * MANY)
        forms = [("approve", browser.read_form(key)) for browser in browsers]
        answers = self.answer_together(browsers, key, forms)
        self.assertEqual(Counter(status for status, _told in answers), {303: 1, 409: MANY - 1})
        result = self.look(approval_id)
        self.assertEqual(
            (result["state"], result["line"], result["invoice"]), ("approved", "approved", "posted")
        )
        self.assertEqual((result["decisions"], result["invoices"]), ({"approve": 1}, 1))
        for event in ("approval.granted", "request.approved", "invoice.posted"):
            self.assertEqual(result["events"][event], 1, event)

    def test_twenty_approvers_of_whom_three_are_needed(self):
        approval_id, key, links = self.submit(approvers=MANY, quorum=3)
        browsers = self.enter_all(links)
        forms = [("approve", browser.read_form(key)) for browser in browsers]
        answers = self.answer_together(browsers, key, forms)
        self.assertEqual(Counter(status for status, _told in answers), {303: 3, 409: MANY - 3})
        result = self.look(approval_id)
        self.assertEqual((result["state"], result["invoice"]), ("approved", "posted"))
        self.assertEqual(result["decisions"], {"approve": 3})
        self.assertEqual((result["events"]["request.approved"], result["events"]["invoice.posted"]), (1, 1))

    def test_twenty_approvers_who_are_all_needed(self):
        approval_id, key, links = self.submit(approvers=MANY, quorum=0)
        browsers = self.enter_all(links)
        forms = [("approve", browser.read_form(key)) for browser in browsers]
        answers = self.answer_together(browsers, key, forms)
        self.assertEqual(Counter(status for status, _told in answers), {303: MANY})
        result = self.look(approval_id)
        self.assertEqual((result["state"], result["invoice"]), ("approved", "posted"))
        self.assertEqual(result["decisions"], {"approve": MANY})
        self.assertEqual(result["events"]["request.approved"], 1)

    def test_approvals_against_wishes_for_changes(self):
        approval_id, key, links = self.submit(approvers=MANY)
        browsers = self.enter_all(links)
        steps = ("approve", "changes", "decline")
        forms = [
            (steps[place % 3], browser.read_form(key, steps[place % 3]))
            for place, browser in enumerate(browsers)
        ]
        answers = self.answer_together(browsers, key, forms)
        self.assertEqual(Counter(status for status, _told in answers), {303: 1, 409: MANY - 1})
        result = self.look(approval_id)
        [decision] = result["decisions"]
        expected = {
            "approve": ("approved", "approved", "posted"),
            "changes": ("changes_requested", "changes_requested", "draft"),
            "decline": ("declined", "changes_requested", "draft"),
        }[decision]
        self.assertEqual((result["state"], result["line"], result["invoice"]), expected)

    def test_one_button_is_pressed_twenty_times(self):
        approval_id, key, links = self.submit()
        [browser] = self.enter_all(links)
        form = browser.read_form(key)
        cookies = browser.client._cookies
        browsers = [Browser() for _press in range(MANY)]
        for other in browsers:
            other.client._cookies = dict(cookies)
        answers = self.answer_together(browsers, key, [("approve", form)] * MANY)
        self.assertEqual(
            Counter(status for status, _told in answers), {303: MANY}, "the same answer each time"
        )
        result = self.look(approval_id)
        self.assertEqual((result["state"], result["decisions"]), ("approved", {"approve": 1}))
        self.assertEqual(result["events"]["approval.granted"], 1)
        self.assertEqual(browser.post(f"/my/milestones/{key}/approve", form)[0], 303, "and later, too")

    def test_one_link_is_opened_twenty_times_at_once(self):
        approval_id, _key, links = self.submit()
        [(path, secret)] = links
        answers = self.run_together([lambda: Browser().enter(path, secret) for _turn in range(MANY)])
        self.assertEqual(Counter(status for status, _told in answers), {303: MANY})
        self.assertEqual(self.look(approval_id)["events"]["link.opened"], MANY)

    def test_not_me_against_approvals(self):
        approval_id, key, links = self.submit(approvers=MANY, quorum=2)
        browsers = self.enter_all(links)
        path, secret = links[-1]
        denial = dict(HIDDEN.findall(browsers[-1].get(f"{path}/not-me?k={secret}")))
        path_to = f"/my/milestones/{key}/approve"
        forms = [browser.read_form(key) for browser in browsers]
        calls = [
            partial(browser.post, path_to, form)
            for browser, form in zip(browsers[:-1], forms[:-1], strict=True)
        ]
        answers = self.run_together([*calls, lambda: browsers[-1].post(f"{path}/not-me", denial)])
        self.assertEqual(answers[-1][0], 200)
        self.assertLessEqual({status for status, _told in answers[:-1]}, {303, 409})
        result = self.look(approval_id)
        self.assertEqual((result["state"], result["line"]), ("contested", "changes_requested"))
        self.assertEqual(result["events"]["approval.repudiated"], 1)

    def test_change_of_the_text_against_approvals(self):
        approval_id, key, links = self.submit(approvers=MANY)
        browsers = self.enter_all(links)
        forms = [browser.read_form(key) for browser in browsers]
        calls = [
            partial(browser.post, f"/my/milestones/{key}/approve", form)
            for browser, form in zip(browsers, forms, strict=True)
        ]
        answers = self.run_together([*calls, partial(self.rewrite, approval_id)])[:-1]
        statuses = Counter(status for status, _told in answers)
        self.assertLessEqual(set(statuses), {303, 409})
        result = self.look(approval_id)
        self.assertIn(result["state"], ("approved", "superseded"))
        self.assertEqual(statuses[303], result["decisions"]["approve"])
        self.assertEqual(statuses[303], int(result["state"] == "approved"))
        self.assertEqual(result["invoice"], "posted" if result["state"] == "approved" else "draft")

    def rewrite(self, approval_id):
        """Change the text of a milestone as its manager does, tried again as the server does."""
        for _attempt in range(MANY):
            try:
                with self.registry.cursor() as cr:
                    approval = self.env_of(cr)["milestone.billing.approval"].browse(approval_id)
                    approval.line_id.description = "Otherwise."
                return 200, ""
            except psycopg2.errors.SerializationFailure:
                continue
        raise AssertionError("the change did not get through")
