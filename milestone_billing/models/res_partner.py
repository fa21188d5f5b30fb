import uuid

from odoo import fields, models
from odoo.tools import SQL


class ResPartner(models.Model):
    _inherit = "res.partner"

    milestone_evidence_ref = fields.Char(
        string="Evidence Reference",
        readonly=True,
        copy=False,
        index=True,
        default=lambda self: str(uuid.uuid4()),
        help="Random name of this contact in evidence, so that no database id or personal data stands there.",
    )

    def _init_column(self, column_name):
        """Override of `models` to give each contact that is there already a reference of its own."""
        if column_name != "milestone_evidence_ref":
            return super()._init_column(column_name)
        self.env.cr.execute(
            SQL(
                "UPDATE res_partner SET milestone_evidence_ref = gen_random_uuid()::text"
                " WHERE milestone_evidence_ref IS NULL"
            )
        )
        return None
