# Runs in Odoo's shell on the demo database, once, before Odoo's own neutralising (no mail, no paid service,
# no real payment): its address, the client's mails in the queue, the pages compiled.
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
    for job in ("ir_cron_send_links", "ir_cron_send_change_links"):
        env.ref(f"milestone_billing.{job}").method_direct_trigger()
    env["ir.qweb"]._pregenerate_assets_bundles()
    env.cr.commit()


main()
