from odoo import Command
from odoo.exceptions import UserError, ValidationError
from odoo.tests import Form, tagged

from .common import MilestoneBillingCommon


@tagged("post_install", "-at_install")
class TestSchedule(MilestoneBillingCommon):
    def test_template_makes_the_schedule_of_an_order(self):
        template = self.create_template(
            ("Deposit", "percent", 30),
            ("Build", "percent", 33.33),
            ("Launch", "remainder", 0),
            retainage_percent=5,
        )
        order = self.create_order(shares=(), confirm=False)
        order.milestone_template_id = template
        order.action_apply_milestone_template()
        self.assertEqual(order.milestone_line_ids.mapped("amount_untaxed"), [3000.0, 3333.0, 3667.0])
        self.assertEqual(order.milestone_schedule_id.retainage_percent, 5)
        self.assertEqual(
            order.milestone_line_ids.mapped("reference"), [f"{order.name}-M0{place}" for place in (1, 2, 3)]
        )

    def test_template_over_100_percent_is_refused_with_the_difference(self):
        with self.assertRaisesRegex(ValidationError, r"105 %, 5 % too much.*“C”"):
            self.create_template(("A", "percent", 50), ("B", "percent", 50), ("C", "percent", 5))

    def test_template_below_100_percent_without_rest_is_refused(self):
        with self.assertRaisesRegex(ValidationError, "too little"):
            self.create_template(("A", "percent", 50), ("B", "percent", 30))

    def test_template_with_two_remainders_names_both(self):
        with self.assertRaisesRegex(ValidationError, "“B” and “C”"):
            self.create_template(("A", "percent", 50), ("B", "remainder", 0), ("C", "remainder", 0))

    def test_amounts_that_no_order_has_are_refused_with_the_name_of_the_line(self):
        order = self.create_order(shares=(50, 50), confirm=False)
        for kind, value, sentence in (
            ("percent", -5, "“A” bills -5 %"),
            ("percent", 100.5, "“A” bills 100.5 %"),
            ("percent", 1e300, r"“A” bills 1e\+300 %"),
            ("percent", float("nan"), "“A”: “nan” is not a number"),
            ("fixed", -5, "“A” bills a fixed amount of -5.00"),
            ("fixed", float("nan"), "“A”: “nan” is not a number"),
            ("fixed", float("inf"), "“A”: “inf” is not a number"),
        ):
            with self.subTest(kind=kind, value=value):
                with self.assertRaisesRegex(ValidationError, sentence):
                    self.create_template(("A", kind, value), ("B", "remainder", 0))
                field = "amount_fixed" if kind == "fixed" else "percent"
                with self.assertRaisesRegex(ValidationError, sentence):
                    order.milestone_line_ids[0].write(
                        {"name": "A", "amount_type": kind, "percent": 50, "amount_fixed": 0, field: value}
                    )

    def test_template_with_an_empty_line_names_it(self):
        with self.assertRaisesRegex(ValidationError, "“B” of template “Test” has no percentage"):
            self.create_template(("A", "percent", 100), ("B", "percent", 0))

    def test_template_with_an_amount_on_top_of_the_whole_names_it(self):
        with self.assertRaisesRegex(ValidationError, "so “Travel” would bill .*500.00 too much"):
            self.create_template(("A", "percent", 100), ("Travel", "fixed", 500))

    def test_template_without_lines_is_refused(self):
        with self.assertRaisesRegex(ValidationError, "no milestones"):
            self.create_template()

    def test_remainder_follows_the_other_lines_while_they_are_edited(self):
        def read(form):
            return [
                form.milestone_line_ids.edit(place).amount_untaxed
                for place in range(len(form.milestone_line_ids))
            ]

        form = Form(self.create_order(shares=(25, 25, 50), confirm=False))
        with form.milestone_line_ids.edit(0) as line:
            line.percent = 40
        self.assertEqual(read(form), [4000.0, 2500.0, 3500.0])
        with form.milestone_line_ids.new() as line:
            line.name, line.percent, line.sequence = "Training", 5, 40
        self.assertEqual(read(form), [4000.0, 2500.0, 3000.0, 500.0])
        form.milestone_line_ids.remove(1)
        self.assertEqual(read(form), [4000.0, 5500.0, 500.0])
        order = form.save()
        self.assertEqual(order.milestone_line_ids.mapped("amount_untaxed"), [4000.0, 5500.0, 500.0])
        spec = {"milestone_line_ids": {"fields": {"amount_untaxed": {}}}}
        first, rest, last = order.milestone_line_ids.ids
        removed = order.onchange({"milestone_line_ids": [[2, first]]}, ["milestone_line_ids"], spec)
        amounts = {
            ident: vals["amount_untaxed"] for _number, ident, vals in removed["value"]["milestone_line_ids"]
        }
        self.assertEqual(amounts, {rest: 9500.0, last: 500.0})

    def test_order_is_not_confirmed_while_milestones_do_not_add_up(self):
        order = self.create_order(shares=(50, 50), confirm=False)
        order.milestone_line_ids[1].write({"amount_type": "fixed", "amount_fixed": 4999.99})
        self.assertEqual(order.milestone_amount_difference, -0.01)
        self.assertRegex(order.milestone_difference_note, r"0\.01 missing \(0\.0001 %\)")
        with self.assertRaisesRegex(UserError, "0.01 short"):
            order.action_confirm()
        self.assertEqual(order.state, "draft")

    def test_remainder_below_zero_is_refused_with_the_figure(self):
        order = self.create_order(shares=(80, 50, 0), confirm=False)
        with self.assertRaisesRegex(UserError, "3,000.00"):
            order.action_confirm()

    def test_changed_order_is_spread_over_open_milestones_only(self):
        order = self.create_order()
        order.milestone_line_ids[0].action_complete()
        order.order_line.price_unit = 12000.0
        self.assertEqual(order.milestone_line_ids[0].amount_untaxed, 2500.0)
        self.assertEqual(sum(order.milestone_line_ids.mapped("amount_untaxed")), 12000.0)
        self.assertConserved(order)
        order.milestone_line_ids[1:].action_complete()
        self.assertBilledEqualsOrder(order)

    def test_order_cannot_fall_below_what_is_billed(self):
        order = self.create_order()
        order.milestone_line_ids[:2].action_complete()
        with self.assertRaisesRegex(UserError, "5,000.00"):
            order.order_line.price_unit = 4000.0

    def test_new_order_line_is_billed_by_the_open_milestones(self):
        order = self.create_order(taxes=self.tax_20)
        order.milestone_line_ids[0].action_complete()
        order.order_line = [self.prepare_line(999.99, self.tax_20)]
        self.assertConserved(order)
        order.milestone_line_ids[1:].action_complete()
        self.assertBilledEqualsOrder(order)

    def test_chosen_lines_bill_their_order_lines_alone(self):
        order = self.create_order(prices=(3000.0, 7000.0), confirm=False)
        kitchen = order.order_line[0]
        line = order.milestone_line_ids[1]
        line.write(
            {
                "allocation_mode": "lines",
                "allocation_ids": [Command.create({"order_line_id": kitchen.id, "percent": 50})],
            }
        )
        self.assertEqual(line.amount_untaxed, 1500.0)
        order.action_confirm()
        line.action_complete()
        billed = line.invoice_ids.invoice_line_ids.filtered(lambda item: item.display_type == "product")
        self.assertEqual(billed.sale_line_ids, kitchen)
        self.assertEqual(billed.price_subtotal, 1500.0)
        (order.milestone_line_ids - line).action_complete()
        self.assertBilledEqualsOrder(order)
        self.assertConserved(order)

    def test_template_line_with_a_product_bills_its_order_lines(self):
        kitchen = self.env["product.product"].create({"name": "Kitchen", "type": "service"})
        template = self.create_template(
            {"name": "Kitchen", "percent": 100, "product_id": kitchen.id}, ("Rest", "remainder", 0)
        )
        order = self.create_order(shares=(), confirm=False)
        order.milestone_template_id = template
        with self.assertRaisesRegex(UserError, "does not contain"):
            order.action_apply_milestone_template()
        order.order_line = [Command.create({"product_id": kitchen.id, "price_unit": 700.0})]
        order.action_apply_milestone_template()
        self.assertEqual(order.milestone_line_ids.mapped("amount_untaxed"), [700.0, 10000.0])
        order.action_confirm()
        self.assertConserved(order)

    def test_template_with_a_product_of_another_company_is_refused(self):
        other = self.env["res.company"].sudo().create({"name": "Other Ltd"})
        foreign = self.env["product.product"].sudo().create({"name": "Foreign", "company_id": other.id})
        with self.assertRaisesRegex(ValidationError, "“Kitchen”.*Foreign.*Other Ltd"):
            self.create_template(
                {"name": "Kitchen", "percent": 100, "product_id": foreign.id}, ("Rest", "remainder", 0)
            )

    def test_stage_that_billed_nothing_takes_nothing_later(self):
        order = self.create_order(shares=(50, 50), prices=(0.0,))
        first, second = order.milestone_line_ids
        first.action_complete()
        order.order_line = [self.prepare_line(100.0)]
        self.assertEqual((first.amount_untaxed, second.amount_untaxed), (0.0, 100.0))
        second.action_complete()
        self.assertEqual(sum(order.milestone_line_ids.invoice_ids.mapped("amount_untaxed")), 100.0)
