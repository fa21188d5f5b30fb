"""Milestones whose agreed amount moves are named on their schedule: the old figure, the new one, and why."""

from odoo import Command
from odoo.tests import tagged
from odoo.tools import html2plaintext

from .test_change import ChangeCommon


@tagged("post_install", "-at_install")
class TestPlanNote(ChangeCommon):
    def create_fixed_order(self, *amounts):
        """A fixed milestone, percentages, and what is left."""
        order = self.create_order(shares=(0, *amounts, 0), confirm=False)
        order.milestone_line_ids[0].write({"amount_type": "fixed", "amount_fixed": 3000.0})
        order.action_confirm()
        self.env.cr.precommit.run()
        return order

    def read_notes(self, order, known):
        """Write the transaction down; give the new notes of the schedule as text, oldest first."""
        self.env.cr.precommit.run()
        messages = (order.milestone_schedule_id.message_ids - known).sorted("id")
        return [" ".join(html2plaintext(message.body).replace("\xa0", " ").split()) for message in messages]

    def play(self, order, *steps):
        known = order.milestone_schedule_id.message_ids
        for step in steps:
            step()
        return self.read_notes(order, known)

    def moved(self, line, old, new):
        figures = [f"$ {amount:,.2f}" for amount in (old, new)]
        return f"{line.display_name}: {figures[0]} → {figures[1]}"

    def test_agreed_share_stays_where_the_remainder_can_give(self):
        order = self.create_fixed_order(50)
        fixed, share, rest = order.milestone_line_ids
        (note,) = self.play(order, lambda: fixed.write({"amount_fixed": 4000.0}))
        self.assertEqual(order.milestone_line_ids.mapped("amount_untaxed"), [4000.0, 5000.0, 1000.0])
        self.assertIn("Changed: “Stage 1”.", note)
        self.assertIn(self.moved(fixed, 3000, 4000), note)
        self.assertIn(self.moved(rest, 2000, 1000), note)
        self.assertNotIn(share.name, note)

    def test_shares_give_once_the_remainder_is_used_up_and_are_named_in_one_note(self):
        order = self.create_fixed_order(40, 10)
        fixed, first, second, rest = order.milestone_line_ids
        (note,) = self.play(order, lambda: fixed.write({"amount_fixed": 6500.0}))
        self.assertEqual(order.milestone_line_ids.mapped("amount_untaxed"), [6500.0, 2800.0, 700.0, 0.0])
        for line, old, new in ((first, 4000, 2800), (second, 1000, 700), (rest, 2000, 0)):
            self.assertIn(self.moved(line, old, new), note)

    def test_one_note_for_all_that_is_changed_at_once_and_none_for_what_comes_back(self):
        order = self.create_fixed_order(50)
        fixed, share, rest = order.milestone_line_ids
        notes = self.play(
            order,
            lambda: fixed.write({"amount_fixed": 4000.0}),
            lambda: order.order_line.write({"price_unit": 11000.0}),
            lambda: fixed.write({"amount_fixed": 3000.0}),
        )
        self.assertEqual(len(notes), 1)
        self.assertIn("The order comes to $ 11,000.00, before to $ 10,000.00.", notes[0])
        self.assertNotIn(fixed.name + ":", notes[0])
        for line, old in ((share, 5000), (rest, 2000)):
            self.assertIn(self.moved(line, old, line.amount_untaxed), notes[0])
        notes = self.play(
            order,
            lambda: fixed.write({"amount_fixed": 4000.0}),
            lambda: fixed.write({"amount_fixed": 3000.0}),
        )
        self.assertEqual(notes, [])

    def test_billed_milestones_and_new_ones_are_not_named(self):
        order = self.create_fixed_order(50)
        _fixed, share, rest = order.milestone_line_ids
        self.assertEqual(self.play(order, share.action_complete), [])
        more = {"name": "More", "amount_type": "fixed", "amount_fixed": 500.0, "sequence": 25}
        (note,) = self.play(order, lambda: order.write({"milestone_line_ids": [Command.create(more)]}))
        self.assertTrue(note.startswith("Added: “More”. "), note)
        self.assertIn(self.moved(rest, 2000, 1500), note)
        self.assertEqual(note.count("→"), 1)

    def test_another_amount_than_planned_tells_what_the_others_lose(self):
        order = self.create_fixed_order(50)
        _fixed, share, rest = order.milestone_line_ids
        (note,) = self.play(order, lambda: share.complete(amount=5600))
        self.assertIn(self.moved(rest, 2000, 1400), note)

    def test_cancelled_and_restored_milestones_are_the_reason(self):
        order = self.create_fixed_order(50)
        share, rest = order.milestone_line_ids[1:]
        (note,) = self.play(order, share.action_cancel)
        self.assertIn("Cancelled: “Stage 2”.", note)
        self.assertIn(self.moved(rest, 2000, 7000), note)
        (note,) = self.play(order, share.action_restore)
        self.assertIn("Restored: “Stage 2”.", note)
        self.assertIn(self.moved(rest, 7000, 2000), note)

    def test_change_order_is_named(self):
        self.env.cr.precommit.run()
        lower = {"order_line_id": self.order.order_line.id, "price_unit": 8000.0}
        change = self.propose(lower)
        (note,) = self.play(self.order, lambda: self.decide(change))
        self.assertIn(f"Change order {change.reference} was approved.", note)
        for line in self.order.milestone_line_ids:
            self.assertIn(self.moved(line, 2500, 2000), note)

    def test_change_order_that_is_only_tried_tells_nothing(self):
        self.env.cr.precommit.run()
        lower = {"order_line_id": self.order.order_line.id, "price_unit": 8000.0}
        self.assertEqual(self.play(self.order, lambda: self.propose(lower)), [])

    def test_names_are_text(self):
        order = self.create_fixed_order(50)
        fixed, _share, rest = order.milestone_line_ids
        fixed.name = rest.name = "<b>Bold</b>"
        (note,) = self.play(order, lambda: fixed.write({"amount_fixed": 4000.0}))
        self.assertEqual(note.count("<b>Bold</b>"), 3)
