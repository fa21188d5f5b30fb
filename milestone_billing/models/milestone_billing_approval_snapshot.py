"""What exactly the client is asked to approve: built once, frozen, and compared ever after."""

import hashlib
import secrets
import uuid
from decimal import Decimal

from odoo import models
from odoo.tools import formatLang

from ..tools.money import amount_text
from ..tools.verify import canonical, invoice_hash

NOTICE_VERSION = CONSENT_VERSION = 1


def _plain(number):
    """Write a float as the decimal a person typed: no exponent, no trailing zeros."""
    text = f"{Decimal(repr(number)).normalize():f}"
    return "0" if text == "-0" else text


class AccountMove(models.Model):
    _inherit = "account.move"

    def _prepare_milestone_content(self):
        """Give what this invoice says, in plain values: who, what, how much. Equal content, equal hash.

        :rtype: dict
        """
        self.ensure_one()
        lines = self.invoice_line_ids.sorted(lambda line: (line.sequence, line.id))
        return {
            "v": 1,
            "partner_ref": self.partner_id.sudo().milestone_evidence_ref or "",
            "currency": self.currency_id.name,
            "move_type": self.move_type,
            "lines": [self._prepare_milestone_content_line(line) for line in lines],
            **{
                name: self._get_amount_text(self[name])
                for name in ("amount_untaxed", "amount_tax", "amount_total")
            },
        }

    def _prepare_milestone_content_line(self, line):
        if line.display_type != "product":
            return {"kind": line.display_type or "", "description": line.name or ""}
        return {
            "kind": "product",
            "description": line.name or "",
            "quantity": _plain(line.quantity),
            "uom": line.product_uom_id.name or "",
            "unit_price": _plain(line.price_unit),
            "discount": _plain(line.discount),
            "taxes": [tax.name for tax in line.tax_ids],
            "subtotal": self._get_amount_text(line.price_subtotal),
        }

    def _get_amount_text(self, amount):
        return amount_text(amount, self.currency_id.rounding)

    def _get_content_sha256(self):
        """Give the hash that ties an approval to this invoice.

        :rtype: str
        """
        return invoice_hash(canonical(self._prepare_milestone_content()))


class MilestoneBillingApproval(models.Model):
    _inherit = "milestone.billing.approval"

    # === FREEZING ===

    def _freeze(self):
        """Build and keep the snapshots of new submissions, and record that they were made."""
        pairs = [
            (approval.line_id, approval.with_context(lang=approval.lang)._prepare_snapshot())
            for approval in self
        ]
        now = self.env["milestone.billing.evidence"]._get_now()
        hashes = self.env["milestone.billing.evidence.snapshot"].sudo()._freeze(pairs, now)
        for approval, sha256, (_line, snapshot) in zip(self, hashes, pairs, strict=True):
            approval._internal().write(
                {"snapshot_sha256": sha256, "content_sha256": snapshot["invoice_draft_content_sha256"]}
            )
        contents = {approval.id: snapshot for approval, (_line, snapshot) in zip(self, pairs, strict=True)}
        self._log(
            "request.created",
            data=lambda approval: {**approval._prepare_created_data(contents[approval.id]), "frozen_at": now},
        )

    def _prepare_created_data(self, snapshot):
        policy = {name: snapshot[name] for name in ("approvers", "quorum", "levels", "expires_at")}
        return {
            "revision": self.revision,
            "snapshot_sha256": self.snapshot_sha256,
            "policy_sha256": hashlib.sha256(canonical(policy)).hexdigest(),
            "consent_sha256": hashlib.sha256(snapshot["consent"]["text"].encode()).hexdigest(),
            "notice_sha256": hashlib.sha256(snapshot["notice"]["text"].encode()).hexdigest(),
            "expires_at": snapshot["expires_at"],
        }

    def _prepare_snapshot(self):
        """Give everything the client decides about, in the client's language and in plain values.

        :rtype: dict
        """
        self.ensure_one()
        line, move = self.line_id.with_context(lang=self.lang).sudo(), self.move_id.sudo()
        content, position = move._prepare_milestone_content(), line._prepare_snapshot_position()
        amounts = {
            name: content[name] for name in ("amount_untaxed", "amount_tax", "amount_total", "currency")
        }
        return {
            "v": 1,
            "kind": "milestone_snapshot",
            "nonce": secrets.token_hex(16),
            "request_id": self.uuid,
            "revision": self.revision,
            **line._prepare_snapshot_parties(position["contract_sum"]),
            **amounts,
            "milestone": line._prepare_snapshot_milestone(),
            "lines": [item for item in content["lines"] if item["kind"] == "product"],
            "retention": line._prepare_snapshot_retention(move),
            "position": position,
            "due_terms": move.invoice_payment_term_id.name or "",
            "invoice_draft_content_sha256": invoice_hash(canonical(content)),
            "files": self._prepare_snapshot_files(),
            **self._prepare_snapshot_policy(),
            "consent": self._prepare_consent(),
            "notice": {"version": NOTICE_VERSION, "text": self._get_notice_text()},
        }

    def _prepare_snapshot_files(self):
        return [attachment._prepare_milestone_file(self.line_id) for attachment in self.attachment_ids.sudo()]

    def _prepare_snapshot_policy(self):
        seats = self.seat_ids.sorted("id")
        return {
            "approvers": [
                {
                    "actor_ref": seat._get_actor_ref() or "",
                    "role": seat.role or "",
                    "limit": self.move_id._get_amount_text(seat.amount_limit) if seat.amount_limit else None,
                    "currency": self.currency_id.name,
                }
                for seat in seats
            ],
            "quorum": self.quorum,
            "levels": {"required": self.level_required},
            "deemed_acceptance": self.is_deemed_acceptance,
            "expires_at": self.expires_on.strftime("%Y-%m-%dT%H:%M:%S.000000Z"),
        }

    # === TEXTS ===

    def _prepare_consent(self):
        """Give the sentence the approver agrees to.

        :rtype: dict
        """
        company = self.company_id.with_context(lang=self.lang)
        text = company.milestone_consent_text or self._get_consent_text()
        return {"id": "standard", "version": CONSENT_VERSION, "lang": self.lang, "text": text}

    def _get_consent_text(self):
        return self.env._(
            "I have reviewed the work and the amounts shown above. I may decide this for %(client)s, I approve "
            "milestone “%(milestone)s”, and I agree that %(seller)s issues the invoice over %(amount)s.",
            client=self.partner_id.sudo().commercial_partner_id.name,
            milestone=self.line_id.name,
            seller=self.company_id.sudo().name,
            amount=self._format_amount(),
        )

    def _get_notice_text(self):
        company = self.company_id.sudo()
        text = self.env._(
            "To prove this decision we record your name, e-mail address, IP address, browser and the times of your "
            "visit, and keep them for as long as claims are possible. Questions: %(company)s, %(email)s.",
            company=company.name,
            email=company.email or company.phone or "",
        )
        return f"{text} {self._get_device_notice()}".strip()

    def _get_device_notice(self):
        if not self.company_id.sudo().milestone_record_device:
            return ""
        return self.env._(
            "A cookie with a random name shows whether later visits come from the same browser."
        )

    def _format_amount(self):
        """Write the submitted total with its currency, in the reader's format.

        :rtype: str
        """
        return formatLang(self.env, self.amount_total, currency_obj=self.currency_id)

    # === READING AND COMPARING ===

    def _get_snapshot(self):
        """Give the frozen content, or None when it was erased.

        :rtype: dict | None
        """
        self.ensure_one()
        return self.env["milestone.billing.evidence.snapshot"].sudo()._get_content(self.snapshot_sha256 or "")

    def _get_drift(self):
        """Name what differs now from what was submitted.

        :return: field names, empty when nothing does.
        :rtype: list[str]
        """
        self.ensure_one()
        approval = self.sudo().with_context(lang=self.lang)
        snapshot, line = approval._get_snapshot(), approval.line_id
        if snapshot is None:
            return []
        if found := approval._get_invoice_drift():
            return found
        now = {"title": line.name, "description_text": line.description or ""}
        found = [name for name, value in now.items() if snapshot["milestone"][name] != value]
        shown = ("file_uuid", "sha256", "name", "caption")
        files = [item._prepare_milestone_file(line) for item in line.proof_ids]
        before, after = (
            [[item[name] for name in shown] for item in each] for each in (snapshot["files"], files)
        )
        if sorted(before) != sorted(after):
            found.append("files")
        return found


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _prepare_snapshot_parties(self, contract):
        """Give who bills whom under which order.

        :param str contract: amount of the contract, as the statement has it.
        :rtype: dict
        """
        order, company = self.order_id, self.company_id
        client = order.partner_id.commercial_partner_id
        return {
            "seller": {
                "name": company.name,
                "vat": company.vat or "",
                "address": company.partner_id._display_address(without_company=True).strip(),
                "company_uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"res.company,{company.id}")),
            },
            "client": {
                "name": client.name,
                "vat": client.vat or "",
                "ref": order.partner_id.milestone_evidence_ref or "",
            },
            "order": {
                "name": order.name,
                "date": order.date_order.strftime("%Y-%m-%d") if order.date_order else "",
                "contract_amount": contract,
                "client_reference": order.client_order_ref or "",
            },
            "project": {"name": self.project_id.name or ""},
        }

    def _prepare_snapshot_milestone(self):
        invoice = self._get_live_invoice()
        position, count = invoice._get_milestone_position() if invoice else self._get_position()
        return {
            "reference": self.reference or "",
            "title": self.name,
            "sequence": position,
            "of": count,
            "description_text": self.description or "",
            "completed_at": self.completed_on.strftime("%Y-%m-%dT%H:%M:%S.000000Z")
            if self.completed_on
            else "",
            "completed_by_role": self._get_completed_by_role(),
        }

    def _get_completed_by_role(self):
        user = self.env.user
        return "system" if user._is_superuser() or user._is_public() else "staff"

    def _prepare_snapshot_retention(self, move):
        schedule = self.schedule_id
        return {
            "percent": _plain(schedule.retainage_percent),
            "amount": self._get_amount_text(move._get_term_retainage()),
        }

    def _prepare_snapshot_position(self):
        """Give where the contract stands with this bill, untaxed: the statement as of this milestone.

        :rtype: dict
        """
        statement = self.schedule_id.get_statement(as_of_line=self)
        return {
            "contract_sum": statement["contract_sum"],
            "change_orders": statement["change_orders"],
            "billed_before": statement["previously_billed"],
            "this_bill": statement["current_due"],
            "retained": statement["retainage"],
            "remaining": statement["balance_to_finish"],
        }

    def _get_amount_text(self, amount):
        return amount_text(amount, self.currency_id.rounding)
