import hashlib
from collections import Counter
from functools import partial

from odoo import Command, fields
from odoo.tests import tagged

from .common_answer_race import HIDDEN, MANY, AnswerRaceCommon, Browser

BASE = "/my/changes"


@tagged("-standard", "-at_install", "post_install", "milestone_race")
class TestChangeRace(AnswerRaceCommon):
    """Many answers to a change order at the same moment: the order changes once, and every loser is told why."""

    def propose(self, approvers=1, quorum=1):
        """Commit a change order of 500.00, with a link for each approver.

        :return: id and uuid of the change order, and path and secret of each link.
        """
        with self.registry.cursor() as cr:
            env = self.env_of(cr)
            order = self.create_whole_order(env)
            schedule = order.milestone_schedule_id
            approver_ids = [
                Command.create({"partner_id": partner_id}) for partner_id in self.contact_ids[:approvers]
            ]
            schedule.write({"quorum": quorum, "approver_ids": approver_ids})
            order.action_confirm()
            position = {"product_id": self.product_id, "price_unit": 500.0, "name": "More"}
            change = env["milestone.billing.change"].browse(schedule.propose_change([position])["change_id"])
            return change.id, change.uuid, [self.give_secret(link) for link in change.link_ids.sorted("id")]

    def give_secret(self, link):
        """Give path and secret of a link without its mail: the job that sends it would take part in the race."""
        secret = f"secret-{link.uuid}"
        link.write(
            {
                "state": "sent",
                "secret_sha256": hashlib.sha256(secret.encode()).hexdigest(),
                "expires_on": fields.Datetime.add(fields.Datetime.now(), days=1),
            }
        )
        return f"/mc/{link.uuid}", secret

    def read_form(self, browser, key):
        found = dict(HIDDEN.findall(browser.get(f"{BASE}/{key}")))
        return {**found, "accept": "1", "typed_name": "Zoe Client", "reason": "Not yet"}

    def look(self, change_id):
        """Give what became of a change order; its evidence is good after every race."""
        with self.registry.cursor() as cr:
            change = self.env_of(cr)["milestone.billing.change"].browse(change_id)
            evidence = change.verify_evidence()
            self.assertTrue(evidence["ok"], evidence["problems"])
            return {
                "state": change.state,
                "decisions": Counter(change.link_ids.filtered("decision").mapped("decision")),
                "amount": change.order_id.amount_untaxed,
                "events": Counter(change.evidence_ids.mapped("type")),
            }

    def test_one_link_is_used_twenty_times_at_once(self):
        change_id, key, links = self.propose()
        browsers = self.enter_all(links * MANY)
        forms = [("approve", self.read_form(browser, key)) for browser in browsers]
        answers = self.answer_together(browsers, key, forms, BASE)
        self.assertEqual(Counter(status for status, _told in answers), {303: 1, 409: MANY - 1})
        result = self.look(change_id)
        self.assertEqual((result["state"], result["amount"]), ("approved", 1500.0))
        self.assertEqual(result["events"]["approval.granted"], 1)

    def test_one_button_is_pressed_twenty_times(self):
        change_id, key, links = self.propose()
        [browser] = self.enter_all(links)
        form = self.read_form(browser, key)
        browsers = [Browser() for _press in range(MANY)]
        for other in browsers:
            other.client._cookies = dict(browser.client._cookies)
        answers = self.answer_together(browsers, key, [("approve", form)] * MANY, BASE)
        self.assertEqual(Counter(status for status, _told in answers), {303: MANY})
        result = self.look(change_id)
        self.assertEqual((result["amount"], result["events"]["approval.granted"]), (1500.0, 1))

    def test_twenty_approvers_of_whom_three_are_needed(self):
        change_id, key, links = self.propose(approvers=MANY, quorum=3)
        browsers = self.enter_all(links)
        forms = [("approve", self.read_form(browser, key)) for browser in browsers]
        answers = self.answer_together(browsers, key, forms, BASE)
        self.assertEqual(Counter(status for status, _told in answers), {303: 3, 409: MANY - 3})
        result = self.look(change_id)
        self.assertEqual((result["state"], result["amount"]), ("approved", 1500.0))
        self.assertEqual(result["decisions"], {"approve": 3})

    def test_not_me_against_approvals(self):
        change_id, key, links = self.propose(approvers=MANY, quorum=2)
        browsers = self.enter_all(links)
        forms = [self.read_form(browser, key) for browser in browsers]
        path, secret = links[-1]
        denial = dict(HIDDEN.findall(browsers[-1].get(f"{path}/not-me?k={secret}")))
        calls = [
            partial(browser.post, f"{BASE}/{key}/approve", form)
            for browser, form in zip(browsers[:-1], forms[:-1], strict=True)
        ]
        answers = self.run_together([*calls, lambda: browsers[-1].post(f"{path}/not-me", denial)])
        self.assertEqual(answers[-1][0], 200)
        self.assertLessEqual({status for status, _told in answers[:-1]}, {303, 409})
        result = self.look(change_id)
        self.assertEqual(result["state"], "contested")
        self.assertEqual(result["events"]["approval.repudiated"], 1)
        self.assertIn(result["amount"], (1000.0, 1500.0))
