"""The list of erasures, kept outside of the backups: after restoring one, what was erased since is erased again."""

from odoo import api, fields, models

from ..tools.verify import EvidenceError, canonical, load_json

BASIS = "restore"


class ResCompany(models.Model):
    _inherit = "res.company"

    milestone_erasure_listed_ref = fields.Integer(
        string="Last Listed Erasure",
        groups=fields.NO_ACCESS,
        help="Number of the last entry about an erasure that was mailed to the evidence mailbox.",
    )


class MilestoneBillingEvidenceErasure(models.AbstractModel):
    _inherit = "milestone.billing.evidence.erasure"

    @api.model
    def _get_listed(self, company, after=0):
        """Give the entries about erasures of a company, but not those that repeat what a list said."""
        domain = [("type", "=", "pii.erased"), ("company_ref", "=", company.id), ("id", ">", after)]
        entries = self.env["milestone.billing.evidence"].sudo().search(domain, order="id")
        return entries.filtered(lambda entry: entry._get_part("data").get("basis") != BASIS)

    @api.model
    def _dump_list(self, entries):
        """Write a list of erasures, one a line. It holds random names and numbers, and nothing of the people.

        :param entries: as `_get_listed` gives them.
        :rtype: str
        """
        lines = []
        for entry in entries:
            data = entry._get_part("data")
            line = {name: data.get(name, []) for name in ("erased", "snapshots")}
            lines.append(canonical({"chain_id": entry.chain_id, **line}).decode())
        return "\n".join(lines)

    @api.model
    def _apply_list(self, text):
        """Erase again what a list names and what is there again, as after restoring a backup.

        From Odoo's shell: `env["milestone.billing.evidence.erasure"]._apply_list(open("list.txt").read())`.

        :param str text: lines of `_dump_list`, out of the mails to the evidence mailbox; other lines are passed over.
        :return: in how many chains something was erased.
        :rtype: int
        """
        found = {}
        for line in text.splitlines():
            try:
                item = load_json(line.strip())
            except EvidenceError:
                continue
            if isinstance(item, dict) and item.get("chain_id"):
                part = found.setdefault(item["chain_id"], {"values": [], "snapshots": []})
                part["values"] += self._find_values_again(item)
                part["snapshots"] += self._find_snapshots_again(item)
        found = {chain_id: part for chain_id, part in found.items() if part["values"] or part["snapshots"]}
        if found:
            self._erase(found, basis=BASIS)
        return len(found)

    @api.model
    def _find_values_again(self, item):
        places = {(place["seq"], name) for place in item.get("erased", ()) for name in place["names"]}
        domain = [("chain_id", "=", item["chain_id"]), ("erased_at", "=", False)]
        values = self.env["milestone.billing.evidence.value"].sudo().search(domain)
        return values.filtered(lambda value: (value.seq, value.name) in places).ids

    @api.model
    def _find_snapshots_again(self, item):
        domain = [("chain_id", "=", item["chain_id"]), ("sha256", "in", item.get("snapshots") or [])]
        return (
            self.env["milestone.billing.evidence.snapshot"]
            .sudo()
            .search([*domain, ("erased_at", "=", False)])
            .ids
        )

    @api.model
    def _mail_list(self, company):
        """Mail the erasures since the last such mail to the evidence mailbox, where no backup overwrites them."""
        entries = self._get_listed(company, company.milestone_erasure_listed_ref)
        if not entries:
            return
        text = f"Keep this mail apart from the backups.\n\n{self._dump_list(entries)}\n"
        self.env["mail.mail"].sudo().create(
            {
                "subject": f"Evidence: {len(entries)} erasures on record",
                "body_html": self.env["ir.qweb"]._render("milestone_billing.mail_anchor", {"text": text}),
                "email_to": company.milestone_anchor_email,
                "email_from": company.email_formatted or self.env.user.email_formatted,
                "auto_delete": False,
            }
        )
        company.milestone_erasure_listed_ref = entries[-1].id
