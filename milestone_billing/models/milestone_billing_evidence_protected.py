from odoo import api, models
from odoo.exceptions import AccessError
from odoo.tools import SQL

# A Python object: a caller over RPC can send any JSON in the context, but never this.
APPEND = object()

GUARD_FUNCTION = """
CREATE OR REPLACE FUNCTION milestone_billing_evidence_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Erasing is the only change there is: the named columns become NULL, once, and all others stay.
    IF TG_OP = 'UPDATE' AND TG_NARGS > 0 THEN
        IF to_jsonb(OLD) ->> 'erased_at' IS NULL AND to_jsonb(NEW) ->> 'erased_at' IS NOT NULL
            AND to_jsonb(OLD) - TG_ARGV::text[] - 'erased_at' = to_jsonb(NEW) - TG_ARGV::text[] - 'erased_at'
            AND NOT EXISTS (SELECT 1 FROM unnest(TG_ARGV) AS arg WHERE to_jsonb(NEW) ->> arg IS NOT NULL)
        THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'Evidence is append-only: % on % is refused.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$
"""


class MilestoneBillingEvidenceProtected(models.AbstractModel):
    """What all evidence tables share: rows are added by this addon's own code, and stay.

    No log columns and no foreign keys: a deleted user or a merged contact would have to change a row.
    Nor may a stored field be added later with a default, for the same reason.
    """

    _name = "milestone.billing.evidence.protected"
    _description = "Append-only Record"
    _log_access = False
    # Columns which an erasure sets to NULL; a model that has some has `erased_at` as well.
    _erasable_columns = ()

    def init(self):
        """Create the triggers that refuse every change, also for a superuser in replica mode.

        Where the tables belong to another role (`doc/harden_evidence.sql`), they are that role's business.
        """
        if self._abstract or self._is_hardened():
            return
        self.env.cr.execute(GUARD_FUNCTION)
        table, name = SQL.identifier(self._table), SQL.identifier(f"{self._table}_guard")
        columns = SQL(", ").join(SQL("%s", column) for column in self._erasable_columns)
        for suffix, moment, arguments in (
            ("", SQL("BEFORE UPDATE OR DELETE ON %s FOR EACH ROW", table), columns),
            ("_truncate", SQL("BEFORE TRUNCATE ON %s FOR EACH STATEMENT", table), SQL()),
        ):
            name = SQL.identifier(f"{self._table}_guard{suffix}")
            self.env.cr.execute(SQL("DROP TRIGGER IF EXISTS %s ON %s", name, table))
            self.env.cr.execute(
                SQL(
                    "CREATE TRIGGER %s %s EXECUTE FUNCTION milestone_billing_evidence_guard(%s)",
                    name,
                    moment,
                    arguments,
                )
            )
            self.env.cr.execute(SQL("ALTER TABLE %s ENABLE ALWAYS TRIGGER %s", table, name))

    @api.model
    def _is_hardened(self):
        """Tell whether the table belongs to a role that we are not, so that nobody here can change its triggers.

        :rtype: bool
        """
        self.env.cr.execute(
            SQL(
                "SELECT NOT pg_has_role(relowner, 'member') FROM pg_class WHERE oid = %s::regclass",
                self._table,
            )
        )
        return self.env.cr.fetchone()[0]

    @api.model
    def _with_append(self):
        """Give this model in an environment that may create; never handed to a caller outside."""
        return self.sudo().with_context(milestone_evidence_append=APPEND)

    @api.model_create_multi
    def create(self, vals_list):
        """Override of `models` to refuse records that this addon's own methods do not make."""
        if self.env.context.get("milestone_evidence_append") is not APPEND:
            raise AccessError(
                self.env._("Evidence is written by the events themselves and cannot be entered.")
            )
        return super().create(vals_list)

    def write(self, vals):  # pylint: disable=method-required-super
        """Override of `models` to refuse every change."""
        raise AccessError(self.env._("Evidence cannot be changed. Record a new event instead."))

    def unlink(self):  # pylint: disable=method-required-super,no-raise-unlink
        """Override of `models` to refuse every deletion.

        An `ondelete` method would leave deleting at uninstall, and the rest of `unlink`, to others.
        """
        self._refuse_deletion()

    def _refuse_deletion(self):
        raise AccessError(
            self.env._("Evidence cannot be deleted. Personal data in it is erased by its retention.")
        )

    @api.model
    def _get_missing_guards(self):
        """Give the names of triggers of this table that are gone or switched off.

        :rtype: list[str]
        """
        wanted = {f"{self._table}_guard", f"{self._table}_guard_truncate"}
        self.env.cr.execute(
            SQL(
                "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND tgenabled = 'A' AND tgname IN %s",
                self._table,
                tuple(wanted),
            )
        )
        return sorted(wanted - {name for (name,) in self.env.cr.fetchall()})
