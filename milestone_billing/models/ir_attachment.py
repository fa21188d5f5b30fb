import hashlib
import io
import re
import uuid

from odoo import api, models
from odoo.exceptions import UserError
from odoo.tools import SQL
from PIL import Image

from ..tools.file_type import HEAD_SIZE, sniff
from .milestone_billing_line_state import INTERNAL_WRITE

CHUNK_SIZE = 1 << 20
PICTURE_SIZE_MAX = 1 << 26
# DateTimeOriginal, in the Exif part of a picture: "2026:03:15 10:00:00".
EXIF_IFD, EXIF_TIME = 0x8769, 0x9003
EXIF_FORM = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d:\d\d:\d\d)")
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

    def _get_captured_at(self):
        """Give the time which a picture claims to be taken at, as it writes it; its clock may be wrong, or forged.

        :return: such as `2026-03-15 10:00:00`, empty where it claims none.
        :rtype: str
        """
        self.ensure_one()
        if self.mimetype not in ("image/jpeg", "image/tiff") or self.file_size > PICTURE_SIZE_MAX:
            return ""
        try:
            with Image.open(io.BytesIO(self.raw or b"")) as picture:
                claimed = str(picture.getexif().get_ifd(EXIF_IFD).get(EXIF_TIME) or "")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return ""
        found = EXIF_FORM.fullmatch(claimed)
        return f"{found[1]}-{found[2]}-{found[3]} {found[4]}" if found else ""

    def _has_sha256(self, digest):
        """Tell whether the stored bytes have a hash; a file that cannot be read has none.

        :rtype: bool
        """
        found = hashlib.sha256()
        try:
            for chunk in self._read_chunks():
                found.update(chunk)
        except OSError:
            return False
        return found.hexdigest() == digest

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
        """Give those of these files that were shown to a client for a decision, or show one that staff recorded.

        :rtype: ir.attachment
        """
        if not self.ids or self.env.context.get("milestone_internal_write") is INTERNAL_WRITE:
            return self.browse()
        self.env.cr.execute(
            SQL(
                """
                SELECT attachment_id FROM milestone_billing_approval_proof_rel WHERE attachment_id = ANY(%(ids)s)
                 UNION
                SELECT paper_id FROM milestone_billing_approval WHERE paper_id = ANY(%(ids)s)
                 UNION
                SELECT file.id FROM ir_attachment AS file
                  JOIN milestone_billing_change AS change ON change.id = file.res_id AND change.state = 'approved'
                 WHERE file.id = ANY(%(ids)s) AND file.res_model = 'milestone.billing.change'
                   AND file.res_field = 'document'
                """,
                ids=self.ids,
            )
        )
        return self.browse(row[0] for row in self.env.cr.fetchall())

    def _check_not_submitted(self):
        if submitted := self._get_submitted():
            raise UserError(
                self.env._(
                    "“%s” was submitted to the client, or shows an answer of the client, and is kept as it was. "
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
