from odoo import api, fields, models

from ..tools.evidence_bundle import sha256


class MilestoneBillingEvidenceAnchor(models.Model):
    """A trace of a checkpoint outside the seller's reach: a mail, a time stamp, a transaction on a chain."""

    _name = "milestone.billing.evidence.anchor"
    _description = "Evidence Anchor"
    _inherit = ["milestone.billing.evidence.protected", "milestone.billing.evidence.logged"]
    _log_access = False
    _order = "log_id, size desc, id"
    _rec_name = "reference"

    log_id = fields.Char(required=True, readonly=True)
    size = fields.Integer(required=True, readonly=True, aggregator=None)
    digest = fields.Char(required=True, readonly=True)
    kind = fields.Selection(
        [
            ("email", "E-mail"),
            ("rfc3161", "Time stamp (RFC 3161)"),
            ("onchain", "Blockchain"),
            ("ots", "OpenTimestamps"),
            ("witness", "Witness"),
        ],
        required=True,
        readonly=True,
    )
    reference = fields.Char(
        required=True, readonly=True, help="Message id, serial number or transaction hash."
    )
    payload = fields.Text(
        readonly=True, help="What an outsider needs to check it: the mail, the token, the proof."
    )
    occurred_at = fields.Char(string="Recorded (UTC)", required=True, readonly=True)

    _reference_unique = models.UniqueIndex("(digest, kind, reference)", "An anchor is recorded once.")

    @api.model
    def _record(self, checkpoint, kind, reference, payload=None):
        """Record that a checkpoint was anchored, and add `anchor.recorded` to the company's own chain.

        :param checkpoint: the `milestone.billing.evidence.checkpoint` that was anchored.
        :param str kind: one of the field's values.
        :param str reference: how to find it outside.
        :param str payload: text an outsider needs; binary tokens as base64.
        :return: the anchor.
        """
        checkpoint.ensure_one()
        anchor = self._with_append().create(
            {
                "log_id": checkpoint.log_id,
                "size": checkpoint.size,
                "digest": checkpoint.digest,
                "kind": kind,
                "reference": reference,
                "payload": payload or False,
                "occurred_at": self.env["milestone.billing.evidence"]._get_now(),
            }
        )
        anchor._log_recorded(checkpoint)
        return anchor

    def _log_recorded(self, checkpoint):
        self.ensure_one()
        logs = self.env["milestone.billing.evidence.log"].sudo()
        log = logs.search([("log_id", "=", checkpoint.log_id)], limit=1)
        event = {
            "chain_id": checkpoint.log_id,
            "company": self.env["res.company"].browse(log.company_ref),
            "type": "anchor.recorded",
            "actor_kind": "system",
            "data": {
                "kind": self.kind,
                "reference": self.reference,
                "size": checkpoint.size,
                "root": checkpoint.root,
                "digest": checkpoint.digest,
                "payload_sha256": sha256((self.payload or "").encode()),
                "occurred_at": self.occurred_at,
            },
        }
        self.env["milestone.billing.evidence"]._append([event])
