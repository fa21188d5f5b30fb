from datetime import timedelta

from odoo import api, fields, models
from odoo.addons.milestone_billing.tools.url_guard import UrlError, parse
from odoo.exceptions import ValidationError

from ..const import PRIVATE_NODES_PARAMETER
from ..tools.json_rpc import Call, Client, RpcError
from ..tools.reading import WrongNetworkError, check_chain_id
from ..tools.transfer_log import RangeError, ordinal
from ..transport import build_transport

#: Longest time in seconds for which a failing node is left alone.
_BACK_OFF_MAX = 900


class MilestoneBillingCryptoNode(models.Model):
    """A JSON-RPC endpoint of the merchant. Its address may hold a key: it is taken, never shown, exported or logged."""

    _name = "milestone.billing.crypto.node"
    _description = "Stablecoin Network Node"
    _order = "sequence, id"
    _rec_name = "host"

    chain_id = fields.Many2one(
        "milestone.billing.crypto.chain", string="Network", required=True, ondelete="cascade", index=True
    )
    sequence = fields.Integer(default=10)
    active = fields.Boolean(default=True)
    endpoint = fields.Char(copy=False, groups=fields.NO_ACCESS)
    url = fields.Char(
        string="Address",
        required=True,
        compute="_compute_url",
        inverse="_inverse_url",
        compute_sudo=True,
        groups="milestone_billing_crypto.milestone_billing_crypto_group_manager",
        help="Enter the whole address, with its key. Only the host is shown again; to change it, enter it anew.",
    )
    host = fields.Char(compute="_compute_host", compute_sudo=True, store=True)
    span = fields.Integer(
        string="Blocks per Query", readonly=True, copy=False, help="What this node was found to allow."
    )
    error_count = fields.Integer(readonly=True, copy=False)
    last_error = fields.Char(readonly=True, copy=False)
    last_ok_on = fields.Datetime(readonly=True, copy=False)
    retry_after = fields.Datetime(readonly=True, copy=False)
    head_block = fields.Integer(string="Newest Block", readonly=True, copy=False)

    @api.depends("endpoint")
    def _compute_host(self):
        for node in self:
            try:
                node.host = parse(node.endpoint).origin
            except UrlError:
                node.host = False

    @api.depends("endpoint")
    def _compute_url(self):
        for node in self:
            node.url = node._mask(node.endpoint)

    def _inverse_url(self):
        for node in self:
            if node.url != node._mask(node.sudo().endpoint):
                node.sudo().endpoint = node.url

    @api.model
    def _mask(self, endpoint):
        """Return scheme and host of an address, and dots for what may be secret."""
        try:
            target = parse(endpoint)
        except UrlError:
            return False
        return f"{target.scheme}://{target.origin}{'/…' if target.path != '/' else '/'}"

    @api.constrains("endpoint")
    def _check_endpoint(self):
        for node in self:
            try:
                node._client()
            except UrlError as error:
                raise ValidationError(node._url_message(error.code)) from None

    def _url_message(self, code):
        messages = {
            "scheme": self.env._("The node's address must begin with https://."),
            "plain_http": self.env._(
                "The node must be reached by https, so that its key is not readable on the way."
            ),
            "credentials": self.env._("The node's address must not hold a user, a password or a fragment."),
            "private": self.env._(
                "The node's address leads into a private network. The administrator may allow the host "
                "in the system parameter %(name)s, as host:port.",
                name=PRIVATE_NODES_PARAMETER,
            ),
            "unresolved": self.env._("The node's name cannot be found. Check its spelling."),
        }
        return messages.get(code, self.env._("The node's address is not a usable web address."))

    def _explain(self, error):
        """Return what went wrong with this node and what helps, as a text; it never holds the node's address."""
        if isinstance(error, UrlError):
            return self._url_message(error.code)
        if not isinstance(error, (RpcError, RangeError)):
            return str(error)
        advice = {
            "transport": self.env._(
                "The node does not answer. It is asked again; see whether it runs, or add a second one."
            ),
            "http": self.env._(
                "The node refuses. See whether its address, the key in it and your plan are valid."
            ),
            "slow_down": self.env._("The node asks to wait. A larger plan or a second node helps."),
        }
        unusable = self.env._("The node's answer cannot be used. It is asked again; a second node helps.")
        return f"{advice.get(getattr(error, 'kind', ''), unusable)} ({error})"

    def _allowed_origins(self):
        text = self.env["ir.config_parameter"].sudo().get_param(PRIVATE_NODES_PARAMETER, "")
        return {origin.strip() for origin in text.split(",") if origin.strip()}

    def _client(self):
        """Return a client of this node.

        :raise UrlError: if the address is refused; checked each time, for names can change their answer.
        """
        self.ensure_one()
        return Client(build_transport(self.sudo().endpoint, self._allowed_origins()))

    # === HEALTH === #

    def _prepare_success_values(self, head, span):
        """Return what a good cycle leaves on the node."""
        return {
            "error_count": 0,
            "last_error": False,
            "retry_after": False,
            "last_ok_on": fields.Datetime.now(),
            "head_block": head,
            "span": span,
        }

    def _prepare_failure_values(self, error):
        """Return what a failure leaves on the node: the pause doubles with each, up to a quarter of an hour."""
        count = self.error_count + 1
        asked = getattr(error, "retry_after", 0)
        pause = min(max(asked, 5 * 2 ** min(count, 12)), _BACK_OFF_MAX)
        return {
            "error_count": count,
            "last_error": self._explain(error)[:200],
            "retry_after": fields.Datetime.now() + timedelta(seconds=pause),
        }

    def _note_failure(self, error):
        """Store a failure, unless another worker is writing this node just now."""
        if self.try_lock_for_update():
            self.write(self._prepare_failure_values(error))

    def _probe(self):
        """Ask each node for chain ID and head and store what it says."""
        for node in self:
            try:
                chain_id, head = node._client().batch_strict(
                    [Call("eth_chainId", []), Call("eth_blockNumber", [])]
                )
                check_chain_id(chain_id, node.chain_id.evm_id)
                node.write(node._prepare_success_values(ordinal(head), node.span or node.chain_id.span_max))
            except WrongNetworkError as error:
                node.write(node._prepare_failure_values(node.chain_id._wrong_network_message(error.got)))
            except (RpcError, UrlError, RangeError) as error:
                node.write(node._prepare_failure_values(error))
