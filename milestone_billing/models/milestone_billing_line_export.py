"""The files of a milestone in its evidence bundle."""

import hashlib
import uuid

from odoo import models

from ..tools.evidence_bundle import safe_name


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    # === FILES ===

    def _prepare_bundle_files(self, reader):
        """Give the files of a bundle that come from the documents of this milestone.

        Extensions add theirs: mails, keys, the invoice.

        :param str reader: who the copy is for; see `tools/retention.py`.
        :return: name to bytes.
        :rtype: dict[str, bytes]
        """
        self.ensure_one()
        return {
            **super()._prepare_bundle_files(reader),
            **self._prepare_bundle_proofs(),
            **self._prepare_bundle_papers(),
            **self._prepare_bundle_certificate(),
        }

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

    def _prepare_bundle_papers(self):
        """Give the papers by which staff recorded an approval, as the entries about it name them."""
        wanted = self._get_paper_hashes()
        papers = [
            (file, digest) for digest in wanted for file in self._get_papers() if file._has_sha256(digest)
        ]
        return {
            f"proof/{uuid.uuid5(uuid.UUID(self.evidence_uuid), digest)}_{safe_name(file.name)}": file.raw
            for file, digest in papers
        }

    def _get_evidence_attachments(self):
        """Give the attachments among which the files of snapshots are looked for."""
        return self.proof_ids
