from datetime import timedelta

from odoo import Command, fields
from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import HttpCase, JsonRpcException, new_test_user, tagged
from odoo.tools import mute_logger
from psycopg2.errors import CheckViolation

from ..const import PRIVATE_NODES_PARAMETER
from .common import CryptoCommon

#: What a manager may do beside reading; a user reads all but the nodes and does nothing.
MODELS = {
    "chain": ("write", "create"),
    "node": ("write", "create"),
    "token": ("write", "create"),
    "wallet": ("write", "create"),
    "address": (),
    "payment": ("write",),
    "quote": (),
    "transfer": ("write",),
    "balance": (),
    "proof": ("write", "create"),
    "proof.line": (),
    "proof.balance": (),
    "refund": ("write", "create"),
    "sweep": ("write",),
}


@tagged("post_install", "-at_install")
class TestAccess(CryptoCommon):
    """Closed by default: who may see and do what, and what nobody may."""

    def model(self, name, user):
        """Return a model as a user."""
        return self.env[f"milestone.billing.crypto.{name}"].with_user(user)

    def test_matrix_of_groups_and_models(self):
        prefix = "milestone_billing_crypto.milestone_billing_crypto_group_"
        users = {
            "public": self.env.ref("base.public_user"),
            "portal": new_test_user(self.env, "crypto_portal", groups="base.group_portal"),
            "employee": new_test_user(self.env, "crypto_employee", groups="base.group_user"),
            "user": new_test_user(self.env, "crypto_user", groups=prefix + "user"),
            "manager": new_test_user(self.env, "crypto_manager", groups=prefix + "manager"),
        }
        for who, user in users.items():
            for name, allowed in MODELS.items():
                model = self.model(name, user)
                may_read = who == "manager" or (who == "user" and name != "node")
                with self.subTest(f"{who} {name}"):
                    self.assertEqual(model.has_access("read"), may_read)
                    for right in ("write", "create"):
                        self.assertEqual(model.has_access(right), who == "manager" and right in allowed)

    def test_receipts_and_addresses_cannot_be_forged_even_by_a_manager(self):
        payment = self.create_payment(100)
        self.pay_and_settle(payment)
        transfer = payment.transfer_ids
        for context in (
            {},
            {"milestone_billing_crypto_library": True},
            {"milestone_billing_crypto_library": "x"},
        ):
            for record, values in (
                (transfer, {"value": "999"}),
                (transfer, {"state": "final"}),
                (payment.address_id, {"address": "0x" + "1" * 40}),
            ):
                with self.assertRaises(AccessError):
                    record.sudo().with_context(**context).write(values)
                with self.assertRaises(AccessError):
                    record.sudo().with_context(**context).create(record.copy_data()[0])
                with self.assertRaises(AccessError):
                    record.sudo().with_context(**context).unlink()

    def test_user_cannot_accept_and_other_company_sees_nothing(self):
        self.provider.crypto_late_policy = "hold"
        payment = self.create_payment(100)
        payment.quote_id.expires_on = "2020-01-01"
        self.pay_and_settle(payment)
        user = new_test_user(
            self.env, "crypto_user2", groups="milestone_billing_crypto.milestone_billing_crypto_group_user"
        )
        for action in ("action_accept", "action_ignore"):
            with self.assertRaises(AccessError):
                getattr(payment.transfer_ids.with_user(user), action)()
        with self.assertRaises(AccessError):
            payment.with_user(user).read(["access_token"])
        other = self.env["res.company"].create({"name": "Other"})
        user.write({"company_ids": [Command.set(other.ids)], "company_id": other.id})
        for name in ("wallet", "address", "payment", "quote", "transfer"):
            self.assertFalse(self.model(name, user).search([]), name)

    def test_refund_begins_at_its_beginning_whatever_a_call_says(self):
        payment = self.create_payment(100)
        manager = new_test_user(
            self.env,
            "crypto_refund_manager",
            groups="milestone_billing_crypto.milestone_billing_crypto_group_manager",
        )
        Refund = self.model("refund", manager)
        vals = {"payment_id": payment.id, "token_id": payment.quote_id.token_id.id, "amount": 5.0}
        with self.assertRaises(AccessError):
            Refund.create({**vals, "state": "done"})
        refund = Refund.with_context(default_state="done", default_confirmed_on="2020-01-01").create(vals)
        self.assertEqual((refund.state, refund.confirmed_on), ("requested", False))

    def test_what_is_read_or_agreed_cannot_be_written_over_the_network(self):
        payment = self.create_payment(100)
        manager = new_test_user(
            self.env,
            "crypto_facts_manager",
            groups="milestone_billing_crypto.milestone_billing_crypto_group_manager",
        )
        proof = self.model("proof", manager).create({"chain_id": self.chain.id})
        values = {"payment_id": payment.id, "token_id": self.usdc.id, "amount": 5.0}
        refund = self.model("refund", manager).create(values)
        sweep = self.env["milestone.billing.crypto.sweep"].sudo()
        sweep = sweep.create({"company_id": self.company.id, "token_id": self.usdc.id}).with_user(manager)
        for record, vals in (
            (proof, {"is_proven": True}),
            (proof, {"block_number": 5}),
            (proof, {"block_hash": "0x" + "1" * 64}),
            (refund, {"base_units": "1"}),
            (
                refund,
                {"company_id": self.env["res.company"].search([("id", "!=", self.company.id)], limit=1).id},
            ),
            (sweep, {"amount": 1.0}),
            (sweep, {"date": "2020-01-01"}),
            (self.wallet.with_user(manager), {"state": "draft"}),
        ):
            with self.subTest(vals), self.assertRaises(AccessError):
                record.write(vals)
        with self.assertRaises(AccessError):
            self.model("proof", manager).create({"chain_id": self.chain.id, "is_proven": True})
        with self.assertRaises(AccessError):
            self.model("wallet", manager).create({"name": "W", "state": "confirmed"})
        self.assertEqual(self.wallet.copy().state, "draft")
        forged = self.model("proof", manager).with_context(default_block_number=7)
        self.assertFalse(forged.create({"chain_id": self.chain.id}).block_number)
        proof.action_prove()
        self.assertTrue(proof.block_number)
        with self.assertRaises(AccessError):
            proof.chain_id = self.chain.sudo().copy({"evm_id": 31340})

    @mute_logger("odoo.sql_db")
    def test_confirmations_stay_below_the_hashes_that_are_kept(self):
        self.chain.confirmations = 127
        self.env.flush_all()
        with self.assertRaises(CheckViolation), self.env.cr.savepoint():
            self.chain.confirmations = 128
            self.env.flush_all()

    def test_key_of_a_node_is_for_managers_only(self):
        user = new_test_user(self.env, "crypto_sys", groups="base.group_system")
        with self.assertRaises(AccessError):
            self.node.with_user(user).read(["url"])
        self.assertNotIn("SecretProviderKey", self.node.display_name)

    def test_key_of_a_node_is_in_no_answer_export_or_message(self):
        manager = new_test_user(
            self.env,
            "crypto_node_manager",
            groups="milestone_billing_crypto.milestone_billing_crypto_group_manager,base.group_allow_export",
        )
        node = self.node.with_user(manager)
        shown = [
            node.read(),
            node.export_data(["url", "host", "display_name", "chain_id/name"]),
            self.chain.with_user(manager).read(),
            self.chain.with_user(manager).web_read({"node_ids": {"fields": {"url": {}, "host": {}}}}),
            node.search([("host", "ilike", "127")]).mapped("url"),
            self.chain.message_ids.mapped("body"),
        ]
        self.assertNotIn("SecretProviderKey", repr(shown))
        self.assertEqual(node.url, f"http://{self.proxy.origin}/…")
        for call in (
            lambda: node.read(["endpoint"]),
            lambda: node.export_data(["endpoint"]),
            lambda: node.search([("endpoint", "like", "Secret")]),
            lambda: node.write({"endpoint": "https://evil.example/"}),
        ):
            with self.assertRaises(AccessError):
                call()
        node.url = node.url
        self.assertIn("SecretProviderKey", self.node.sudo().endpoint, "what is shown is not written back")
        node.url = self.proxy.url + "2"
        self.assertTrue(self.node.sudo().endpoint.endswith("2"))

    def test_nodes_inside_the_network_are_refused(self):
        self.env["ir.config_parameter"].set_param(PRIVATE_NODES_PARAMETER, "")
        for url in (
            "http://127.0.0.1:8545/",
            "https://127.0.0.1/",
            "https://localhost/",
            "https://[::1]/",
            "https://10.0.0.1/",
            "https://169.254.169.254/latest/meta-data",
            "file:///etc/passwd",
            "https://u:p@127.0.0.1/",
            "https://0/",
            "https://2130706433/",
            "https://[::ffff:127.0.0.1]/",
        ):
            with self.subTest(url), self.assertRaises(ValidationError):
                self.node.copy({"url": url, "chain_id": self.chain.id})

    def test_node_whose_name_moved_inside_is_not_called_any_more(self):
        self.env["ir.config_parameter"].set_param(PRIVATE_NODES_PARAMETER, "")
        self.proxy.requests.clear()
        self.watch(1)
        self.assertFalse(self.proxy.requests)
        self.assertEqual(self.chain.watch_state, "error")
        for said in (self.chain.last_error, self.node.last_error):
            self.assertIn("leads into a private network", said)

    def test_test_and_live_are_never_mixed(self):
        live = self._create_wallet({"mode": "fixed", "fixed_address": "0x" + "7" * 40, "is_test": False})
        with self.assertRaises(ValidationError):
            self.provider.crypto_wallet_id = live
        with self.assertRaises(ValidationError):
            self.provider.crypto_token_ids += self.env.ref(
                "milestone_billing_crypto.milestone_billing_crypto_token_base_usdc"
            )
        with self.assertRaises(ValidationError):
            self.provider.state = "enabled"
        payment = self.create_payment(100)
        payment.transaction_id.sudo().is_live = True
        self.pay_and_settle(payment)
        self.assertEqual(payment.transfer_ids.match_kind, "wrong_mode")
        with self.assertRaises(UserError):
            payment.transfer_ids.action_accept()

    def test_token_that_lies_about_itself_is_not_offered(self):
        bad = self.usdc.copy(
            {"contract": self.dai_contract.address, "chain_id": self.chain.copy({"evm_id": 31338}).id}
        )
        with self.assertRaises(UserError):
            bad.action_verify()
        bad = self.env["milestone.billing.crypto.token"].create(
            {
                "symbol": "USDC",
                "name": "x",
                "chain_id": self.chain.id,
                "contract": "0x" + "9" * 40,
                "peg_currency_id": self.env.ref("base.USD").id,
            }
        )
        with self.assertRaisesRegex(UserError, "No token lives"):
            bad.action_verify()
        with self.assertRaises(ValidationError):
            self.provider.crypto_token_ids += bad

    def test_depegged_or_unknown_price_stops_new_quotes(self):
        feed = self.evm.deploy("Feed")
        self.usdc.feed_contract = feed.address
        payment = self.create_payment(100, token=self.dai)
        self.assertNotIn(self.usdc, payment._offered_tokens())
        now = int(self.evm.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        feed.send("set", 99_950_000, now)
        self.usdc.sudo()._read_price()
        self.assertEqual(self.usdc.price_ppm, 999_500)
        self.assertIn(self.usdc, payment._offered_tokens())
        feed.send("set", 95_000_000, now)
        self.watch()  # each cycle looks
        self.assertNotIn(self.usdc, payment._offered_tokens())
        with self.assertRaises(UserError):
            payment._choose(self.usdc)

    def test_provider_is_not_offered_where_it_cannot_quote(self):
        peso = self.env.ref("base.MXN")
        peso.active = True
        self.env["res.currency.rate"].search([("currency_id", "=", peso.id)]).unlink()
        Provider = self.env["payment.provider"].sudo()
        for currency, expected in ((self.env.ref("base.USD"), True), (peso, False)):
            found = Provider._get_compatible_providers(
                self.company.id, self.partner_a.id, 100, currency_id=currency.id
            )
            self.assertEqual(self.provider in found, expected)
        for days, expected in ((8, False), (7, True)):
            self.env["res.currency.rate"].create(
                {
                    "currency_id": peso.id,
                    "name": fields.Date.today() - timedelta(days=days),
                    "rate": 18,
                    "company_id": self.company.id,
                }
            )
            self.assertEqual(self.provider._can_quote(peso), expected, "a rate of a week ago still counts")


@tagged("post_install", "-at_install")
class TestAccessOverTheNetwork(CryptoCommon, HttpCase):
    """Each public method of each model, called as a browser calls it, by people who may not."""

    #: What a person who may read may do with what they see.
    LOOKING = {"action_open_explorer", "action_export"}

    def create_records(self):
        """Return one record of each model with public methods."""
        payment = self.create_payment(100)
        self.pay_and_settle(payment)
        env = payment.env
        refund = {"payment_id": payment.id, "token_id": self.usdc.id, "amount": 5.0}
        place = {"company_id": self.company.id, "token_id": self.usdc.id}
        self.chain.sudo()._sweep()
        return [
            payment,
            payment.transfer_ids,
            self.chain,
            self.usdc,
            self.wallet,
            env["milestone.billing.crypto.refund"].create(refund),
            env["milestone.billing.crypto.sweep"].create(place),
            env["milestone.billing.crypto.proof"].create({"chain_id": self.chain.id}),
            env["milestone.billing.crypto.balance"].search([], limit=1),
        ]

    def get_public(self, record):
        """Return the names of the public methods that our addon gives a model."""
        ours = "odoo.addons.milestone_billing_crypto."
        return sorted(
            name
            for base in type(record).mro()
            for name, member in vars(base).items()
            if name.startswith("action_") and getattr(member, "__module__", "").startswith(ours)
        )

    def call(self, record, name, *args):
        """Call a method over HTTP; returns the name of the error, or None."""
        try:
            self.make_jsonrpc_request(
                f"/web/dataset/call_kw/{record._name}/{name}",
                {"model": record._name, "method": name, "args": [record.ids, *args], "kwargs": {}},
            )
        except JsonRpcException as error:
            return str(error.args[0]).rpartition(".")[2] or "error"
        return None

    @mute_logger("odoo.http")
    def test_each_public_method_by_who_may_not(self):
        prefix = "milestone_billing_crypto.milestone_billing_crypto_group_"
        records = self.create_records()
        arguments = {"action_assign": [records[0].id], "action_import_addresses": ["0x" + "5" * 40]}
        seen = 0
        for groups in ("base.group_portal", "base.group_user", "base.group_user," + prefix + "user"):
            login = "over_" + groups.replace(".", "_").replace(",", "_")[-30:]
            new_test_user(self.env, login, groups=groups, password=login + login)
            self.authenticate(login, login + login)
            for record in records:
                for name in self.get_public(record):
                    may = groups.endswith("crypto_group_user") and name in self.LOOKING
                    with self.subTest(f"{login} {record._name} {name}"):
                        said = self.call(record, name, *arguments.get(name, []))
                        self.assertEqual(said, None if may else "AccessError")
                    seen += 1
        self.assertGreater(seen, 50)

    @mute_logger("odoo.http")
    def test_token_of_the_page_opens_no_chatter(self):
        payment = self.create_payment(100)
        self.authenticate(None, None)
        place = {"thread_model": payment._name, "thread_id": payment.id, "token": payment.access_token}
        before = payment.message_ids
        for route, values in (
            ("/mail/message/post", {"post_data": {"body": "Hello", "message_type": "comment"}}),
            ("/mail/chatter_fetch", {}),
        ):
            with self.subTest(route), self.assertRaises(JsonRpcException):
                self.make_jsonrpc_request(route, {**place, **values})
        self.assertEqual(payment.message_ids, before)
