import re
import threading
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

from odoo import SUPERUSER_ID, Command, api
from odoo.http import root
from odoo.tests.common import HOST
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


class AnswerRaceCommon(RaceCommon):
    """Many answers at the same moment through the whole server."""

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

    def create_whole_order(self, env, **milestone):
        """Create a quotation of 1,000.00 that one milestone bills."""
        return env["sale.order"].create(
            {
                "partner_id": env["res.partner"].browse(self.contact_ids[0]).parent_id.id,
                "company_id": self.company_id,
                "order_line": [Command.create({"product_id": self.product_id, "price_unit": 1000.0})],
                "milestone_line_ids": [Command.create({"name": "All of it", "percent": 100.0, **milestone})],
            }
        )

    def submit(self, approvers=1, quorum=1):
        """Commit a submission, with a link for each approver.

        :return: id and uuid of the submission, and path and secret of each link.
        """
        with self.registry.cursor() as cr:
            env = self.env_of(cr)
            order = self.create_whole_order(env, approval_required=True)
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

    def answer_together(self, browsers, key, forms, base="/my/milestones"):
        """Send all forms at the same moment; a busy answer asks to press again, and so the browser does.

        :param forms: pairs of step and form.
        :return: status and words of each last answer.
        """

        def send(browser, step, form):
            def call():
                for _press in range(10):
                    status, told = browser.post(f"{base}/{key}/{step}", form)
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
