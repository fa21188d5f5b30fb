import hashlib
import html
import io
import json
import re
import zipfile
from unittest.mock import patch

from coincurve import PrivateKey
from odoo.addons.milestone_billing.tests.common_approval import ApprovalHttpCommon
from odoo.addons.milestone_billing.tools import verify
from odoo.exceptions import ValidationError
from odoo.tests import new_test_user, tagged

from ..tools import eip712
from ..tools.address import from_public_key, to_checksum

#: A wallet in the browser that writes down what it is asked; the page has to take its answer.
BROWSER = """(async () => {
    const asked = [];
    window.ethereum = {
        request: async ({ method, params }) => {
            asked.push([method, params]);
            return { eth_requestAccounts: ["ADDRESS"], eth_chainId: "0x89", eth_signTypedData_v4: "0xSIGNATURE" }[method];
        },
    };
    const field = document.querySelector("[name=wallet_signature]");
    const notes = document.querySelector("[name=reservation]");
    const wait = (ms) => new Promise((done) => setTimeout(done, ms));
    notes.value = "The footer";
    const status = document.querySelector(".o_mb_wallet_status");
    const answer = window.ethereum.request;
    window.ethereum.request = async () => { throw { code: 4001, message: "a text of the wallet" }; };
    for (let turn = 0; turn < 50 && !status.textContent; turn++) {
        document.querySelector(".o_mb_wallet_sign").click();
        await wait(200);
    }
    const refused = status.textContent;
    window.ethereum.request = answer;
    for (let turn = 0; turn < 50 && !field.value; turn++) {
        document.querySelector(".o_mb_wallet_sign").click();
        await wait(200);
    }
    const told = status.textContent;
    const signed = asked.find(([method]) => method === "eth_signTypedData_v4")[1];
    const switched = asked.find(([method]) => method === "wallet_switchEthereumChain")[1];
    const filled = field.value;
    notes.dispatchEvent(new Event("input", { bubbles: true }));
    await wait(200);
    const seen = [
        refused === "REFUSED",
        told === "SIGNED",
        filled === "0xSIGNATURE",
        field.value === "",
        !document.querySelector(".o_mb_wallet_sign").classList.contains("d-none"),
        switched[0].chainId === "0x1",
        signed[0] === "ADDRESS",
        JSON.parse(signed[1]).message.decision === "approve_with_reservations",
        JSON.parse(signed[1]).primaryType === "Approval",
    ];
    console.log(seen.every(Boolean) ? "test successful" : `test failed: ${seen}`);
})()"""


class Wallet:
    """A wallet of a test: holds a key and signs typed data as browsers' wallets do."""

    def __init__(self, secret):
        self.key = PrivateKey(secret)
        self.address = to_checksum(from_public_key(self.key.public_key.format(compressed=False)))

    def sign(self, typed_data, v=27):
        """Return r, s and v of typed data."""
        raw = self.key.sign_recoverable(eip712.digest(typed_data), hasher=None)
        return "0x" + (raw[:64] + bytes([raw[64] + v])).hex()


@tagged("post_install", "-at_install")
class TestWalletApproval(ApprovalHttpCommon):
    """An approval signed by the approver's wallet, from the page to the bundle."""

    def setUp(self):
        super().setUp()
        self.wallet = Wallet(b"\x07" * 32)
        self.stranger = Wallet(b"\x08" * 32)

    def submit(self, level="L4", address=None):
        """Submit a milestone whose one approver has a wallet."""
        self.company.milestone_passkey_above = 1 if level == "L4" else 0
        self.company.milestone_level2_above = 1 if level == "L2" else 10**6
        Approver = self.env.registry["milestone.billing.approver"]
        create, address = Approver.create, address or self.wallet.address

        def create_with_wallet(model, vals_list):
            return create(model, [{**vals, "wallet_address": address} for vals in vals_list])

        with patch.object(Approver, "create", create_with_wallet):
            approval = self.create_submitted()
        self.assertEqual(
            (approval.level_required, approval.seat_ids.wallet_address), (level, self.wallet.address)
        )
        self.enter(approval)
        return approval

    def open_form(self, approval):
        """Open the page; return its hidden fields and the typed data it shows."""
        page = self.url_open(f"/my/milestones/{approval.uuid}/approve")
        typed = re.search(r'data-typed-data="([^"]+)"', page.text)
        self.assertTrue(typed, page.text[:500])
        self.assertNotIn("sign with a passkey", page.text, "the wallet is enough")
        return self.fields_of(page), json.loads(html.unescape(typed.group(1)))

    def send(self, approval, form, signature, **more):
        return self.post(
            approval,
            "approve",
            {**form, "accept": "1", "typed_name": "Zoe Client", "wallet_signature": signature, **more},
        )

    def assert_refused(self, approval, form, signature, **more):
        """The approval does not count, and the page says why."""
        answer = self.send(approval, form, signature, **more)
        self.assertEqual(answer.status_code, 403)
        self.assertIn("does not fit", answer.text)
        self.assertIn("you sign with your wallet", answer.text)
        self.assertEqual(approval.state, "requested")
        body = approval.line_id.evidence_ids.sorted("seq")[-1:]._get_body()
        self.assertEqual((body["type"], body["data"]["reason_code"]), ("approval.refused", "level_too_low"))

    def test_typed_data_say_what_is_decided(self):
        approval = self.submit()
        form, typed = self.open_form(approval)
        snapshot = approval._get_snapshot()
        self.assertEqual(
            typed["message"].pop("nonce"), "0x" + hashlib.sha256(form["presentation"].encode()).hexdigest()
        )
        expected = {
            "request_id": approval.uuid,
            "snapshot_sha256": f"0x{approval.snapshot_sha256}",
            "amount": snapshot["amount_total"],
            "currency": snapshot["currency"],
            "decision": "approve",
        }
        self.assertEqual(typed["message"], expected)
        self.assertEqual(typed["domain"]["chainId"], 1)
        self.assertEqual([item["wallet"] for item in snapshot["approvers"]], [self.wallet.address])

    def test_signed_approval_is_of_the_highest_level_and_can_be_verified_outside(self):
        approval = self.submit()
        form, typed = self.open_form(approval)
        signature = self.wallet.sign(typed)
        self.assertEqual(self.send(approval, form, signature).status_code, 303)
        self.assertEqual((approval.state, approval.level), ("approved", "L4"))
        line = approval.line_id
        entry = line.evidence_ids.filtered(lambda item: item.type == "approval.granted")
        body = entry._get_body()
        self.assertEqual((body["auth"]["level"], body["auth"]["method"]), ("L4", ["link", "wallet"]))
        value = self.env["milestone.billing.evidence.value"].sudo()
        value = value.search([("entry_id", "=", entry.id), ("name", "=", "wallet_json")]).value
        self.assertEqual(body["auth"]["assertion_sha256"], hashlib.sha256(value.encode()).hexdigest())
        self.assertEqual(json.loads(value)["signature"], signature)
        self.assertNotIn(signature, entry.body)
        self.assertTrue(line.sudo().verify_evidence()["ok"])
        self.check_bundle(line, value, body)
        report = self.env["ir.actions.report"].sudo()
        html, _kind = report._render_qweb_html("milestone_billing.action_report_certificate", line.ids)
        self.assertIn("Signed by wallet", html.decode())
        self.assertIn(self.wallet.address, html.decode())

    def check_bundle(self, line, value, body):
        """The bundle holds the signature, over the same typed data as the wallet signed."""
        with patch.object(
            self.env.registry["milestone.billing.line"], "_prepare_bundle_files", lambda *a: {}
        ):
            data = self.env["milestone.billing.evidence.bundle"]._build(line, "full")
        with zipfile.ZipFile(io.BytesIO(data)) as bundle:
            (found,) = json.loads(bundle.read("keys/wallet.json"))["assertions"]
        self.assertEqual(found["value"], value)
        typed = verify.wallet_typed_data(json.loads(value), body["subject"])
        item = json.loads(value)
        self.assertEqual(eip712.recover(eip712.digest(typed), item["signature"]), self.wallet.address.lower())
        snapshot = line.approval_ids._get_snapshot()
        what = (value, body["auth"], body["subject"], body["data"])
        check = verify.verify_wallet(*what, snapshot, body["actor_ref"])
        self.assertIn(check[0], (verify.OK, verify.NOT_PROVIDED), check)
        for seat in snapshot["approvers"]:
            seat["wallet"] = self.stranger.address
        self.assertEqual(verify.verify_wallet(*what, snapshot, body["actor_ref"])[0], verify.FAIL)
        for auth, data in (
            ({**body["auth"], "assertion_sha256": "0" * 64}, body["data"]),
            (body["auth"], {**body["data"], "amount_total": "1.00"}),
        ):
            self.assertEqual(verify.verify_wallet(value, auth, body["subject"], data)[0], verify.FAIL)

    def test_reservations_are_part_of_what_is_signed(self):
        approval = self.submit()
        form, typed = self.open_form(approval)
        plain = self.wallet.sign(typed)
        self.assert_refused(approval, form, plain, reservation="The footer")
        form, typed = self.open_form(approval)
        typed["message"]["decision"] = "approve_with_reservations"
        signature = self.wallet.sign(typed, v=0)
        self.assertEqual(self.send(approval, form, signature, reservation="The footer").status_code, 303)
        self.assertTrue(approval.has_reservations)

    def test_wrong_signatures_are_refused(self):
        approval = self.submit()
        form, typed = self.open_form(approval)
        other = {**typed, "message": {**typed["message"], "amount": "1.00"}}
        older, _typed = self.open_form(approval)
        attempts = [
            (form, self.stranger.sign(typed)),
            (form, self.wallet.sign(other)),
            (form, self.wallet.sign(typed)[:-2]),
            (form, "0x" + "00" * 65),
            (form, "ünïcode"),
            (older, self.wallet.sign(typed)),  # of another page's visit
        ]
        for fields, signature in attempts:
            self.assert_refused(approval, fields, signature)

    def test_signature_does_not_fit_another_submission(self):
        first = self.submit()
        _form, typed = self.open_form(first)
        signature = self.wallet.sign(typed)
        second = self.submit()
        form, _typed = self.open_form(second)
        self.assert_refused(second, form, signature)

    def test_required_level_is_not_reached_without_a_signature(self):
        approval = self.submit()
        form, _typed = self.open_form(approval)
        answer = self.send(approval, form, "")
        self.assertEqual(answer.status_code, 403)
        self.assertNotIn("does not fit", answer.text)
        self.assertEqual(approval.state, "requested")

    def test_signature_replaces_a_code_and_a_wrong_one_is_not_passed_over(self):
        approval = self.submit("L2")
        form, typed = self.open_form(approval)
        self.assert_refused(approval, form, self.stranger.sign(typed))
        form, typed = self.open_form(approval)
        self.assertEqual(self.send(approval, form, self.wallet.sign(typed)).status_code, 303)
        self.assertEqual(approval.level, "L4")

    def test_address_that_is_changed_later_does_not_count_for_what_was_submitted(self):
        approval = self.submit()
        approval.line_id.schedule_id.approver_ids.wallet_address = self.stranger.address
        form, typed = self.open_form(approval)
        self.assert_refused(approval, form, self.stranger.sign(typed))
        self.assertEqual(self.send(approval, form, self.wallet.sign(typed)).status_code, 303)

    def test_approver_without_a_wallet_is_not_offered_to_sign(self):
        approval = self.create_submitted()
        self.enter(approval)
        page = self.url_open(f"/my/milestones/{approval.uuid}/approve")
        self.assertNotIn("wallet_signature", page.text)
        form = {
            **self.fields_of(page),
            "wallet_signature": self.wallet.sign(eip712.build(self.get_message())),
        }
        self.assertEqual(self.send(approval, form, form["wallet_signature"]).status_code, 403)
        self.assertEqual(self.approve(approval).status_code, 303)
        self.assertEqual(approval.level, "L1")

    def get_message(self):
        words = {"snapshot_sha256": "0x" + "00" * 32, "nonce": "0x" + "00" * 32}
        return dict.fromkeys(("request_id", "amount", "currency", "decision"), "") | words

    def sign_in_browser(self, refused, signed):
        """Press the button in a browser with a wallet that declines first; the page says both in these words."""
        new_test_user(self.env, "zoe_portal", "base.group_portal", partner_id=self.contact.id)
        approval = self.submit()
        script = BROWSER.replace("ADDRESS", self.wallet.address.lower())
        self.browser_js(
            f"/my/milestones/{approval.uuid}/approve",
            script.replace('"REFUSED"', json.dumps(refused)).replace('"SIGNED"', json.dumps(signed)),
            ready="!!document.querySelector('[name=wallet_signature]')",
            login="zoe_portal",
        )

    def test_button_takes_the_signature_of_the_browsers_wallet(self):
        self.sign_in_browser("You declined in your wallet. Nothing was signed.", "Signed. Now approve below.")

    def test_page_and_script_speak_the_language_of_the_client(self):
        self.env["res.lang"]._activate_lang("de_DE")
        self.env["ir.module.module"]._load_module_terms(["milestone_billing_crypto"], ["de_DE"])
        view = self.env.ref("milestone_billing_crypto.portal_wallet")
        declined = "Sie haben in Ihrer Wallet abgelehnt. Es wurde nichts unterschrieben."
        terms = {"You declined in your wallet. Nothing was signed.": declined}
        view.update_field_translations("arch_db", {"de_DE": terms})
        (self.client_company + self.contact).lang = "de_DE"
        self.sign_in_browser(declined, "Unterschrieben. Geben Sie jetzt unten frei.")

    def test_address_is_checked(self):
        approver = self.submit().line_id.schedule_id.approver_ids
        wrong = self.wallet.address.swapcase().replace("0X", "0x")
        for text in (wrong, "0x1234", "client.eth", "0x" + "0" * 40):
            with self.assertRaises(ValidationError):
                approver.wallet_address = text
        approver.wallet_address = self.wallet.address.lower()
        self.assertEqual(approver._get_wallet_address(), self.wallet.address)
