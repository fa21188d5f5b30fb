"""What the client is shown of a change order: before and after, in plain values that are frozen with its hash."""

import secrets
from decimal import Decimal

from odoo import models
from odoo.tools import formatLang

from ..tools.approval_rules import needed_approvals, required_level
from ..tools.money import amount_text


class MilestoneBillingChange(models.Model):
    _inherit = "milestone.billing.change"

    def _get_amount_text(self, amount):
        return amount_text(amount, self.currency_id.rounding)

    def _prepare_content(self, milestones=()):
        """Give what the change says, whether it is frozen yet or not.

        :param milestones: rows of `_try_out`: milestones that change with it.
        :rtype: dict
        """
        self.ensure_one()
        text, contract = self._get_amount_text, self.schedule_id.amount_contract
        return {
            "reference": self.reference,
            "title": self.name,
            "reason": self.reason or "",
            "seller": {"name": self.company_id.name, "vat": self.company_id.vat or ""},
            "client": {"name": self.partner_id.commercial_partner_id.name},
            "order": {"name": self.order_id.name, "contract_amount": text(contract)},
            "lines": [line._prepare_snapshot_values(text) for line in self.line_ids],
            "milestones": [
                {**row, "before": text(row["before"]), "after": text(row["after"])} for row in milestones
            ],
            "billing": self.billing,
            "currency": self.currency_id.name,
            "amount_untaxed": text(self.amount_untaxed),
            "amount_tax": text(self.amount_tax),
            "amount_total": text(self.amount_total),
            "contract_after": text(contract + self.amount_untaxed),
        }

    def _prepare_snapshot(self, milestones=()):
        """Give everything the client decides about, in plain values.

        :param milestones: rows of `_try_out`.
        :rtype: dict
        """
        links = self._get_active_links()
        return {
            "v": 1,
            "kind": "change_snapshot",
            "nonce": secrets.token_hex(16),
            "request_id": self.uuid,
            "revision": self.revision,
            **self._prepare_content(milestones),
            "approvers": [link._prepare_snapshot_values() for link in links],
            "quorum": needed_approvals(self.schedule_id.quorum, len(links)),
            "levels": {"required": self._find_required_level()},
            "expires_at": self.expires_on.strftime("%Y-%m-%dT%H:%M:%S.000000Z"),
            "consent": {
                "id": "change",
                "version": 1,
                "lang": self.env.lang or "en_US",
                "text": self._get_consent(),
            },
        }

    def _find_required_level(self):
        """Tell how sure we have to be who approves, by the amount that changes.

        :rtype: str
        """
        company = self.company_id
        amount = self.currency_id._convert(
            abs(self.amount_total), company.currency_id, company, company._get_milestone_today()
        )
        limit, passkey = company.milestone_level2_above, company.milestone_passkey_above
        return required_level(
            Decimal(str(amount)), Decimal(str(limit)), Decimal(str(passkey)) if passkey else None
        )

    def _get_required_level(self):
        """Give the level that the client was told; limits that change later are for later change orders.

        :rtype: str
        """
        self.ensure_one()
        return (self._get_snapshot().get("levels") or {}).get("required") or self._find_required_level()

    def _get_consent(self):
        return self.env._(
            "I may decide this for %(client)s. I approve change order %(reference)s: the order changes by "
            "%(amount)s without tax.",
            client=self.partner_id.commercial_partner_id.name,
            reference=self.reference,
            amount=formatLang(self.env, self.amount_untaxed, currency_obj=self.currency_id),
        )

    def _is_other_than_frozen(self):
        """Tell whether a change order with the client would change something else than its page says.

        :rtype: bool
        """
        self.ensure_one()
        frozen = self._get_snapshot() if self.state != "draft" else {}
        now = self._prepare_content() if frozen else {}
        names = ("lines", "billing", "currency", "amount_untaxed", "amount_tax", "amount_total")
        return any(frozen[name] != now[name] for name in names if name in frozen)

    def _get_snapshot(self):
        self.ensure_one()
        return self.env["milestone.billing.evidence.snapshot"]._get_content(self.snapshot_sha256 or "") or {}

    def _get_snapshots(self):
        """Give the snapshots of this change order that are not erased, parsed, by hash."""
        domain = [("chain_id", "=", self.evidence_uuid), ("body", "!=", False)]
        records = self.env["milestone.billing.evidence.snapshot"].sudo().search(domain)
        return {record.sha256: record._parse() for record in records}

    # === TRYING OUT ===

    def _try_out(self):
        """Apply the change and undo it.

        :return: the milestones whose amount changes: `name`, `is_new`, and `before` and `after` without tax.
        :rtype: list[dict]
        :raise UserError: if the change cannot be applied.
        """
        self.ensure_one()
        before = self._get_milestone_amounts()
        with self.env.cr.savepoint() as savepoint:
            self._apply()
            self.env.invalidate_all()
            after = self._get_milestone_amounts()
            savepoint.rollback()
        self.env.invalidate_all(flush=False)
        rows = []
        for line_id, (name, amount) in after.items():
            old = before.get(line_id, (name, 0.0))[1]
            if line_id not in before or self.currency_id.compare_amounts(old, amount):
                rows.append({"name": name, "is_new": line_id not in before, "before": old, "after": amount})
        return rows

    def _get_milestone_amounts(self):
        lines = self.schedule_id.line_ids.filtered(lambda line: line._is_planned_on_order())
        lines = lines.sorted(lambda line: (line.sequence, line.id))
        return {line.id: (line.name, line.amount_untaxed) for line in lines}


class MilestoneBillingChangeLine(models.Model):
    _inherit = "milestone.billing.change.line"

    def _prepare_snapshot_values(self, text):
        return {
            "description": self.name,
            "is_new": not self.order_line_id,
            "quantity_before": f"{self.quantity_before:g}",
            "quantity": f"{self.quantity:g}",
            "price_before": text(self.price_before),
            "price": text(self.price_unit),
            "amount_before": text(self.amount_before),
            "amount_after": text(self.amount_after),
            "amount_untaxed": text(self.amount_untaxed),
        }


class MilestoneBillingChangeLink(models.Model):
    _inherit = "milestone.billing.change.link"

    def _prepare_snapshot_values(self):
        text = self.change_id._get_amount_text
        return {
            "actor_ref": self.partner_id.milestone_evidence_ref,
            "role": self.role or "",
            "limit": text(self.amount_limit) if self.amount_limit else None,
            "currency": self.currency_id.name,
        }
