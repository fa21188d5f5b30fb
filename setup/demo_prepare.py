# Runs in Odoo's shell on the demo database, once, after Odoo's own neutralising (no mail, no paid service, no real payment).
# ruff: noqa: F821 - the shell gives env
ADDRESS = "http://127.0.0.1:8069"


def main():
    parameters = env["ir.config_parameter"].sudo()
    for name, value in {
        "web.base.url": ADDRESS,
        "web.base.url.freeze": "True",
        "report.url": ADDRESS,
    }.items():
        parameters.set_param(name, value)
    start_jobs()
    env["ir.qweb"]._pregenerate_assets_bundles()
    env.cr.commit()


def start_jobs():
    """Our own jobs run in the demo: what they write into the mail queue stays there."""
    ours = env["ir.model.data"].search([("model", "=", "ir.cron"), ("module", "=like", "milestone_billing%")])
    jobs = env["ir.cron"].browse(ours.mapped("res_id")).exists()
    jobs |= env.ref("payment.cron_post_process_payment_tx")
    jobs.write({"active": True})
    env.cr.commit()
    env.ref("milestone_billing.ir_cron_send_links").method_direct_trigger()


main()
