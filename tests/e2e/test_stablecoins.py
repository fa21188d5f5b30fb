"""The payer's way from the invoice to a paid one, in a browser, with tokens on a local node."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from window import ADDRESS, DESKTOP, PHONE, call, find, log_in

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "milestone_billing_crypto" / "tests"))
from evm.node import Anvil  # noqa: E402

#: A wallet as browsers have it (EIP-1193), whose account is one of the node's. What it should refuse is set by tests.
WALLET = """
window.refusals = {};
window.asked = [];
window.ethereum = {
    request: async ({ method, params }) => {
        window.asked.push(method);
        if (window.refusals[method]) {
            throw Object.assign(new Error("a text of the wallet"), window.refusals[method]);
        }
        if (method === "wallet_switchEthereumChain") {
            return null;
        }
        if (method === "eth_chainId" && window.elsewhere) {
            return "0x1";
        }
        const real = method === "eth_requestAccounts" ? "eth_accounts" : method;
        const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: real, params: params || [] });
        const response = await fetch("NODE", { method: "POST", headers: { "Content-Type": "application/json" }, body });
        return (await response.json()).result;
    },
};
"""


class Network:
    """A local node which the demo's server reads, and somebody who pays there."""

    def __init__(self):
        self.evm = Anvil()
        self.admin = log_in("admin")

    def open_invoice(self, coin=False):
        """Set the server up for the node and return the address of an invoice that is to be paid."""
        with (ROOT / "tests" / "e2e" / "evm_demo.py").open() as script:
            done = subprocess.run(
                [ROOT / "setup" / "odoo-bin", "shell", "-d", os.environ["MB_DATABASE"], "--no-http"],
                stdin=script,
                capture_output=True,
                text=True,
                check=False,
                env={
                    **os.environ,
                    "MB_ROOT": str(ROOT),
                    "MB_EVM_URL": self.evm.url,
                    "MB_EVM_PAY": "no",
                    "MB_EVM_COIN": "1" if coin else "",
                },
            )
        found = re.search(r"^invoice \S+: https?://[^/]+(\S+)$", done.stdout, re.MULTILINE)
        assert found, done.stdout + done.stderr[-2000:]
        return found[1]

    def pay(self, address, amount, token=None):
        """Pay by the script that takes what the page shows."""
        script = ROOT / "tests" / "e2e" / "evm_pay.py"
        command = [sys.executable, script, address, amount, "--node", self.evm.url, "--blocks", "0"]
        subprocess.run(command + (["--token", token] if token else []), check=True, capture_output=True)

    def read(self, blocks=0):
        """Mine, and let the server read the network now."""
        self.evm.mine(blocks) if blocks else None
        chains = find(self.admin, "milestone.billing.crypto.chain", [("evm_id", "=", 31337)], "id")
        call(self.admin, "milestone.billing.crypto.chain", "action_check_now", [chains[0]["id"]])


@pytest.fixture(scope="module")
def network():
    network = Network()
    yield network
    network.evm.stop()


def asked(page, name):
    return page.inner_text(f"#stablecoin_{name}").strip()


def choose(window, network, coin=False):
    """Go from the invoice to the choice of a token."""
    window.open(network.open_invoice(coin))
    window.press("form[action$='/stablecoin'] button")
    assert "/payment/stablecoin/" in window.page.url
    window.check()
    return window.page


@pytest.mark.parametrize(("name", "size"), [("desktop", DESKTOP), ("phone", PHONE)])
@pytest.mark.parametrize("scripts", [True, False], ids=["javascript", "plain"])
def test_an_invoice_is_paid_in_parts_with_the_page_open(name, size, scripts, network, visit):
    window = visit(size, scripts)
    label = f"stablecoin_{name}{'' if scripts else '_plain'}"
    page = choose(window, network)
    window.keep(f"{label}_1_choose")
    window.press("button[name=token_id]:has-text('USDC')")
    window.keep(f"{label}_2_open")
    window.check()
    assert asked(page, "amount") == "1500.00"
    address, token = asked(page, "address"), asked(page, "contract")
    assert page.locator("figure svg").count() == 2

    def wait(text):
        if scripts:
            page.wait_for_selector(f"text={text}", timeout=30000)  # the page looks by itself
        else:
            page.reload()
            assert text in page.content()

    network.pay(address, "600", token)
    network.read(1)
    wait("confirmations")
    window.keep(f"{label}_3_seen")
    window.check()
    network.read(20)
    wait("is still to pay")
    window.keep(f"{label}_4_partial")
    window.check()
    assert asked(page, "amount") == "900.00"
    network.pay(asked(page, "address"), asked(page, "amount"), token)
    network.read(20)
    wait("Paid. Thank you!")
    window.keep(f"{label}_5_paid")
    window.check()
    assert not page.locator("#stablecoin_address").count()
    reference = re.search(r"INV/\S+", page.inner_text("h1"))[0]
    [invoice] = find(
        network.admin, "account.move", [("name", "=", reference)], "payment_state", "amount_residual"
    )
    assert invoice["payment_state"] in ("paid", "in_payment")
    assert invoice["amount_residual"] == 0


@pytest.mark.parametrize(("name", "size"), [("desktop", DESKTOP), ("phone", PHONE)])
def test_an_invoice_is_paid_in_the_networks_own_coin(name, size, network, visit):
    window = visit(size)
    page = choose(window, network, coin=True)
    window.keep(f"coin_{name}_1_choose")
    window.press("button[name=token_id]:has-text('ETH')")
    window.keep(f"coin_{name}_2_open")
    window.check()
    assert asked(page, "amount") == "0.60"
    assert not page.locator("#stablecoin_contract").count(), "a coin has no contract"
    assert page.locator("figure a[href^='ethereum:'][href*='?value=600000000000000000']").count() == 1
    network.read(1)
    network.pay(asked(page, "address"), asked(page, "amount"))
    network.read(1)
    page.wait_for_selector("text=confirmations", timeout=30000)
    window.keep(f"coin_{name}_3_seen")
    network.read(20)
    page.wait_for_selector("text=Paid. Thank you!", timeout=30000)
    window.keep(f"coin_{name}_4_paid")
    window.check()


def visit_with_wallet(network, visit, size=DESKTOP):
    """Return a window whose browser has a wallet."""
    window = visit(size)
    window.context.add_init_script(WALLET.replace("NODE", network.evm.url))
    return window


def test_the_wallet_of_the_browser_pays_what_the_page_asks(network, visit):
    window = visit_with_wallet(network, visit)
    page = choose(window, network)
    window.press("button[name=token_id]:has-text('DAI')")
    address = asked(page, "address")
    page.click(".o_stablecoin_wallet")
    page.wait_for_selector(".o_stablecoin_wallet_said:has-text('Sent.')")
    window.keep("wallet_1_sent")
    assert not page.locator(".o_stablecoin_wallet").is_visible(), "nobody pays twice by a second click"
    said = re.search(r"0x[0-9a-f]{64}", page.inner_text(".o_stablecoin_wallet_said"))[0]
    page.reload()
    page.wait_for_selector(f".o_stablecoin_wallet_said:has-text('{said}')")
    assert not page.locator(".o_stablecoin_wallet").is_visible(), "nor after a reload"
    network.read(2)  # its block, and one more: the newest is left for the next cycle
    page.wait_for_selector(f"li[data-hash='{said}']", timeout=30000)
    receipt = network.evm.rpc("eth_getTransactionReceipt", said)
    assert receipt["status"] == "0x1"
    assert receipt["logs"][0]["topics"][2].endswith(address[2:].lower())
    network.read(25)
    page.wait_for_selector("text=Paid. Thank you!", timeout=30000)
    window.keep("wallet_2_paid")
    window.check()


def test_what_the_wallet_refuses_is_said_in_words_and_can_be_tried_again(network, visit):
    window = visit_with_wallet(network, visit, PHONE)
    page = choose(window, network)
    window.press("button[name=token_id]:has-text('USDC')")
    switch, send = "wallet_switchEthereumChain", "eth_sendTransaction"
    cases = [
        ({"eth_requestAccounts": {"code": 4001}}, "You declined in your wallet"),
        ({"eth_requestAccounts": {"code": -32002}}, "waiting for your answer"),
        ({switch: {"code": 4902}}, "does not know"),
        ({switch: {"code": -32603, "data": {"originalError": {"code": 4902}}}}, "does not know"),
        ({switch: {"code": 4200}}, "is on another network"),
        ({send: {"code": 4001}}, "You declined in your wallet"),
        ({send: {"code": -32000}}, "did not send the payment"),
    ]
    for number, (refusals, words) in enumerate(cases):
        page.evaluate("refusals => { window.refusals = refusals; window.asked = []; }", refusals)
        page.evaluate("elsewhere => { window.elsewhere = elsewhere; }", switch in refusals)
        page.click(".o_stablecoin_wallet")
        page.wait_for_selector(f".o_stablecoin_wallet_said:has-text('{words}')")
        assert "a text of the wallet" not in page.inner_text(".o_stablecoin")
        assert (send in page.evaluate("window.asked")) == (send in refusals), (
            "nothing is sent on another network"
        )
        window.keep(f"wallet_refusal_{number}")
        window.check()
    page.evaluate("() => { window.refusals = {}; window.elsewhere = false; }")
    page.click(".o_stablecoin_wallet")
    page.wait_for_selector(".o_stablecoin_wallet_said:has-text('Sent.')")
    network.read(25)
    page.wait_for_selector("text=Paid. Thank you!", timeout=30000)


def test_links_of_the_page_are_on_this_server_only(network, visit):
    window = visit(PHONE)
    hosts = set()
    window.page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    choose(window, network)
    assert hosts == {ADDRESS.split("/")[2]}
