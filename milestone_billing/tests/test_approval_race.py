from collections import Counter
from functools import partial

import psycopg2
from odoo.tests import tagged

from .common_answer_race import HIDDEN, MANY, AnswerRaceCommon, Browser


@tagged("-standard", "-at_install", "post_install", "milestone_race")
class TestDecisionRace(AnswerRaceCommon):
    """Many answers to a submission: one effect, and every loser is told why."""

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
