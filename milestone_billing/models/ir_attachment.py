import hashlib
import uuid

from odoo import api, models
from odoo.exceptions import UserError

from ..tools.file_type import HEAD_SIZE, sniff
from .milestone_billing_line_state import INTERNAL_WRITE

CHUNK_SIZE = 1 << 20
CONTENT_FIELDS = {
    "raw",
    "datas",
    "db_datas",
    "store_fname",
    "checksum",
    "file_size",
    "url",
    "type",
    "mimetype",
}


class IrAttachment(models.Model):
    _inherit = "ir.attachment"

    # === PROOF FILES ===

    def _read_chunks(self):
        """Read the stored bytes piece by piece, so that a long video does not fill the memory."""
        self.ensure_one()
        if not self.store_fname:
            yield self.raw or b""
            return
        with open(self._full_path(self.store_fname), "rb") as file:
            while chunk := file.read(CHUNK_SIZE):
                yield chunk

    def _prepare_milestone_file(self, line):
        """Give this file as a snapshot names it: what it is by its bytes, not by its name.

        The identifier follows from the milestone, the attachment and its content: changed bytes, other file.

        :param line: milestone that shows it.
        :rtype: dict
        """
        self.ensure_one()
        digest, size, head = hashlib.sha256(), 0, b""
        for chunk in self._read_chunks():
            head = head or chunk[:HEAD_SIZE]
            size += len(chunk)
            digest.update(chunk)
        found, sha256 = sniff(head), digest.hexdigest()
        return {
            "file_uuid": str(uuid.uuid5(uuid.UUID(line.evidence_uuid), f"{self.id}:{sha256}")),
            "name": self.name or "",
            "mimetype": found.mimetype,
            "size": size,
            "sha256": sha256,
            "kind": found.kind,
            "caption": self.description or "",
        }

    # === SUBMITTED FILES STAY ===

    def _get_submitted(self):
        """Give those of these files that were shown to a client for a decision.

        :rtype: ir.attachment
        """
        if not self.ids or self.env.context.get("milestone_internal_write") is INTERNAL_WRITE:
            return self.browse()
        self.env.cr.execute(
            "SELECT DISTINCT attachment_id FROM milestone_billing_approval_proof_rel WHERE attachment_id = ANY(%s)",
            [self.ids],
        )
        return self.browse(row[0] for row in self.env.cr.fetchall())

    def _check_not_submitted(self):
        if submitted := self._get_submitted():
            raise UserError(
                self.env._(
                    "“%s” was submitted to the client as proof of work and is kept as it was. "
                    "Add the new version as another file.",
                    submitted[0].sudo().name,
                )
            )

    def write(self, vals):
        """Override of `base` to keep the bytes of submitted proof as they were shown."""
        if CONTENT_FIELDS & vals.keys():
            self._check_not_submitted()
        return super().write(vals)

    @api.ondelete(at_uninstall=False)
    def _unlink_except_submitted(self):
        self._check_not_submitted()
