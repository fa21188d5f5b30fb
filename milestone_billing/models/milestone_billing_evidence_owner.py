"""What milestones and change orders have in common: a chain of their own, which is checked, handed out and held."""

import base64
import hashlib

from odoo import fields, models
from odoo.exceptions import AccessError, UserError

from ..tools.evidence_bundle import safe_name
from ..tools.retention import CLIENT, DISPUTE, FULL, PROJECT, READERS
from ..tools.verify import seconds_of

MESSAGE_COUNT_MAX = 5
TOGETHER_SECONDS_MAX = 5


class MilestoneBillingEvidenceOwner(models.AbstractModel):
    """A document with `evidence_uuid`, `reference` and `company_id`, whose events `_log_evidence` records."""

    _name = "milestone.billing.evidence.owner"
    _description = "Document with Evidence"

    is_legal_hold = fields.Boolean(
        string="Legal Hold",
        compute="_compute_is_legal_hold",
        groups="milestone_billing.milestone_billing_group_project_user,"
        "milestone_billing.milestone_billing_group_auditor",
        help="Nothing of the evidence is erased while a dispute is open.",
    )
    is_disputed = fields.Boolean(
        string="Disputed",
        compute="_compute_is_legal_hold",
        groups="milestone_billing.milestone_billing_group_project_user,"
        "milestone_billing.milestone_billing_group_auditor",
        help="The client's bank takes a payment back, or the client contests it elsewhere.",
    )

    def _compute_is_legal_hold(self):
        """Read both from the chain: the last event about it counts."""
        types = ("legal_hold.set", "legal_hold.released", "dispute.opened", "dispute.closed")
        domain = [("chain_id", "in", self.mapped("evidence_uuid")), ("type", "in", types)]
        entries = self.env["milestone.billing.evidence"].sudo().search(domain, order="chain_id, seq")
        last = {(entry.chain_id, entry.type.partition(".")[0]): entry.type for entry in entries}
        for line in self:
            line.is_legal_hold = last.get((line.evidence_uuid, "legal_hold")) == "legal_hold.set"
            line.is_disputed = last.get((line.evidence_uuid, "dispute")) == "dispute.opened"

    def action_set_legal_hold(self, ticket=None):
        """Keep all evidence of these milestones until the hold is released.

        :param str ticket: the case this is about.
        """
        return self._change_legal_hold(True, ticket)

    def action_release_legal_hold(self, ticket=None):
        """Let the retention periods of these milestones run again."""
        return self._change_legal_hold(False, ticket)

    def _change_legal_hold(self, is_held, ticket):
        self.check_access("read")
        if not (
            self.env.su
            or self.env.user.has_group("milestone_billing.milestone_billing_group_billing_manager")
        ):
            raise AccessError(
                self.env._("Only billing managers may set or release a legal hold. Ask one of them.")
            )
        lines = self.filtered(lambda line: line.sudo().is_legal_hold != is_held)
        event_type = "legal_hold.set" if is_held else "legal_hold.released"
        lines._log_evidence(event_type, data={"ticket": ticket} if ticket else None)
        lines.invalidate_recordset(["is_legal_hold", "is_disputed"])
        return True

    def action_open_dispute(self, reason_code=None):
        """Record that a payment of these milestones is disputed; their evidence is kept until that is over.

        :param str reason_code: as the bank or the card scheme calls it.
        """
        fresh = self.filtered(lambda line: not line.sudo().is_disputed)
        self._change_legal_hold(True, reason_code)
        fresh._log_evidence("dispute.opened", data={"reason_code": reason_code or ""})
        self.invalidate_recordset(["is_legal_hold", "is_disputed"])
        return True

    def action_close_dispute(self, outcome=None):
        """Record that a dispute is over, and let the retention periods run again where it stopped them.

        :param str outcome: such as `won` or `lost`.
        """
        open_ones = self.filtered(lambda line: line.sudo().is_disputed)
        # Who may not release a hold closes no dispute either.
        open_ones.browse()._change_legal_hold(False, outcome)
        open_ones._get_held_by_dispute()._change_legal_hold(False, outcome)
        open_ones._log_evidence("dispute.closed", data={"outcome": outcome or ""})
        self.invalidate_recordset(["is_legal_hold", "is_disputed"])
        return True

    def _get_held_by_dispute(self):
        """Give those whose legal hold came with their dispute: one that was set before it stays.

        Both entries are written together, one behind the other, and name the same case.
        """
        types = ("legal_hold.set", "dispute.opened")
        domain = [("chain_id", "in", self.mapped("evidence_uuid")), ("type", "in", types)]
        entries = self.env["milestone.billing.evidence"].sudo().search(domain, order="chain_id, seq")
        last = {(entry.chain_id, entry.type): entry for entry in entries}
        return self.filtered(
            lambda owner: _is_one_case(*(last.get((owner.evidence_uuid, kind)) for kind in types))
        )

    # === CHECKING ===

    def verify_evidence(self):
        """Check the evidence of one milestone: hashes, order, personal values, state and place in the company log.

        :return: `ok`, `entries` (how many), `head` (last hash), `first_bad_seq` (or None) and `problems`, a list of
            `{"seq", "kind", "verdict", "message"}`; warnings are listed too and leave `ok` true.
        :rtype: dict
        """
        self.ensure_one()
        self.check_access("read")
        result = self.env["milestone.billing.evidence"].sudo()._verify_chain(self.evidence_uuid)
        problems = self.sudo()._find_document_problems(is_deep=True)
        result["problems"] += [problem._asdict() for problem in problems]
        result["ok"] = result["ok"] and not problems
        return result

    def _find_document_problems(self, is_deep=False):
        """Compare the documents that stand outside the chain with it; extensions add theirs.

        :param bool is_deep: read every file; else only see whether one of that size is there.
        :return: `tools.verify.Problem` items.
        :rtype: list
        """
        return []

    def action_verify_evidence(self):
        """Check the evidence and tell the result in a few words."""
        result = self.verify_evidence()
        if result["ok"]:
            message = self.env._("%s entries verified, nothing was changed.", result["entries"])
        else:
            message = "\n".join(item["message"] for item in result["problems"][:MESSAGE_COUNT_MAX])
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "title": self.env._("Evidence is intact")
                if result["ok"]
                else self.env._("Evidence was changed"),
                "message": message,
                "type": "success" if result["ok"] else "danger",
                "sticky": not result["ok"],
            },
        }

    # === HANDING OUT ===

    def export_evidence(self, variant=None, reason=None):
        """Give the evidence of one milestone as a ZIP that can be checked without Odoo.

        Without a variant, the copy holds what the user may read anyway. The dispute copy and the full copy are for
        somebody outside: they need a reason, and their export is itself recorded on the chain.

        :param str variant: `client`, `project`, `dispute`, `full`, or nothing.
        :param str reason: why a dispute copy or a full copy is handed out, such as the case number.
        :return: `filename` and `content` (base64).
        :rtype: dict
        """
        self.ensure_one()
        self.check_access("read")
        reader = variant or self._get_evidence_reader()
        self._check_may_export(reader, variant, reason)
        own_ref = self.env.user.partner_id.sudo().milestone_evidence_ref if reader == CLIENT else None
        filename, content = self._export_evidence(reader, own_ref, with_dispute=variant in (DISPUTE, FULL))
        self._log_export(reader, content, reason if variant in (DISPUTE, FULL) else None)
        return {"filename": filename, "content": base64.b64encode(content).decode()}

    def _export_evidence(self, reader, own_ref=None, with_dispute=False):
        """Build the ZIP for a reader; callers have checked that this reader may have it.

        :param str own_ref: evidence reference of the client who asks, so that their own data is in their copy.
        :param bool with_dispute: add the files for a card dispute.
        :return: file name and bytes.
        """
        self.ensure_one()
        more = self._prepare_dispute_files() if with_dispute else {}
        content = self.env["milestone.billing.evidence.bundle"]._build(self, reader, own_ref, more)
        head = self._get_chain_end().entry_hash or "empty"
        return f"evidence-{safe_name(self.reference)}-{head[:12]}.zip", content

    def _get_evidence_reader(self):
        user = self.env.user
        if self.env.su or any(
            user.has_group(f"milestone_billing.milestone_billing_group_{name}")
            for name in ("billing_manager", "auditor")
        ):
            return FULL
        return PROJECT if user._is_internal() else CLIENT

    def _check_may_export(self, reader, variant, reason):
        """Check that the user may have this copy.

        :raise AccessError: when it holds more than the user may read.
        :raise UserError: when the variant is unknown, or a reason is missing.
        """
        if reader not in READERS:
            raise UserError(
                self.env._("There is no evidence copy “%s”. Choose client, project, dispute or full.", reader)
            )
        own = READERS.index(self._get_evidence_reader())
        if READERS.index(reader) < own:
            raise AccessError(
                self.env._("Only billing managers and auditors may export this copy. Ask one of them for it.")
            )
        if variant in (DISPUTE, FULL) and not (reason or "").strip():
            raise UserError(self.env._("Say why this copy is handed out, such as the number of the dispute."))

    def _log_export(self, reader, content, reason):
        """Record that a copy was handed out: with a reason on the chain, else in the discussion of the milestone."""
        digest = hashlib.sha256(content).hexdigest()
        if reason:
            self.sudo()._log_evidence(
                "dispute.exported",
                data={"variant": reader, "bundle_sha256": digest},
                pii={"reason": reason.strip()},
                **self.env["milestone.billing.evidence"]._prepare_actor(),
            )
        else:
            self.sudo()._message_log(
                body=self.env._(
                    "%(user)s exported the evidence (%(digest)s).",
                    user=self.env.user.name,
                    digest=digest[:12],
                )
            )

    def _get_chain_end(self):
        self.ensure_one()
        domain = [("chain_id", "=", self.evidence_uuid)]
        return self.env["milestone.billing.evidence"].sudo().search(domain, order="seq desc", limit=1)

    def _prepare_bundle_files(self, reader):
        """Give the files of a bundle that come from this document; extensions add theirs.

        :param str reader: who the copy is for; see `tools/retention.py`.
        :return: name to bytes.
        :rtype: dict[str, bytes]
        """
        self.ensure_one()
        return {}

    def _prepare_bundle_mails(self, reader, own_ref=None):
        """Give the kept mails that a reader's copy holds.

        :return: name to bytes.
        :rtype: dict[str, bytes]
        """
        self.ensure_one()
        return {}

    def _get_paper_hashes(self):
        """Give the hashes of papers by which staff recorded an approval.

        :rtype: set[str]
        """
        self.ensure_one()
        domain = [("chain_id", "=", self.evidence_uuid), ("type", "=", "approval.on_behalf")]
        entries = self.env["milestone.billing.evidence"].sudo().search(domain)
        return {entry._get_part("data").get("document_sha256") for entry in entries}

    def _prepare_dispute_files(self):
        """Give the files for a card dispute.

        :return: name to bytes.
        :rtype: dict[str, bytes]
        """
        self.ensure_one()
        return {}

    def _get_snapshots(self):
        """Give the snapshots of this milestone that are not erased, parsed, by hash."""
        domain = [("chain_id", "=", self.evidence_uuid), ("body", "!=", False)]
        records = self.env["milestone.billing.evidence.snapshot"].sudo().search(domain)
        return {record.sha256: record._parse() for record in records}


def _is_one_case(hold, dispute):
    """Tell whether a legal hold was set by opening a dispute."""
    if not hold or not dispute or hold.seq + 1 != dispute.seq:
        return False
    seconds = seconds_of(dispute.occurred_at) - seconds_of(hold.occurred_at)
    ticket, reason = hold._get_part("data").get("ticket"), dispute._get_part("data").get("reason_code")
    return (ticket or "") == (reason or "") and abs(seconds) < TOGETHER_SECONDS_MAX
