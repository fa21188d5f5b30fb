import secrets

from odoo import api, fields, models, tools
from odoo.exceptions import ValidationError

from ..tools import url_guard, webhook

WEBHOOK_EVENTS = [
    ("milestone.completed", "Completed"),
    ("milestone.submitted", "Sent to the client"),
    ("milestone.approved", "Approved"),
    ("milestone.changes_requested", "Changes requested"),
    ("milestone.posted", "Invoice issued"),
    ("milestone.paid", "Paid"),
]
EVENT_FIELDS = {event: f"on_{event.removeprefix('milestone.')}" for event, _label in WEBHOOK_EVENTS}


class MilestoneBillingWebhook(models.Model):
    """An address of another system that is told what happens to milestones."""

    _name = "milestone.billing.webhook"
    _description = "Milestone Webhook"
    _order = "name, id"

    name = fields.Char(required=True)
    active = fields.Boolean(default=True)
    company_id = fields.Many2one(
        "res.company", required=True, index=True, default=lambda self: self.env.company
    )
    url = fields.Char(string="URL", required=True, help="An https address that is reachable from outside.")
    secret = fields.Char(
        readonly=True,
        required=True,
        copy=False,
        default=lambda self: self._make_secret(),
        help="The receiver checks with it that a message comes from here.",
    )
    on_completed = fields.Boolean(string="Completed", default=True)
    on_submitted = fields.Boolean(string="Sent to the Client", default=True)
    on_approved = fields.Boolean(string="Approved", default=True)
    on_changes_requested = fields.Boolean(string="Changes Requested", default=True)
    on_posted = fields.Boolean(string="Invoice Issued", default=True)
    on_paid = fields.Boolean(string="Paid", default=True)
    delivery_ids = fields.One2many("milestone.billing.webhook.delivery", "webhook_id", string="Deliveries")
    delivery_count = fields.Integer(compute="_compute_delivery_counts")
    dead_count = fields.Integer(string="Given Up", compute="_compute_delivery_counts")

    @api.model
    def _make_secret(self):
        return webhook.make_secret(secrets.token_bytes(32))

    @api.depends("delivery_ids.state")
    def _compute_delivery_counts(self):
        groups = self.env["milestone.billing.webhook.delivery"]._read_group(
            [("webhook_id", "in", self.ids)], ["webhook_id", "state"], ["__count"]
        )
        for hook in self:
            counts = {state: count for owner, state, count in groups if owner == hook}
            hook.delivery_count = sum(counts.values())
            hook.dead_count = counts.get("dead", 0)

    @api.constrains("url")
    def _check_url(self):
        for hook in self:
            try:
                target = url_guard.parse(hook.url)
            except url_guard.UrlError:
                target = None
            if target is None or (target.scheme != "https" and target.origin not in hook._get_test_origins()):
                raise ValidationError(
                    self.env._(
                        "“%s” cannot be used. Enter an address that begins with https:// and holds no password.",
                        hook.url,
                    )
                )

    @api.model_create_multi
    def create(self, vals_list):
        """Extend: which webhooks listen is cached."""
        hooks = super().create(vals_list)
        self.env.registry.clear_cache()
        return hooks

    def write(self, vals):
        """Extend: which webhooks listen is cached."""
        result = super().write(vals)
        self.env.registry.clear_cache()
        return result

    def unlink(self):
        """Extend: which webhooks listen is cached."""
        result = super().unlink()
        self.env.registry.clear_cache()
        return result

    # === ACTIONS ===

    def action_rotate_secret(self):
        """Replace the signing key; the receiver must be given the new one."""
        self.check_access("write")
        for hook in self:
            hook.secret = self._make_secret()
        return True

    def action_send_test(self):
        """Queue a message of type `ping`, so that the receiver can be tried."""
        self.check_access("write")
        Delivery = self.env["milestone.billing.webhook.delivery"].sudo()
        Delivery.create([hook._prepare_ping_values() for hook in self])
        Delivery._trigger_sending()
        return True

    def action_open_deliveries(self):
        """Open the log of this webhook."""
        self.ensure_one()
        action = self.env["ir.actions.actions"]._for_xml_id(
            "milestone_billing.milestone_billing_webhook_delivery_action"
        )
        return {**action, "domain": [("webhook_id", "=", self.id)]}

    # === EVENTS ===

    def _prepare_ping_values(self):
        Delivery = self.env["milestone.billing.webhook.delivery"]
        event_id = Delivery._make_event_id()
        return Delivery._prepare_values(self, event_id, "ping", {"webhook": self.name})

    def _get_test_origins(self):
        """Give the private addresses that may be used: loopback while tests run, else none.

        :return: ``host:port`` texts.
        """
        if not tools.config["test_enable"]:
            return ()
        self.ensure_one()
        target = url_guard.parse(self.url)
        return (target.origin,) if target.host in ("127.0.0.1", "localhost") else ()

    @api.model
    @tools.ormcache("company_id", "event")
    def _get_subscriber_ids(self, company_id, event):
        """Find who wants to know an event. Kept in memory: the answer is “nobody” nearly always.

        :rtype: tuple[int]
        """
        domain = [("company_id", "=", company_id), (EVENT_FIELDS[event], "=", True)]
        return tuple(self.sudo().search(domain).ids)
