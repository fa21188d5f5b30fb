import uuid
from unittest.mock import patch

import psycopg2
from odoo import SUPERUSER_ID, Command, api
from odoo.modules.registry import Registry
from odoo.orm.registry import DummyRLock
from odoo.tests.common import BaseCase, get_db_name

CONCURRENCY_ERRORS = (psycopg2.errors.SerializationFailure, psycopg2.errors.DeadlockDetected)


class RaceCommon(BaseCase):
    """Real transactions side by side. They commit, and what was billed or decided stays: it is left behind."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.registry = Registry(get_db_name())
        # The server holds this lock while it runs tests, and threads would wait for it for ever.
        cls.startClassPatcher(patch.object(Registry, "_lock", DummyRLock()))

    @classmethod
    def create_company(cls, env, name, **values):
        """Create a company with a chart of accounts, and a service without tax, for the races of a class."""
        company = env["res.company"].create(
            {
                "name": f"{name} {uuid.uuid4()}",
                "country_id": env.ref("base.us").id,
                "milestone_gate": "none",
                **values,
            }
        )
        env.user.company_ids += company
        env["account.chart.template"].try_loading("generic_coa", company, install_demo=False)
        cls.company_id = company.id
        product = {"name": "Race Work", "type": "service", "taxes_id": [Command.clear()]}
        cls.product_id = env["product.product"].create(product).id
        return company

    def env_of(self, cr):
        """Give an environment of the class's company on a cursor."""
        return api.Environment(cr, SUPERUSER_ID, {"allowed_company_ids": [self.company_id]})
