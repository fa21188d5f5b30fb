"""The main job, from outside: main_job.py ADDRESS DATABASE [ADMIN_PASSWORD]

An order of 10,000.00 in four quarters goes from quotation to the last payment, over HTTP and RPC only, as the people would
do it: finance and the project manager with their logins, the client without one, through the link in the mail. Prints
each step with its figures. Exits 0 only if the books agree.
"""

import argparse
import json
import re
import sys
import time
import uuid
from collections import Counter
from decimal import Decimal

import requests
from main_job_people import Client, Disagreement, Person, Program

STAGES = ["Deposit at start", "Designs approved", "Build complete", "Launch"]
CLIENT_MAIL = "clara@clear-client.example"
MAIL_SECONDS_MAX = 60
QUARTER, TOTAL = Decimal("2500.00"), Decimal("10000.00")


def expect(what, found, wanted):
    """Go on only when a figure is the one that it has to be."""
    if found != wanted:
        raise Disagreement(f"{what}: expected {wanted!r}, found {found!r}")


def money(value):
    return Decimal(str(value)).quantize(Decimal("0.01"))


def say(text=""):
    print(text, flush=True)


class MainJob:
    """The story, in order."""

    def __init__(self, address, database, password):
        self.address, self.database = address, database
        self.admin = Person(address, database, "admin", password)
        self.invoices, self.links_seen = [], set()

    def run(self):
        self.meet()
        self.sell()
        for number in range(4):
            self.bill_stage(number)
        self.close_books()

    # === STORY ===

    def meet(self):
        """The people of the demo data; the project manager gives another program of theirs a key."""
        self.finance = Person(self.address, self.database, "finance", "finance")
        self.manager = Person(self.address, self.database, "pm", "pm")
        self.program = Program(self.address, self.manager.make_api_key())
        say("1  Fiona (finance) and Paul (project manager) log in; Clara (client) has only her mail")

    def sell(self):
        """Finance quotes with the template and confirms; the project and its stages exist from then on."""
        company = self.finance.create(
            "res.partner", name="Clear Client Ltd", is_company=True, email="office@example.com"
        )
        self.client_id = self.finance.create(
            "res.partner", name="Clara Clear", parent_id=company, email=CLIENT_MAIL, type="contact"
        )
        product = self.admin.create(
            "product.product", name="Website", type="service", list_price=float(TOTAL), taxes_id=[(6, 0, [])],
            service_tracking="project_only",
        )  # fmt: skip
        template = self._create_template()
        self.order = self.finance.create(
            "sale.order",
            partner_id=self.client_id,
            client_order_ref="PO-1",
            order_line=[
                (
                    0,
                    0,
                    {
                        "product_id": product,
                        "product_uom_qty": 1,
                        "price_unit": float(TOTAL),
                        "tax_ids": [(6, 0, [])],
                    },
                )
            ],
            milestone_template_id=template,
        )
        self.finance.call("sale.order", "action_apply_milestone_template", [self.order])
        self.finance.call("sale.order", "action_confirm", [self.order])
        order = self.finance.read(
            "sale.order",
            self.order,
            "name",
            "state",
            "amount_total",
            "milestone_schedule_id",
            "milestone_line_ids",
        )[0]
        expect("state of the order", order["state"], "sale")
        self.schedule, self.lines = order["milestone_schedule_id"][0], order["milestone_line_ids"]
        project = self.read_line(0, "project_id")["project_id"]
        self.manager.call("project.project", "write", [project[0]], {"user_id": self.manager.uid})
        say(
            f"2  Order {order['name']} confirmed: {money(order['amount_total'])}, {len(self.lines)} milestones"
        )
        for line in self.read_lines("name", "amount_untaxed", "trigger", "state"):
            say(
                f"     {line['name']:<20}{money(line['amount_untaxed']):>12}  {line['trigger']:<18}{line['state']}"
            )
        expect(
            "planned amounts",
            [money(line["amount_untaxed"]) for line in self.read_lines("amount_untaxed")],
            [QUARTER] * 4,
        )

    def _create_template(self):
        triggers = ["order_confirmed", "manual", "manual", "project_milestone"]
        return self.finance.create(
            "milestone.billing.template",
            name="Four quarters",
            line_ids=[
                (0, 0, {
                    "name": name, "sequence": number, "trigger": triggers[number], "approval_required": True,
                    "kind": ["deposit", "progress", "progress", "final"][number],
                    "amount_type": "remainder" if number == 3 else "percent",
                    "percent": 0 if number == 3 else 25,
                })
                for number, name in enumerate(STAGES)
            ],
        )  # fmt: skip

    def read_lines(self, *fields):
        return self.finance.read("milestone.billing.line", self.lines, *fields)

    def read_line(self, number, *fields):
        return self.finance.read("milestone.billing.line", self.lines[number], *fields)[0]

    def bill_stage(self, number):
        """One stage: done, drafted, sent, decided, posted, paid."""
        say(f"{number + 3}  {STAGES[number]}")
        self.complete(number)
        self.check_draft(number)
        client = self.open_review(number)
        if number == 1:
            self.ask_for_changes(number, client)
            client = self.open_review(number)
        self.approve(number, client)
        self.pay(number, client)

    def complete(self, number):
        """The first stage completes with the order, the others by hand, by API, and by their project milestone."""
        line = self.lines[number]
        if number == 1:
            self.manager.call("milestone.billing.line", "action_complete", [line])
            say("     Paul completes it in the backend")
        elif number == 2:
            key = uuid.uuid4().hex
            body = {"ids": [line], "description": "Delivered March 15", "idempotency_key": key}
            first = self.program.call("milestone.billing.line", "complete", **body)
            expect(
                "the same call again", self.program.call("milestone.billing.line", "complete", **body), first
            )
            say(
                f"     another program completes it over JSON-2, twice with one key: one invoice of {money(first[0]['amount_total'])}"
            )
        elif number == 3:
            milestone = self.read_line(number, "project_milestone_id")["project_milestone_id"]
            self.manager.call("project.milestone", "write", [milestone[0]], {"is_reached": True})
            say(f"     Paul ticks the project milestone “{milestone[1]}”")

    def check_draft(self, number):
        line = self.read_line(number, "state", "invoice_ids", "invoice_status")
        expect("invoices of the stage", len(line["invoice_ids"]), 1)
        expect("state of the stage", (line["state"], line["invoice_status"]), ("submitted", "draft"))
        invoice = self.finance.read("account.move", line["invoice_ids"], "state", "amount_total", "name")[0]
        expect("draft", (invoice["state"], money(invoice["amount_total"])), ("draft", QUARTER))
        say(
            f"     draft invoice of {money(invoice['amount_total'])}, no number yet; sent to Clara for approval"
        )

    def open_review(self, number):
        """Clara opens the link of her mail: a page without content first, then the review."""
        client = Client(self.address)
        client.open(self.find_link(number))
        client.send("/open")
        text = client.text()
        for needed in (STAGES[number], "2,500.00"):
            if needed not in text:
                raise Disagreement(f"the review page does not show {needed!r}")
        say(f"     Clara opens her mail's link and sees “{STAGES[number]}”, 2,500.00")
        return client

    def find_link(self, number):
        """Look into the mailbox for the newest mail about this stage (the demo keeps all mail in its queue)."""
        known = self.links_seen
        for _second in range(MAIL_SECONDS_MAX):
            mails = self.admin.find(
                "mail.mail", [("subject", "ilike", "please review"), ("email_to", "ilike", CLIENT_MAIL)],
                "body_html", "subject", order="id desc", limit=1,
            )  # fmt: skip
            links = (
                re.findall(r"""["'\s](https?://[^"'\s<]*/ma/[^"'\s<]+)""", mails[0]["body_html"])
                if mails
                else []
            )
            if (
                links
                and links[0] not in known
                and STAGES[number] in mails[0]["subject"] + mails[0]["body_html"]
            ):
                known.add(links[0])
                return links[0].replace("&amp;", "&")
            time.sleep(1)
        raise Disagreement(f"no mail to the client about {STAGES[number]} within {MAIL_SECONDS_MAX} seconds")

    def ask_for_changes(self, number, client):
        client.follow("/changes")
        client.send("/changes", reason="The logo is the old one.")
        line = self.read_line(number, "state")
        expect("state after the request", line["state"], "changes_requested")
        activities = self.manager.find(
            "mail.activity",
            [("res_model", "=", "milestone.billing.line"), ("res_id", "=", self.lines[number])],
            "summary",
        )
        if not activities:
            raise Disagreement("the request for changes left no activity for the team")
        say("     Clara asks for changes; Paul finds an activity, mends it and submits again")
        self.manager.call("milestone.billing.line", "action_submit_again", [self.lines[number]])
        expect("state after the second submission", self.read_line(number, "state")["state"], "submitted")
        revisions = self.finance.find(
            "milestone.billing.approval",
            [("line_id", "=", self.lines[number])],
            "revision",
            "state",
            order="revision",
        )
        expect("revisions", [item["revision"] for item in revisions], [1, 2])

    def approve(self, number, client):
        client.follow("/approve")
        client.send("/approve", typed_name="Clara Clear", accept="1")
        line = self.read_line(number, "state", "invoice_status", "invoice_ids")
        expect("after the approval", (line["state"], line["invoice_status"]), ("approved", "posted"))
        invoice = self.finance.read(
            "account.move", line["invoice_ids"], "name", "state", "amount_total", "amount_residual"
        )[0]
        expect("posted", (invoice["state"], money(invoice["amount_residual"])), ("posted", QUARTER))
        self.invoices.append(invoice["id"])
        say(
            f"     Clara approves; invoice {invoice['name']} is posted, {money(invoice['amount_residual'])} due"
        )

    def pay(self, number, client):
        """Pay Now, with Odoo's demo provider: the page's own calls, then the waiting page that Odoo polls."""
        client.send("/pay")
        state = client.page.xpath(
            "//*[@data-transaction-route or @name='o_payment_form' or @id='o_payment_form']"
        )
        if not state:
            raise Disagreement(f"the payment page {client.url} shows no payment form")
        form = state[0]
        option = self._choose_demo_provider(client)
        transaction = client.ask(
            form.get("data-transaction-route"),
            provider_id=option["provider"],
            payment_method_id=option["method"],
            token_id=None,
            amount=float(form.get("data-amount")) if form.get("data-amount") else None,
            flow="direct",
            tokenization_requested=False,
            landing_route=form.get("data-landing-route"),
            is_validation=False,
            access_token=form.get("data-access-token"),
        )
        client.ask(
            "/payment/demo/simulate_payment",
            reference=transaction["reference"],
            payment_details="4111",
            simulated_state="done",
        )
        client.open("/payment/status")
        client.ask("/payment/status/poll", csrf_token=None)
        invoice = self.finance.read(
            "account.move", self.invoices[number], "payment_state", "amount_residual", "name"
        )[0]
        expect("residual", money(invoice["amount_residual"]), Decimal("0.00"))
        expect("status of the stage", self.read_line(number, "invoice_status")["invoice_status"], "paid")
        say(
            f"     Clara pays {transaction['reference']} with the demo provider; {invoice['name']} is {invoice['payment_state']}"
        )

    def _choose_demo_provider(self, client):
        for node in client.page.xpath("//input[@name='o_payment_radio']"):
            if node.get("data-provider-code") == "demo":
                return {
                    "provider": int(node.get("data-provider-id")),
                    "method": int(node.get("data-payment-option-id")),
                }
        raise Disagreement("the payment page does not offer the demo provider")

    # === BOOKS ===

    def close_books(self):
        """Nothing open, nothing missing, and every figure found twice."""
        say("7  The books")
        self.check_invoices()
        self.check_order()
        self.check_journal()
        self.check_evidence()
        self.check_tie_out()
        say("   The books agree.")

    def check_invoices(self):
        invoices = self.finance.read(
            "account.move", self.invoices, "name", "amount_total", "payment_state", "amount_residual"
        )
        for stage, invoice in zip(STAGES, invoices, strict=True):
            say(
                f"     {invoice['name']:<20}{money(invoice['amount_total']):>12}  {invoice['payment_state']:<12}{stage}"
            )
        names = [invoice["name"] for invoice in invoices]
        expect("numbers in sequence", names, sorted(names))
        expect("numbers without a gap", _last_number(names[-1]) - _last_number(names[0]), 3)
        expect("billed", sum(money(invoice["amount_total"]) for invoice in invoices), TOTAL)

    def check_order(self):
        order = self.finance.read(
            "sale.order", self.order, "amount_total", "amount_invoiced", "amount_to_invoice", "invoice_status"
        )[0]
        expect("order", (order["invoice_status"], money(order["amount_invoiced"]), money(order["amount_to_invoice"])), ("invoiced", TOTAL, Decimal("0.00")))  # fmt: skip
        statement = self.finance.call("milestone.billing.schedule", "get_statement", [self.schedule])
        expect("contract sum", money(statement["contract_sum"]), TOTAL)
        expect("balance to finish", money(statement["balance_to_finish"]), Decimal("0.00"))
        say(
            f"     contract {statement['contract_sum']}, completed {statement['completed_to_date']}, to finish {statement['balance_to_finish']}"
        )

    def check_journal(self):
        """Print the journal items of the last stage and prove that receivables are even and income is the contract."""
        payments = self.finance.find(
            "account.payment", [("partner_id", "in", self._partners())], "move_id", "amount"
        )
        moves = self.invoices + [item["move_id"][0] for item in payments if item["move_id"]]
        items = self.finance.find(
            "account.move.line",
            [("move_id", "in", moves), ("parent_state", "=", "posted"), ("account_id", "!=", False)],
            "move_id", "account_id", "account_type", "debit", "credit", order="id",
        )  # fmt: skip
        balance = Counter()
        for item in items:
            balance[item["account_type"]] += money(item["debit"]) - money(item["credit"])
            if item["move_id"][0] in (moves[3], moves[-1]):
                say(
                    f"     {item['move_id'][1].split()[0]:<20}{item['account_id'][1][:34]:<36}{money(item['debit']):>10}{money(item['credit']):>10}"
                )
        expect("sum of all items", sum(balance.values()), Decimal("0.00"))
        expect("income", -balance["income"], TOTAL)
        expect("receivable", balance["asset_receivable"], Decimal("0.00"))

    def _partners(self):
        company = self.finance.read("res.partner", self.client_id, "commercial_partner_id")[0][
            "commercial_partner_id"
        ]
        return [self.client_id, company[0]]

    def check_evidence(self):
        entries = 0
        for line in self.lines:
            answer = self.finance.call("milestone.billing.line", "verify_evidence", [line])
            expect("evidence", (answer["ok"], answer["problems"]), (True, []))
            entries += answer["entries"]
        say(f"     evidence: {entries} entries in {len(self.lines)} chains, all hashes right")

    def check_tie_out(self):
        """The statement, figure by figure, is what stands in the ledger."""
        tie_out = self.finance.call("milestone.billing.schedule", "tie_out", [self.schedule])
        expect("statement against the ledger", (tie_out["ok"], tie_out["differences"]), (True, []))


def _last_number(name):
    return int(re.findall(r"\d+", name)[-1])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("address")
    parser.add_argument("database")
    parser.add_argument("password", nargs="?", default="admin")
    args = parser.parse_args()
    try:
        MainJob(args.address, args.database, args.password).run()
    except (Disagreement, requests.RequestException, json.JSONDecodeError) as error:
        say(f"FAILED: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
