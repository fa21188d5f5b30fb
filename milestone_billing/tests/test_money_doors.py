"""Every public method of the addon, found by looking, called by those who may neither bill nor release nor credit."""

import inspect
from datetime import date, timedelta

from odoo import Command, fields
from odoo.exceptions import AccessError
from odoo.service.model import get_public_method
from odoo.tests import HttpCase, tagged
from odoo.tools import SQL, mute_logger

from .test_money_access import MoneyAccessCommon

OUR_CODE = "odoo.addons.milestone_billing."
OUR_MODELS = "milestone.billing."
CRUD = ("create", "write", "unlink", "copy")
DOCUMENTS = ("account_move", "account_move_line", "account_partial_reconcile", "payment_transaction")
# What the ledger, the steps and the engine write: no figure of these is a seller's.
FIGURES = {
    "milestone_billing_line": "id, state, invoice_status, amount_billed, company_id, currency_id, is_on_hold, gate_opened_on",
    "milestone_billing_schedule": "id, order_id, company_id, currency_id, partner_id, is_frozen, amount_frozen, "
    "amount_before, tie_out_state, ended_on",
    "milestone_billing_allocation": "line_id, order_line_id, move_id, opening_id, amount_untaxed, amount_tax, quantity",
    "milestone_billing_recovery": "id, amount_untaxed, amount_tax",
    "milestone_billing_opening": "id, amount_untaxed, is_booked",
    "milestone_billing_enrolment": "id",
    "milestone_billing_retainer": "id",
    "sale_order_line": "id, is_milestone_billed, milestone_deposit_id, qty_to_invoice",
    "sale_order": "id, milestone_schedule_id",
}
SHARED = ("milestone.billing.template", "milestone.billing.template.line", "milestone.billing.reminder.step")
NUMBERS = ("integer", "float", "monetary")
VALUES = {
    "char": "x",
    "text": "x",
    "html": "x",
    "date": "2020-01-01",
    "datetime": "2020-01-01 00:00:00",
    "json": {},
    "many2one_reference": 1,
}


class DoorsCommon(MoneyAccessCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.leave_records()
        own = {
            model._table
            for name, model in cls.registry.items()
            if name.startswith(OUR_MODELS) and not model._abstract and not model._transient and model._auto
        }
        cls.everything = dict.fromkeys([*sorted(own), *DOCUMENTS, "sale_order", "sale_order_line"], "t::text")

    @classmethod
    def leave_records(cls):
        """Leave a record of each kind that a method could work on."""
        cls.second = cls.create_deposit_order(taxes=cls.tax_20)
        schedule, lines = cls.second.milestone_schedule_id, cls.second.milestone_line_ids
        cls.env["milestone.billing.opening"].create(
            {
                "line_id": lines[1].id,
                "reference": "OLD-7",
                "date": date(2025, 11, 3),
                "amount_untaxed": 100.0,
            }
        )
        schedule.approver_ids = [Command.create({"partner_id": cls.contact.id})]
        cls.company.milestone_invoice_posting = "draft"
        lines[2].approval_required = True
        (lines[0] + lines[2]).action_complete()
        schedule.propose_change([{"product_id": cls.service.id}], name="More")
        cls.enrolment.charge(10, "Work")
        cls.env["milestone.billing.retainer"].create(
            {
                "name": "Care",
                "partner_id": cls.client_company.id,
                "company_id": cls.company.id,
                "product_id": cls.service.id,
                "amount_default": 1000.0,
                "hours_included": 10.0,
                "date_next": date(2026, 1, 1),
            }
        ).action_bill_next()

    def get_state(self, columns):
        """Read tables as the database has them: a change by any way is one."""
        self.env.flush_all()
        state = {}
        for table, names in columns.items():
            self.env.cr.execute(SQL("SELECT %s FROM %s t", SQL(names), SQL.identifier(table)))
            state[table] = sorted(map(repr, self.env.cr.fetchall()))
        return state

    def get_doors(self):
        """Find the methods of the addon that anybody can call over RPC, by model."""
        for name, model in sorted(self.env.registry.items()):
            methods = {
                method
                for base in model.mro()
                if base.__module__.startswith(OUR_CODE)
                for method, function in vars(base).items()
                if inspect.isfunction(function) and not method.startswith("_")
            }
            if name.startswith(OUR_MODELS):
                methods.update(CRUD)
            for method in sorted(methods if not model._abstract else ()):
                try:
                    get_public_method(self.env[name], method)
                except AccessError:
                    continue
                yield name, method

    def get_records(self, name):
        """Give records of a model one by one, the newest first; or none, to call its methods on."""
        Model = self.env[name].sudo()
        found = Model.browse()
        if not Model._transient:
            found = Model.with_context(active_test=False).search([], limit=2, order="id desc")
        return list(found) or [found]

    def get_arguments(self, record, method):
        """Make arguments that a method could be called with."""
        if method == "write":
            for field in record._fields.values():
                if self.is_ours(record, field):
                    yield {"vals": {field.name: self.make_value(record, field)}}
        elif method == "copy":
            yield {}
        else:
            known = {
                "vals_list": record.copy_data() if record and method == "create" else [{}],
                "attachment_ids": [],
                "attachment_id": 1,
                "method": "email",
                "ticket": "T-1",
                "lines": [{"product_id": self.service.id}],
                "reason": "why",
                "amount": 10,
                "description": "Work",
                "currency": self.company.currency_id,
                "fields_list": [],
                "values": {},
                "field_names": [],
                "fields_spec": {},
            }
            names = list(inspect.signature(getattr(type(record), method)).parameters)[1:]
            yield {name: known[name] for name in names if name in known}

    def is_ours(self, record, field):
        """Tell whether a field is the addon's, or decides whether milestones bill an order line."""
        if not field.store or field.name in ("id", *record._log_access * ("create_uid", "write_uid")):
            return False
        if record._name == "sale.order.line" and field.name in ("is_downpayment", "is_expense"):
            return True
        return "milestone_billing" in field._modules

    def make_value(self, record, field):
        value = record[field.name]
        if field.type == "boolean":
            return not value
        if field.type in NUMBERS:
            return value + 1
        if field.type == "selection":
            return next(key for key, _label in field._description_selection(self.env) if key != value)
        if field.type in ("one2many", "many2many"):
            return [Command.clear()]
        return VALUES.get(field.type, False)

    def try_doors(self, user, columns):
        """Call every method as a user, each in a transaction of its own that is taken back.

        :return: ``[(model, method, arguments, what came of it)]``: the tables that changed, or the error.
        """
        before, answers = self.get_state(columns), []
        for name, method in self.get_doors():
            for record in self.get_records(name):
                mine = record.with_user(user)
                if method == "write" and not mine.has_access("write"):
                    continue  # whatever the field
                for arguments in self.get_arguments(record, method):
                    answer = self.try_door(mine, method, arguments, columns, before)
                    answers.append((name, method, arguments, answer))
        return answers

    @mute_logger("odoo.models", "odoo.sql_db", "odoo.addons.base.models.ir_rule")
    def try_door(self, record, method, arguments, columns, before):
        savepoint = self.env.cr.savepoint()
        record = record.with_context(allowed_company_ids=record.env.user.company_ids.ids)
        try:
            getattr(record, method)(**arguments)
            after = self.get_state(columns)
            return {table for table in after if after[table] != before[table]}
        except Exception as error:  # noqa: BLE001 - made-up arguments may fail in any way: nothing comes of it
            return error
        finally:
            savepoint.close(rollback=True)
            self.env.invalidate_all(flush=False)

    def assertNothingMoved(self, who, columns, allowed=()):
        answers = self.try_doors(self.people[who], columns)
        moved = [answer for answer in answers if isinstance(answer[-1], set) and answer[-1]]
        moved = [answer for answer in moved if not {answer[0], answer[1], answer[:2]} & set(allowed)]
        self.assertFalse(moved, who)
        return answers


@tagged("post_install", "-at_install")
class TestMoneyDoors(DoorsCommon):
    def test_doors_are_found_and_open_for_those_who_bill(self):
        """The search finds what is to be refused, and the made-up arguments get through where somebody may."""
        doors = set(self.get_doors())
        for door in (
            ("milestone.billing.line", "complete"),
            ("milestone.billing.schedule", "release_retainage"),
            ("milestone.billing.enrolment", "charge"),
            ("sale.order", "action_draft"),
            ("account.move.reversal", "reverse_moves"),
        ):
            self.assertIn(door, doors)
        self.assertNotIn(("milestone.billing.line", "_complete"), doors)
        answers = self.try_doors(self.billing_user, self.everything)
        moved = {
            (model, method) for model, method, _arguments, answer in answers if answer and type(answer) is set
        }
        self.assertGreater(len(moved), 30)
        for door in (
            ("milestone.billing.line", "action_complete"),
            ("milestone.billing.enrolment", "charge"),
        ):
            self.assertIn(door, moved)

    def test_clients_and_employees_change_nothing(self):
        for who in ("portal", "employee"):
            self.assertNothingMoved(who, self.everything)

    def test_managers_of_another_company_change_nothing(self):
        self.assertNothingMoved("stranger", self.everything, allowed=SHARED)

    def test_auditors_leave_the_trace_of_their_checks(self):
        self.assertNothingMoved("auditor", self.everything, allowed=("export_evidence", "action_tie_out"))

    def test_project_users_complete_and_stop(self):
        """They say what is done, show it and ask for it; no other document, and no figure, is theirs."""
        steps = ("complete", "action_complete")
        self.assertNothingMoved("project", {**FIGURES, **dict.fromkeys(DOCUMENTS, "t::text")}, allowed=steps)

    def test_sellers_write_no_figure(self):
        figures = {**FIGURES, **dict.fromkeys(DOCUMENTS, "t::text")}
        new = {
            ("milestone.billing.line", "create"),
            ("milestone.billing.line", "copy"),
            ("sale.order", "create"),
        }
        self.assertNothingMoved("seller", figures, allowed=new)

    def test_assistants_do_no_more_than_their_methods(self):
        """Who opens an assistant on the contract of another company is refused at its button, if not before."""
        schedule, lines = self.second.milestone_schedule_id, self.second.milestone_line_ids
        charge = {"enrolment_id": self.enrolment.id, "amount": 5.0, "description": "Work"}
        row = {"line_id": lines[3].id, "amount_untaxed": 1.0, "reference": "OLD-8", "date": "2025-12-01"}
        assistants = (
            ("milestone.billing.release", "action_release", {"schedule_id": schedule.id}),
            ("milestone.billing.batch", "action_apply", {"line_ids": [Command.set(lines[3:].ids)]}),
            ("milestone.billing.charge", "action_charge", charge),
            ("milestone.billing.end", "action_end", {"schedule_id": schedule.id}),
            (
                "milestone.billing.cut.over",
                "action_apply",
                {"schedule_id": schedule.id, "row_ids": [Command.create(row)]},
            ),
        )
        before = self.get_state(self.everything)
        for name, method, values in assistants:
            for who in ("stranger", "employee", "portal"):
                user = self.people[who]
                Model = self.env[name].with_user(user).with_context(allowed_company_ids=user.company_ids.ids)
                with (
                    self.subTest(model=name, who=who),
                    self.assertRaises(AccessError),
                    self.env.cr.savepoint(),
                ):
                    getattr(Model.create(values), method)()
        self.assertEqual(self.get_state(self.everything), before)


@tagged("post_install", "-at_install")
class TestMoneyDoorsRpc(DoorsCommon, HttpCase):
    """The same over the network, by both ways that the server has for methods."""

    def call(self, user, model, method, ids, **values):
        """Call a method over JSON-2 with a key of the user."""
        keys = self.env["res.users.apikeys"].with_user(user).sudo()
        key = keys._generate(None, "test", fields.Datetime.now() + timedelta(hours=1))
        headers = {"Authorization": f"bearer {key}"}
        return self.url_open(f"/json/2/{model}/{method}", json={"ids": ids, **values}, headers=headers)

    def call_kw(self, model, method, ids, **values):
        """Call a method as the web client does, with the session that is logged in."""
        params = {"model": model, "method": method, "args": [ids], "kwargs": values}
        return self.url_open(f"/web/dataset/call_kw/{model}/{method}", json={"params": params}).json()

    def get_calls(self):
        schedule, lines = self.order.milestone_schedule_id, self.order.milestone_line_ids
        invoice = lines[1].invoice_ids
        yield "milestone.billing.line", "complete", lines[2].ids, {}
        yield "milestone.billing.line", "action_complete", lines[2].ids, {}
        yield "milestone.billing.line", "refund_deposit", lines[0].ids, {}
        yield "milestone.billing.line", "write", lines[2].ids, {"vals": {"state": "approved"}}
        yield "milestone.billing.line", "_complete", lines[2].ids, {"trigger": "manual"}
        yield "milestone.billing.schedule", "release_retainage", schedule.ids, {}
        yield "milestone.billing.enrolment", "charge", self.enrolment.ids, {"amount": 10, "description": "X"}
        yield "account.move", "button_draft", invoice.ids, {}
        yield "account.move", "button_cancel", invoice.ids, {}
        yield "account.move", "write", invoice.ids, {"vals": {"amount_retained": 0.0}}
        yield "sale.order", "write", self.order.ids, {"vals": {"milestone_schedule_id": False}}
        yield "sale.order", "action_end_milestones", self.order.ids, {}

    @mute_logger(
        "odoo.http", "odoo.addons.rpc.controllers.json2", "odoo.models", "odoo.addons.base.models.ir_rule"
    )
    def test_nobody_moves_money_over_the_network(self):
        before = self.get_state(self.everything)
        for who in ("seller", "employee", "auditor", "stranger", "portal"):
            user = self.people[who]
            user.password = "a password that is long enough"
            self.authenticate(user.login, user.password)
            for model, method, ids, values in self.get_calls():
                with self.subTest(who=who, model=model, method=method):
                    answer = self.call(user, model, method, ids, **values)
                    self.assertIn(answer.status_code, (401, 403), answer.text[:300])
                    error = self.call_kw(model, method, ids, **values)["error"]["data"]
                    self.assertEqual(error["name"], "odoo.exceptions.AccessError", error["message"])
        self.assertEqual(self.get_state(self.everything), before)
