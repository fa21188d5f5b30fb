from odoo.exceptions import UserError

EXPORTED_PARAMETER = "milestone_billing.evidence_exported"


def uninstall_hook(env):
    """Refuse to drop evidence that is not past its period, unless a system parameter says that it was exported.

    :raise UserError: when evidence of the retention period is there and the parameter is not set.
    """
    days = max(env["res.company"].sudo().search([]).mapped("milestone_retention_financial_days"), default=0)
    cutoff = env["milestone.billing.evidence.erasure"]._get_cutoff(days)
    count = env["milestone.billing.evidence"].sudo().search_count([("occurred_at", ">=", cutoff)])
    if count and not env["ir.config_parameter"].sudo().get_param(EXPORTED_PARAMETER):
        raise UserError(
            env._(
                "%(count)s evidence entries are still within their retention period, and uninstalling deletes them. "
                "Export the evidence of your milestones, then set the system parameter %(parameter)s to the date of "
                "the export and try again.",
                count=count,
                parameter=EXPORTED_PARAMETER,
            )
        )
    # The database's own guard belongs to no table, so nothing else would take it away; its triggers go with it.
    env.cr.execute("DROP FUNCTION IF EXISTS milestone_billing_evidence_guard() CASCADE")
