import uuid
from urllib.parse import urlsplit

from odoo import api, fields, models
from odoo.tools import SQL


class MilestoneBillingEvidenceLog(models.Model):
    """The log of a company in this database: a Merkle tree over all its entries, in the order they were committed.

    A copy of the database gets another identity (`database.uuid` changes), hence a log of its own: two histories
    under one name could not be told apart.
    """

    _name = "milestone.billing.evidence.log"
    _description = "Evidence Log of a Company"
    _log_access = False
    _rec_name = "origin"

    log_id = fields.Char(required=True, readonly=True)
    company_ref = fields.Integer(string="Company ID", required=True, readonly=True, aggregator=None)
    database_uuid = fields.Char(string="Database", required=True, readonly=True)
    origin = fields.Char(required=True, readonly=True, help="The name of the log in its checkpoints.")
    size = fields.Integer(required=True, readonly=True, default=0, aggregator=None)
    frontier = fields.Text(readonly=True, help="Hashes of the complete subtrees, to continue from.")
    checkpoint_count = fields.Integer(
        readonly=True, default=0, aggregator=None, help="How many were made, so that none goes missing."
    )

    _log_unique = models.UniqueIndex("(log_id)", "A log has one identity.")
    _company_unique = models.UniqueIndex(
        "(company_ref, database_uuid)", "A company has one evidence log in a database."
    )

    @api.model
    def _get_database_uuid(self):
        return self.env["ir.config_parameter"].sudo().get_param("database.uuid") or ""

    @api.model
    def _get_or_create(self, company_id):
        """Give the id of a company's log in this database; the first entry makes it.

        :param int company_id: database id of the company.
        """
        log_id, database_uuid = str(uuid.uuid4()), self._get_database_uuid()
        host = (
            urlsplit(self.env["ir.config_parameter"].sudo().get_param("web.base.url") or "").netloc
            or "localhost"
        )
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO milestone_billing_evidence_log
                       (log_id, company_ref, database_uuid, origin, size, checkpoint_count)
                VALUES (%s, %s, %s, %s, 0, 0) ON CONFLICT (company_ref, database_uuid) DO NOTHING
                """,
                log_id,
                company_id,
                database_uuid,
                f"{host}/mbev1/{log_id}",
            )
        )
        domain = [("company_ref", "=", company_id), ("database_uuid", "=", database_uuid)]
        return self.sudo().search(domain, limit=1).log_id

    def _init_column(self, column_name):
        """Override of `models` to count the checkpoints that are there already."""
        result = super()._init_column(column_name)
        if column_name == "checkpoint_count":
            self.env.cr.execute(
                SQL(
                    """
                    UPDATE milestone_billing_evidence_log AS log SET checkpoint_count = (
                           SELECT count(*) FROM milestone_billing_evidence_checkpoint AS checkpoint
                            WHERE checkpoint.log_id = log.log_id)
                    """
                )
            )
        return result

    def _count_checkpoint(self):
        """Note that one more checkpoint was made; the row is locked."""
        self.ensure_one()
        self.env.cr.execute(
            SQL(
                "UPDATE milestone_billing_evidence_log SET checkpoint_count = checkpoint_count + 1 WHERE id = %s",
                self.id,
            )
        )
        self.invalidate_recordset(["checkpoint_count"])

    def _lock_tail(self):
        """Lock one log and give its size and frontier as text.

        A transaction that began before the last change of the row fails here with a serialization error, and is
        tried again: it could not see the leaves it would have to count.
        """
        self.ensure_one()
        self.env.cr.execute(
            SQL("SELECT size, frontier FROM milestone_billing_evidence_log WHERE id = %s FOR UPDATE", self.id)
        )
        return self.env.cr.fetchone()

    def _move_tail(self, size, frontier):
        self.ensure_one()
        self.env.cr.execute(
            SQL(
                "UPDATE milestone_billing_evidence_log SET size = %s, frontier = %s WHERE id = %s",
                size,
                frontier,
                self.id,
            )
        )
        self.invalidate_recordset(["size", "frontier"])
