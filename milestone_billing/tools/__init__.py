"""Pure rules: nothing in this folder imports odoo."""
