"""Handing out the evidence of a milestone."""

import base64
import hashlib
import logging

from odoo import models
from odoo.exceptions import AccessError, UserError

from ..tools.evidence_bundle import safe_name
from ..tools.retention import CLIENT, DISPUTE, FULL, PROJECT, READERS

_logger = logging.getLogger(__name__)


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

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

        :param str own_ref: evidence reference of the client who asks, so that his own data is in his copy.
        :param bool with_dispute: add the files for a card dispute.
        :return: file name and bytes.
        """
        self.ensure_one()
        more = self._prepare_dispute_files() if with_dispute else {}
        content = self.env["milestone.billing.evidence.bundle"]._build(self, reader, own_ref, more)
        head = self.sudo().evidence_ids[-1:].entry_hash or "empty"
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

        :raise AccessError: when it holds more than he may read.
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

    # === FILES ===

    def _prepare_bundle_files(self, reader):
        """Give the files of a bundle that come from the documents of this milestone.

        Extensions add theirs: mails, keys, the invoice.

        :param str reader: who the copy is for; see `tools/retention.py`.
        :return: name to bytes.
        :rtype: dict[str, bytes]
        """
        self.ensure_one()
        return {**self._prepare_bundle_proofs(), **self._prepare_bundle_certificate()}

    def _prepare_bundle_proofs(self):
        """Give the files which the client saw, by the hash under which a snapshot names them."""
        kept = {
            hashlib.sha256(file.raw or b"").hexdigest(): file for file in self._get_evidence_attachments()
        }
        files = {}
        for snapshot in self._get_snapshots().values():
            for item in snapshot.get("files", ()):
                attachment = kept.get(item.get("sha256"))
                if attachment:
                    files[f"proof/{item.get('file_uuid')}_{safe_name(item.get('name'))}"] = attachment.raw
        return files

    def _get_evidence_attachments(self):
        """Give the attachments among which the files of snapshots are looked for."""
        return self.proof_ids

    def _get_snapshots(self):
        """Give the snapshots of this milestone that are not erased, parsed, by hash."""
        domain = [("chain_id", "=", self.evidence_uuid), ("body", "!=", False)]
        records = self.env["milestone.billing.evidence.snapshot"].sudo().search(domain)
        return {record.sha256: record._parse() for record in records}
