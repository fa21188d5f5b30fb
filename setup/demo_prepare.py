# Runs in Odoo's shell on the demo database, once: links stay on this machine, pages are compiled beforehand.
parameters = env["ir.config_parameter"].sudo()  # noqa: F821 - the shell gives env
parameters.set_param("web.base.url", "http://127.0.0.1:8069")
parameters.set_param("web.base.url.freeze", "True")
parameters.set_param("report.url", "http://127.0.0.1:8069")
env["ir.qweb"]._pregenerate_assets_bundles()  # noqa: F821
env.cr.commit()  # noqa: F821
