import hashlib
import io
import json
import zipfile
from unittest.mock import patch

from odoo import Command
from odoo.addons.milestone_billing.tests.common import MilestoneBillingCommon
from odoo.exceptions import AccessError, UserError
from odoo.tests import new_test_user, tagged

from .common import CryptoCommon

#: Init code of a contract that refuses every call: it deploys ``revert(0, 0)``.
REFUSING = "0x6460006000fd6000526005601bf3"


@tagged("post_install", "-at_install")
class TestAnchor(CryptoCommon, MilestoneBillingCommon):
    """The root of the company's log, anchored by the merchant's own transaction and found by our own nodes."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.billing_manager = new_test_user(
            cls.env, "anchor_manager", "milestone_billing.milestone_billing_group_billing_manager"
        )
        cls.line = cls.create_order().milestone_line_ids[0]
        entry = cls.line._log_evidence("review.presented")
        cls.log = cls.env["milestone.billing.evidence.log"].sudo().search([("log_id", "=", entry.log_id)])
        cls.env["milestone.billing.evidence.leaf"].sudo()._sequence(cls.log, cls.line.evidence_ids.ids)
        cls.checkpoint = cls.env["milestone.billing.evidence.checkpoint"].sudo()._make(cls.log)

    def open_wizard(self, user=None):
        """Open the dialogue from the list as a billing manager does."""
        checkpoint = self.checkpoint.with_user(user or self.billing_manager)
        action = checkpoint.action_anchor_onchain()
        Wizard = checkpoint.env[action["res_model"]].with_context(**action["context"])
        return Wizard.create({"chain_id": self.chain.id})

    def send(self, data, to=None, **more):
        """Send data from the merchant's own wallet."""
        return self.evm.send({"from": self.payers[0], "to": to or self.payers[1], "data": data}, **more)

    def record(self, tx_hash):
        """Paste a hash and press the button."""
        wizard = self.open_wizard()
        wizard.tx_hash = tx_hash
        return wizard.action_record()

    def get_anchors(self):
        return self.env["milestone.billing.evidence.anchor"].sudo().search([("kind", "=", "onchain")])

    def assert_refused(self, tx_hash, message):
        """Nothing is recorded, and the reason is said."""
        with self.assertRaisesRegex(UserError, message):
            self.record(tx_hash)
        self.assertFalse(self.get_anchors())

    def test_final_transaction_with_the_digest_is_recorded_and_in_the_bundle(self):
        wizard = self.open_wizard()
        self.assertEqual(wizard.data, f"0x{self.checkpoint.digest}")
        tx_hash = self.send(wizard.data)
        block = self.evm.head()
        self.evm.mine(10)
        self.record(f" {tx_hash.upper().replace('0X', '0x')} ")
        anchor = self.get_anchors()
        self.assertEqual(anchor.reference, f"eip155:{self.chain.evm_id}/{tx_hash}/{block}")
        self.assertEqual((anchor.digest, anchor.size), (self.checkpoint.digest, self.checkpoint.size))
        domain = [("type", "=", "anchor.recorded"), ("chain_id", "=", self.log.log_id)]
        entry = self.env["milestone.billing.evidence"].sudo().search(domain)
        expected = {
            "kind": "onchain",
            "reference": anchor.reference,
            "size": anchor.size,
            "root": self.checkpoint.root,
            "digest": anchor.digest,
            "payload_sha256": hashlib.sha256(b"").hexdigest(),
            "occurred_at": anchor.occurred_at,
        }
        self.assertEqual(entry._get_body()["data"], expected)
        with self.assertRaisesRegex(UserError, "already"):
            self.record(tx_hash)
        self.assert_in_bundle(anchor)

    def assert_in_bundle(self, anchor):
        """The bundle names the transaction, and the verifier finds the digest in it."""
        with patch.object(
            self.env.registry["milestone.billing.line"], "_prepare_bundle_files", lambda *a: {}
        ):
            data = self.env["milestone.billing.evidence.bundle"]._build(self.line, "full")
        with zipfile.ZipFile(io.BytesIO(data)) as bundle:
            found = json.loads(bundle.read("anchors/onchain.json"))
            notes = [name for name in bundle.namelist() if name.startswith("log/checkpoints/")]
        self.assertEqual(
            found["anchors"],
            [{"kind": "onchain", "digest": anchor.digest, "reference": anchor.reference}],
        )
        self.assertEqual(len(notes), 1)

    def test_other_data_is_refused(self):
        for data in ("0x" + "ab" * 32, f"0x{self.checkpoint.digest}00", "0x"):
            tx_hash = self.send(data)
            self.evm.mine(10)
            self.assert_refused(tx_hash, "not the digest")

    def test_reverted_transaction_is_refused(self):
        sent = self.evm.send({"from": self.payers[0], "data": REFUSING})
        target = self.evm.rpc("eth_getTransactionReceipt", sent)["contractAddress"]
        tx_hash = self.send(f"0x{self.checkpoint.digest}", to=target, mine=False)
        self.evm.mine(10)
        self.assertEqual(self.evm.rpc("eth_getTransactionReceipt", tx_hash)["status"], "0x0")
        self.assert_refused(tx_hash, "failed")

    def test_transaction_has_to_be_final(self):
        tx_hash = self.send(f"0x{self.checkpoint.digest}", mine=False)
        self.assert_refused(tx_hash, "not final yet")
        self.evm.mine(self.chain.confirmations + 1)  # enough for a small payment, not finalized
        self.assert_refused(tx_hash, "not final yet")
        self.evm.mine(8)
        self.record(tx_hash)
        self.assertEqual(len(self.get_anchors()), 1)

    def test_node_without_finalized_blocks_counts_confirmations(self):
        def rule(call, result):
            if call["params"][:1] == ["finalized"]:
                raise self.proxy.Refuse("unknown block tag")
            return result

        self.proxy.rule = rule
        tx_hash = self.send(f"0x{self.checkpoint.digest}")
        self.assert_refused(tx_hash, "not final yet")
        self.evm.mine(self.chain.confirmations - 1)
        self.record(tx_hash)
        self.assertEqual(len(self.get_anchors()), 1)

    def test_unknown_hash_and_no_hash_are_refused(self):
        self.assert_refused("0x" + "12" * 32, "does not know")
        for text in ("", "0x1234", self.checkpoint.digest, "0x" + "zz" * 32):
            self.assert_refused(text, "not a transaction hash")

    def test_node_that_contradicts_itself_records_nothing(self):
        tx_hash = self.send(f"0x{self.checkpoint.digest}")
        self.evm.mine(10)

        def rule(call, result):
            if call["method"] == "eth_getBlockByNumber" and call["params"][0].startswith("0x"):
                return {**result, "hash": "0x" + "cd" * 32}
            return result

        self.proxy.rule = rule
        self.assert_refused(tx_hash, "contradict")
        self.proxy.rule = lambda call, result: hex(1) if call["method"] == "eth_chainId" else result
        self.assert_refused(tx_hash, "another network")

    def test_second_node_has_to_agree(self):
        tx_hash = self.send(f"0x{self.checkpoint.digest}")
        self.evm.mine(10)
        other = type(self.proxy)(self.evm)
        self.addCleanup(other.stop)
        parameters = self.env["ir.config_parameter"].sudo()
        name = "milestone_billing_crypto.private_nodes"
        parameters.set_param(name, f"{parameters.get_param(name)},{other.origin}")
        self.chain.node_ids = [Command.create({"url": other.url, "sequence": 99})]
        other.rule = lambda call, result: None if call["method"] == "eth_getTransactionReceipt" else result
        self.assert_refused(tx_hash, "contradict")
        other.reset()
        self.record(tx_hash)
        self.assertEqual(len(self.get_anchors()), 1)

    def test_only_billing_managers_anchor(self):
        auditor = new_test_user(
            self.env, "anchor_auditor", "milestone_billing.milestone_billing_group_auditor"
        )
        for user in (auditor, self.billing_user, self.project_user):
            with self.assertRaises(AccessError):
                self.open_wizard(user)
