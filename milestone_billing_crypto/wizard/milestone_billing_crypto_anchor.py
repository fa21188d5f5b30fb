from odoo import api, fields, models
from odoo.exceptions import UserError

from ..tools import anchor
from ..tools.json_rpc import Call
from ..tools.transfer_log import RangeError, block_hash


class MilestoneBillingCryptoAnchor(models.TransientModel):
    """Anchor a checkpoint on a network: a person sends the transaction, we look whether it stands there.

    Only the digest is sent, which holds no personal data and gives nothing away.
    """

    _name = "milestone.billing.crypto.anchor"
    _description = "Anchor a Checkpoint on Chain"

    # A plain number: nothing refers to the tables of evidence by a foreign key.
    checkpoint_ref = fields.Integer(required=True, readonly=True)
    checkpoint_id = fields.Many2one("milestone.billing.evidence.checkpoint", compute="_compute_checkpoint_id")
    chain_id = fields.Many2one(
        "milestone.billing.crypto.chain",
        string="Network",
        required=True,
        domain="[('node_ids', '!=', False)]",
        ondelete="cascade",
        default=lambda self: self._default_chain_id(),
    )
    is_test = fields.Boolean(related="chain_id.is_test")
    data = fields.Char(string="Transaction Data", compute="_compute_data")
    tx_hash = fields.Char(string="Transaction Hash")

    @api.model
    def _default_chain_id(self):
        domain = [("node_ids", "!=", False)]
        return self.env["milestone.billing.crypto.chain"].search(domain, limit=1)

    @api.depends("checkpoint_ref")
    def _compute_checkpoint_id(self):
        for wizard in self:
            wizard.checkpoint_id = wizard.checkpoint_id.browse(wizard.checkpoint_ref).exists()

    @api.depends("checkpoint_id")
    def _compute_data(self):
        for wizard in self:
            digest = wizard.checkpoint_id.digest
            wizard.data = anchor.data_of(digest) if digest else False

    def action_record(self):
        """Look the transaction up on our own nodes and record the anchor when it is final."""
        self.ensure_one()
        self.check_access("write")
        self.checkpoint_id.check_access("read")
        try:
            tx_hash = block_hash((self.tx_hash or "").strip())
        except RangeError:
            raise UserError(
                self.env._("This is not a transaction hash. It begins with 0x and has 64 more digits.")
            ) from None
        try:
            found = self.sudo()._look_up(tx_hash)
        except anchor.AnchorError as error:
            raise UserError(self._get_message(error.code)) from None
        self.sudo()._record(tx_hash, found)
        return {"type": "ir.actions.act_window_close"}

    def _look_up(self, tx_hash):
        """Ask the network where the transaction stands; the last node has to confirm what the first says.

        :rtype: anchor.Anchor
        :raise AnchorError: if it is not there, or not yet final.
        """
        chain, digest = self.chain_id, self.checkpoint_id.digest
        receipt_call = Call("eth_getTransactionReceipt", [tx_hash])
        answers = chain._call(
            [
                Call("eth_getTransactionByHash", [tx_hash]),
                receipt_call,
                Call("eth_getBlockByNumber", ["latest", False]),
            ],
            optional=[Call("eth_getBlockByNumber", ["finalized", False])],
        )
        found = anchor.judge(digest, tx_hash, anchor.Answers(*answers), chain.confirmations)
        other = chain.with_context(milestone_billing_crypto_last_first=True)
        block_call = Call("eth_getBlockByNumber", [hex(found.block_number), False])
        anchor.confirm(found, *other._call([receipt_call, block_call]))
        return found

    def _record(self, tx_hash, found):
        """Record the anchor, once."""
        Anchor = self.env["milestone.billing.evidence.anchor"]
        reference = f"eip155:{self.chain_id.evm_id}/{tx_hash}/{found.block_number}"
        digest = self.checkpoint_id.digest
        known = [("digest", "=", digest), ("kind", "=", "onchain"), ("reference", "=", reference)]
        if Anchor.search_count(known, limit=1):
            raise UserError(
                self.env._("This transaction is recorded as an anchor already. Nothing more has to be done.")
            )
        return Anchor._record(self.checkpoint_id, "onchain", reference)

    def _get_message(self, code):
        messages = {
            "unknown": self.env._(
                "The network does not know this transaction. Check the hash and the network, or wait a minute."
            ),
            "other_data": self.env._(
                "The data of this transaction is not the digest. Send a new transaction with exactly the data "
                "shown here."
            ),
            "failed": self.env._("This transaction failed on the network. Send it again, with enough gas."),
            "not_final": self.env._(
                "The transaction is right, but not final yet. Come back in some minutes with the same hash."
            ),
        }
        return messages.get(
            code, self.env._("The nodes contradict each other. Nothing was recorded; try again later.")
        )


class MilestoneBillingEvidenceCheckpoint(models.Model):
    _inherit = "milestone.billing.evidence.checkpoint"

    def action_anchor_onchain(self):
        """Open the dialogue that says what to send and takes the transaction's hash."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Anchor on Chain"),
            "res_model": "milestone.billing.crypto.anchor",
            "view_mode": "form",
            "target": "new",
            "context": {"default_checkpoint_ref": self.id},
        }
