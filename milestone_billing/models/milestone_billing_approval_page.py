"""What the client's pages show of a submission: from the frozen snapshot, plus where things stand now."""

import hashlib
import uuid
from decimal import Decimal

from odoo import fields, models
from odoo.tools import format_date, formatLang, html2plaintext

from ..tools.approval_rules import within_limit

STATUS_COLORS = {
    "approved": "success",
    "paid": "success",
    "requested": "light",
    "contested": "danger",
    "expired": "warning",
    "superseded": "warning",
}


class MilestoneBillingApproval(models.Model):
    _inherit = "milestone.billing.approval"

    # === VALUES OF THE PAGE ===

    def _prepare_steps(self, snapshot, reader):
        """Give the stepper of what was submitted: milestones that a change order added later are not in its count.

        :param dict snapshot: the frozen content, or None.
        :rtype: list[dict]
        """
        steps = self.line_id._prepare_steps(reader)
        count = snapshot["milestone"]["of"] if snapshot else len(steps)
        known = sorted(step["line"].id for step in steps)[:count]
        return [step for step in steps if step["line"].id in known or step["is_current"]]

    def _prepare_review_values(self, seat):
        """Give everything the review page shows, in the client's language.

        :param seat: of the reader, or an empty set.
        :rtype: dict
        """
        self.ensure_one()
        approval = self.sudo().with_context(lang=self.lang, tz=self._get_reader_tz(seat))
        snapshot, line = approval._get_snapshot(), approval.line_id
        can_pay = approval._can_pay()
        return {
            "approval": approval,
            "seat": seat,
            "line": line,
            "snapshot": snapshot,
            "company": approval.company_id,
            "res_company": approval.company_id,
            "currency": approval.currency_id,
            "money": approval._get_money,
            "format_day": lambda value: format_date(approval.env, value) if value else "",
            "steps": approval._prepare_steps(snapshot, self._get_reader(seat)),
            "status": approval._get_page_status(),
            "status_color": STATUS_COLORS.get(approval._get_page_status(), "info"),
            "status_sentence": approval._get_status_sentence(),
            "approve_label": approval._get_approve_label(),
            "consent_sha256": approval._get_consent_sha256(),
            "granted": approval._get_granted(),
            "answers": approval._prepare_answers(),
            "own_decision": seat._get_decision() if seat else None,
            "invoice": approval._get_issued_invoice(),
            "pay_label": approval._get_pay_label() if can_pay else "",
            "can_pay": can_pay,
            "next_line": line._get_next_line(),
            "people": approval._prepare_people(),
            "history": line._prepare_history(),
            "differences": approval._get_differences(),
            "newer": approval._get_newer(),
            "has_certificate": approval.state not in ("requested", "expired", "superseded", "cancelled"),
            "needs_code": approval._needs_code(seat),
            "has_phone": bool(seat and seat.sudo().partner_id.phone),
            "next_step": approval._get_next_step(),
            "is_over_limit": bool(seat) and approval._is_over_limit(seat),
        }

    def _get_next_step(self):
        """Tell what one more approval leads to, before it is given.

        :return: `others` while more have to approve, `finance` where people issue the invoice, else `invoice`.
        :rtype: str
        """
        if self.quorum - len(self._get_granted()) > 1:
            return "others"
        is_by_hand = self.company_id.milestone_invoice_posting == "draft" or self.line_id.is_on_hold
        return "finance" if is_by_hand else "invoice"

    def _is_over_limit(self, seat):
        """Tell whether the amount is above what an approver may approve.

        :rtype: bool
        """
        limit = Decimal(str(seat.sudo().amount_limit))
        return not within_limit(Decimal(str(self.amount_total)), limit)

    def _get_reader(self, seat):
        """Give the contact who reads: the approver, else the logged-in client; nobody for a look by staff."""
        user = self.env.user
        if seat:
            return seat.sudo().partner_id
        return user.partner_id if user._is_portal() else user.partner_id.browse()

    def _get_reader_tz(self, seat):
        return self.env.context.get("tz") or self._get_reader(seat).sudo().tz or self.env.user.tz or "UTC"

    def _get_money(self, text):
        """Write an amount of the snapshot with its currency, in the reader's format.

        :param text: decimal text.
        :rtype: str
        """
        return formatLang(self.env, float(text or 0), currency_obj=self.currency_id)

    def _needs_code(self, seat):
        return bool(seat) and self.level_required == "L2" and self.env.user._is_public()

    def _get_page_status(self):
        """Give the one word that decides what the page says.

        :rtype: str
        """
        if self.state == "requested" and self.expires_on <= fields.Datetime.now():
            return "expired"
        if self.state in ("approved", "deemed_accepted"):
            invoice = self._get_issued_invoice()
            if invoice and (invoice.payment_state in ("paid", "in_payment") or invoice._is_trade_settled()):
                return "paid"
            return "approved"
        return self.state

    def _get_status_sentence(self):
        """Say in words where this submission stands.

        :rtype: str
        """
        names = ", ".join(self.decision_ids.partner_id.mapped("name"))
        when = self._format_moment(self.decided_on)
        return {
            "requested": self._get_waiting_sentence,
            "approved": lambda: self._get_approved_sentence(names, when),
            "paid": lambda: self.env._("Paid. Thank you."),
            "changes_requested": lambda: self.env._(
                "%(names)s asked for changes on %(when)s.", names=names, when=when
            ),
            "declined": lambda: self.env._("%(names)s declined on %(when)s.", names=names, when=when),
            "expired": self._get_expired_sentence,
            "superseded": self._get_superseded_sentence,
            "cancelled": lambda: self.env._("This request was withdrawn. You need not do anything."),
            "contested": lambda: self.env._("This decision is being clarified. Please do not pay for now."),
        }[self._get_page_status()]()

    def _get_waiting_sentence(self):
        count = len(self._get_granted())
        if self.quorum > 1:
            return self.env._(
                "%(count)s of %(needed)s approvals. Open until %(date)s.",
                count=count,
                needed=self.quorum,
                date=format_date(self.env, self.expires_on),
            )
        return self.env._("Waiting for your answer until %s.", format_date(self.env, self.expires_on))

    def _get_expired_sentence(self):
        company = self.company_id
        return self.env._(
            "The time to answer is over. Write to %s, and you get a new link.", company.email or company.name
        )

    def _get_superseded_sentence(self):
        if self.line_id.sudo()._get_current_approval() != self:
            return self.env._("This version was replaced by a newer one. You get a new link by mail.")
        return self.env._(
            "%s is just changing this milestone. The newer version comes to you by mail; until then you need not do "
            "anything.",
            self.company_id.name,
        )

    def _get_approved_sentence(self, names, when):
        if self.is_on_behalf:
            return self.env._(
                "%(company)s recorded your approval, given on paper or by phone, on %(when)s.",
                company=self.company_id.name,
                when=when,
            )
        if self.state == "deemed_accepted":
            return self.env._("No answer came in time, so the work counts as accepted since %s.", when)
        if self.has_reservations:
            return self.env._("Approved with reservations by %(names)s on %(when)s.", names=names, when=when)
        return self.env._("Approved by %(names)s on %(when)s.", names=names, when=when)

    def _prepare_answers(self):
        """Give what the approvers wrote with their answers: the reason, or the points that are to be fixed.

        :rtype: list[dict]
        """
        return [
            {
                "name": decision.partner_id.name,
                "points": decision.reason.splitlines() if decision.decision.startswith("approve") else [],
                "reason": decision.reason,
            }
            for decision in self.decision_ids
            if (decision.reason or "").strip()
        ]

    # === WHO ELSE ===

    def _prepare_people(self):
        """Give everybody who is asked, and what each has answered.

        :rtype: list[dict]
        """
        self.ensure_one()
        answers = {decision.partner_id: decision for decision in self.decision_ids}
        return [
            {
                "name": seat.partner_id.name,
                "role": seat.role or "",
                **self._get_answer_words(answers.get(seat.partner_id)),
            }
            for seat in self.seat_ids
        ]

    def _get_answer_words(self, decision):
        """Say what somebody answered, in one word, one colour and a date.

        :rtype: dict
        """
        words = {
            "approve": (self.env._("Approved"), "success"),
            "approve_with_reservations": (self.env._("Approved with reservations"), "success"),
            "changes": (self.env._("Asked for changes"), "info"),
            "decline": (self.env._("Declined"), "light"),
        }
        if not decision:
            is_open = self._get_page_status() == "requested"
            label = self.env._("Asked") if is_open else self.env._("Did not answer")
            return {"label": label, "color": "light", "when": ""}
        label, color = words[decision.decision]
        return {"label": label, "color": color, "when": format_date(self.env, decision.create_date)}

    # === FILES ===

    def _find_file(self, file_uuid):
        """Find a submitted file by its identifier; its bytes must be the frozen ones.

        :return: the file's entry in the snapshot and its attachment, or (None, empty).
        :rtype: tuple[dict | None, ir.attachment]
        """
        self.ensure_one()
        snapshot, attachments = self._get_snapshot() or {}, self.sudo().attachment_ids
        entry = next((item for item in snapshot.get("files") or () if item["file_uuid"] == file_uuid), None)
        if not entry:
            return None, attachments.browse()
        chain = uuid.UUID(self.line_id.evidence_uuid)
        found = attachments.filtered(
            lambda item: str(uuid.uuid5(chain, f"{item.id}:{entry['sha256']}")) == file_uuid
        )
        return entry, found[:1]

    # === COMPARING REVISIONS ===

    def _get_newer(self):
        """Give the version that replaced this one.

        :rtype: milestone.billing.approval
        """
        return self.line_id.approval_ids.filtered(lambda item: item.revision == self.revision + 1)

    def _get_compared(self):
        """Give the versions to put side by side: this one and what replaced it, or what was asked before and this one.

        :return: the older and the newer, empty where there is nothing to compare.
        :rtype: tuple[milestone.billing.approval, milestone.billing.approval]
        """
        if self.state == "superseded":
            return self, self._get_newer()
        is_open = self._get_page_status() == "requested"
        older = self.line_id.approval_ids.filtered(lambda item: item.revision == self.revision - 1)
        return (older, self) if is_open else (self.browse(), self.browse())

    def _get_differences(self):
        """Tell what differs from the version before, or in the version that replaced this one.

        :return: label, before and after of each difference.
        :rtype: list[tuple[str, str, str]]
        """
        pair = self._get_compared()
        old, new = (item._get_snapshot() if item else None for item in pair)
        if not old or not new:
            return []
        rows = [*self._get_text_differences(old, new), *self._get_money_differences(old, new)]
        return [row for row in rows if row[1] != row[2]]

    def _get_text_differences(self, old, new):
        names = [", ".join(item["caption"] or item["name"] for item in each["files"]) for each in (old, new)]
        return [
            (self.env._("Milestone"), old["milestone"]["title"], new["milestone"]["title"]),
            (
                self.env._("What was done"),
                html2plaintext(old["milestone"]["description_text"]),
                html2plaintext(new["milestone"]["description_text"]),
            ),
            (self.env._("Proof of work"), *names),
            (self.env._("Approvers"), len(old["approvers"]), len(new["approvers"])),
            (self.env._("Approvals needed"), old["quorum"], new["quorum"]),
            (self.env._("Payment terms"), old["due_terms"], new["due_terms"]),
        ]

    def _get_money_differences(self, old, new):
        def row(label, read):
            return label, self._get_money(read(old)), self._get_money(read(new))

        return [
            row(self.env._("Net"), lambda snapshot: snapshot["amount_untaxed"]),
            row(self.env._("Tax"), lambda snapshot: snapshot["amount_tax"]),
            row(self.env._("Total"), lambda snapshot: snapshot["amount_total"]),
            row(self.env._("Contract (net)"), lambda snapshot: snapshot["position"]["contract_sum"]),
        ]

    # === PAYMENT ===

    def _get_issued_invoice(self):
        """Give the posted invoice of this submission, once there is one.

        :rtype: account.move
        """
        self.ensure_one()
        return self.sudo().move_id.filtered(lambda move: move.state == "posted" and move.milestone_claim)

    def _can_pay(self):
        """Tell whether the Pay Now button leads anywhere now.

        :rtype: bool
        """
        invoice = self._get_issued_invoice()
        if not invoice or self.state not in ("approved", "deemed_accepted") or not invoice._has_to_be_paid():
            return False
        return not invoice.currency_id.is_zero(invoice._get_milestone_due_now())

    def _get_pay_label(self):
        """Give the text of the button that leads to the payment, with what is due now.

        :rtype: str
        """
        due = self._get_issued_invoice()._get_milestone_due_now()
        return self.env._("Pay %s now", formatLang(self.env, due, currency_obj=self.currency_id))

    # === EVIDENCE OF THE PAGE ===

    def _get_html_sha256(self, seat):
        """Give the hash of the review block as it is rendered, so that a bug in it can be shown later.

        :rtype: str
        """
        html = self.env["ir.qweb"]._render(
            "milestone_billing.portal_review_block", self._prepare_review_values(seat)
        )
        return hashlib.sha256(str(html).encode()).hexdigest()


class MilestoneBillingApprovalLink(models.Model):
    _inherit = "milestone.billing.approval.link"

    def _mark_opened(self, visitor):
        """Record that the holder of the mail came in."""
        self.ensure_one()
        link = self.sudo()
        link.write(
            {
                "opened_count": link.opened_count + 1,
                "opened_on": link.opened_on or fields.Datetime.now(),
            }
        )
        link.approval_id._log_visit("link.opened", visitor, data={"link_id": link.uuid})
