from datetime import timedelta
from urllib.parse import urlsplit

from odoo import api, fields, models
from odoo.addons.milestone_billing.tools.url_guard import UrlError
from odoo.exceptions import UserError, ValidationError

from ..tools import abi, finality
from ..tools.address import AddressError, normalize, to_checksum
from ..tools.json_rpc import Call, RpcError
from ..tools.reading import WrongNetworkError, check_chain_id
from ..tools.transfer_log import RangeError

#: A payer is told when a network was not read for so long; a cycle is a minute.
_UNREAD_AFTER = timedelta(minutes=10)


class MilestoneBillingCryptoChain(models.Model):
    """An EVM network: what it is, and how far it has been read."""

    _name = "milestone.billing.crypto.chain"
    _description = "Stablecoin Network"
    _inherit = ["mail.thread", "mail.activity.mixin"]
    _order = "is_test, sequence, id"

    name = fields.Char(required=True, translate=True)
    sequence = fields.Integer(default=10)
    active = fields.Boolean(default=True)
    evm_id = fields.Integer(
        aggregator=None,
        string="Chain ID",
        required=True,
        help="Asked of the node in every cycle; another answer stops the network.",
    )
    is_test = fields.Boolean(
        string="Test Network",
        help="Test networks serve providers in test mode only, main networks enabled ones only.",
    )
    native_symbol = fields.Char(string="Gas Coin", required=True, default="ETH")
    explorer_url = fields.Char(string="Explorer", help="Start of links to transactions and addresses.")
    block_time_ms = fields.Integer(string="Block Time (ms)", required=True, default=12000)
    confirmations = fields.Integer(
        required=True, default=12, help="Blocks, its own included, that confirm a small payment."
    )
    scan_lag = fields.Integer(
        string="Blocks Left Out",
        default=1,
        help="Newest blocks left for the next cycle: nodes disagree most there.",
    )
    span_max = fields.Integer(string="Blocks per Query", required=True, default=2000)
    multicall_contract = fields.Char(
        default=lambda self: to_checksum(abi.MULTICALL),
        help="Multicall3 contract that reads a thousand balances in one call. Without one they are asked one by one.",
    )
    node_ids = fields.One2many("milestone.billing.crypto.node", "chain_id", string="Nodes")
    token_ids = fields.One2many("milestone.billing.crypto.token", "chain_id", string="Tokens")

    # How far the network was read; written under a lock of this row only.
    cursor_block = fields.Integer(string="Read up to Block", readonly=True, copy=False)
    hashes = fields.Json(readonly=True, copy=False)
    head_block = fields.Integer(string="Newest Block", readonly=True, copy=False)
    finalized_block = fields.Integer(readonly=True, copy=False)
    coin_block = fields.Integer(string="Coin Balances up to Block", readonly=True, copy=False)
    watch_state = fields.Selection(
        [
            ("idle", "Not watched"),
            ("ok", "Up to date"),
            ("behind", "Catching up"),
            ("lagging", "Node lags"),
            ("error", "Node fails"),
            ("stopped", "Stopped"),
        ],
        string="Health",
        default="idle",
        required=True,
        readonly=True,
        copy=False,
    )
    last_error = fields.Char(readonly=True, copy=False)
    last_polled_on = fields.Datetime(readonly=True, copy=False)
    last_progress_on = fields.Datetime(readonly=True, copy=False)
    poll_requests = fields.Integer(string="Requests in Last Cycle", readonly=True, copy=False)
    poll_calls = fields.Integer(string="Calls in Last Cycle", readonly=True, copy=False)
    blocks_behind = fields.Integer(compute="_compute_blocks_behind")
    quota_hint = fields.Char(compute="_compute_quota_hint", string="Load")

    _evm_id_unique = models.Constraint("UNIQUE (evm_id)", "This chain ID is already listed.")
    _limits = models.Constraint(
        "CHECK (evm_id > 0 AND confirmations > 0 AND scan_lag >= 0 AND span_max > 0 AND block_time_ms > 0)",
        "Chain ID, confirmations, blocks per query and block time must be positive.",
    )

    _confirmations_kept = models.Constraint(
        f"CHECK (confirmations < {finality.HASHES_KEPT})",
        f"At most {finality.HASHES_KEPT - 1} confirmations: of so many blocks a reorganisation can be traced.",
    )

    @api.depends("head_block", "cursor_block")
    def _compute_blocks_behind(self):
        for chain in self:
            chain.blocks_behind = max(0, chain.head_block - chain.cursor_block) if chain.cursor_block else 0

    @api.depends("block_time_ms", "node_ids.span", "span_max")
    def _compute_quota_hint(self):
        for chain in self:
            blocks = max(1, 60000 // chain.block_time_ms)
            span = min([chain.span_max] + [node.span for node in chain.node_ids if node.span])
            chain.quota_hint = self.env._(
                "%(blocks)s blocks a minute; this node allows %(span)s blocks per query. Queries a minute: %(queries)s.",
                blocks=blocks,
                span=span,
                queries=-(-blocks // span),
            )

    @api.constrains("explorer_url")
    def _check_explorer_url(self):
        for chain in self.filtered("explorer_url"):
            if urlsplit(chain.explorer_url).scheme != "https":
                raise ValidationError(self.env._("The explorer's address must begin with https://."))

    @api.constrains("multicall_contract")
    def _check_multicall_contract(self):
        for chain in self.filtered("multicall_contract"):
            try:
                normalize(chain.multicall_contract)
            except AddressError:
                raise ValidationError(
                    self.env._("The multicall contract is not an address. Copy it again, or leave it empty.")
                ) from None

    # === ACTIONS === #

    def action_check_now(self):
        """Read the network now, as the scheduled job does."""
        self.check_access("write")
        for chain in self:
            chain.sudo()._watch()
        return True

    def action_test_nodes(self):
        """Ask each node for its chain ID and newest block; the answer is stored on the node."""
        self.check_access("write")
        self.sudo().node_ids._probe()
        return True

    def action_resume(self):
        """Let a stopped network be read again: where it stopped, else from the node's newest block on.

        In the second case each receipt is looked up again, and what was missed in between is found by the
        comparison of balances.
        """
        self.check_access("write")
        for chain in self.filtered(lambda chain: chain.watch_state == "stopped"):
            chain.sudo()._resume()
        return True

    # === NODES === #

    def _usable_nodes(self):
        """Return the usable nodes, best first.

        A node that asked to slow down, or failed, is left alone until its time has come; when all are,
        the one whose time comes first is tried.
        """
        self.ensure_one()
        nodes = self.node_ids.filtered("active").sorted()
        now = fields.Datetime.now()
        ready = nodes.filtered(lambda node: not node.retry_after or node.retry_after <= now)
        return ready or nodes.sorted(lambda node: node.retry_after or now)[:1]

    def _wrong_network_message(self, got):
        return self.env._(
            "The node of %(chain)s answers for another network (chain ID %(got)s instead of %(want)s). "
            "Correct the node's address; nothing was read.",
            chain=self.name,
            got=got,
            want=self.evm_id,
        )

    def _call(self, calls, optional=()):
        """Send one strict batch, with the chain ID checked, to the first node that answers.

        :param optional: calls that a node may refuse; their answer is None then. They come last.
        :raise UserError: if no node answers, or one is on another network.
        """
        self.ensure_one()
        calls = list(calls)  # asked again of the next node
        problem = self.env._("no node is configured")
        nodes = self._usable_nodes()
        if self.env.context.get("milestone_billing_crypto_last_first"):
            nodes = nodes[::-1]
        for node in nodes:
            try:
                answers = node._client().batch([Call("eth_chainId", []), *calls, *optional])
                answers = self._get_strict(answers, len(calls) + 1)
                check_chain_id(answers[0], self.evm_id)
                return answers[1:]
            except WrongNetworkError as error:
                raise UserError(self._wrong_network_message(error.got)) from None
            except (RpcError, RangeError, UrlError) as error:
                problem = node._explain(error)
        raise UserError(
            self.env._("No node of %(chain)s answered: %(problem)s", chain=self.name, problem=problem)
        )

    @api.model
    def _get_strict(self, answers, count):
        """Return a batch's answers; of those after the first ``count`` a refused one becomes None."""
        for index, answer in enumerate(answers):
            if isinstance(answer, RpcError) and (index < count or answer.kind != "refused"):
                raise answer
        return [None if isinstance(answer, RpcError) else answer for answer in answers]

    def _is_unread(self):
        """Tell whether this network is in use and was not read for some minutes, or cannot be."""
        if not self or self.watch_state == "idle":
            return False
        is_old = self.last_polled_on and self.last_polled_on < fields.Datetime.now() - _UNREAD_AFTER
        return bool(is_old) or self.watch_state in ("error", "stopped", "lagging")

    def _explorer_link(self, kind, value):
        """Return the explorer's page of a transaction (``tx``), an ``address`` or a ``block``."""
        self.ensure_one()
        return f"{self.explorer_url.rstrip('/')}/{kind}/{value}" if self.explorer_url else False

    def _alarm(self, reason):
        """Ask a manager to look: something happened that a program must not decide."""
        self.ensure_one()
        group = self.env.ref("milestone_billing_crypto.milestone_billing_crypto_group_manager")
        managers = group.sudo().all_user_ids.filtered(lambda user: user.active and not user.share)
        self.activity_schedule(
            "mail.mail_activity_data_warning", note=reason, user_id=(managers[-1:] or self.env.user).id
        )

    def _restart(self):
        self.ensure_one()
        self.write(
            {
                "watch_state": "behind",
                "last_error": False,
                "cursor_block": 0,
                "coin_block": 0,
                "finalized_block": 0,
                "hashes": {},
            }
        )
        self._read_once()
