"""Pure rules: no import of odoo, no clock, no network."""
