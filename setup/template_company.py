# Runs in Odoo's shell on the template of the tests: a company with a chart of accounts, ready to be taken.
# Each test class of Odoo's accounting makes one of its own, which takes longer than most of its tests.
# ruff: noqa: F821 - the shell gives env
company = env["res.company"].create({"name": "Company of the Tests"})
charts = env["account.chart.template"]
charts.try_loading(charts._guess_chart_template(company.country_id), company=company, install_demo=False)
if not company.account_fiscal_country_id:
    company.account_fiscal_country_id = env.ref("base.us")
env.user.company_ids -= company
env.cr.commit()
