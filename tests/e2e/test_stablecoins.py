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

#: A wallet as browsers have it, whose account is one of the node's.
WALLET = """
window.ethereum = {
    request: async ({ method, params }) => {
        if (method === "wallet_switchEthereumChain") {
            return null;
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

    def open_invoice(self):
        """Set the server up for the node and return the address of an invoice that is to be paid."""
        with (ROOT / "tests" / "e2e" / "evm_demo.py").open() as script:
            done = subprocess.run(
                [ROOT / "setup" / "odoo-bin", "shell", "-d", os.environ["MB_DATABASE"], "--no-http"],
                stdin=script,
                capture_output=True,
                text=True,
                check=False,
                env={**os.environ, "MB_ROOT": str(ROOT), "MB_EVM_URL": self.evm.url, "MB_EVM_PAY": "no"},
            )
        found = re.search(r"^invoice \S+: https?://[^/]+(\S+)$", done.stdout, re.MULTILINE)
        assert found, done.stdout + done.stderr[-2000:]
        return found[1]

    def pay(self, address, amount, token):
        """Pay by the script that takes what the page shows."""
        script = ROOT / "tests" / "e2e" / "evm_pay.py"
        command = [
            sys.executable,
            script,
            address,
            amount,
            "--token",
            token,
            "--node",
            self.evm.url,
            "--blocks",
            "0",
        ]
        subprocess.run(command, check=True, capture_output=True)

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


def choose(window, network):
    """Go from the invoice to what is asked in USDC."""
    window.open(network.open_invoice())
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


def test_the_wallet_of_the_browser_pays_what_the_page_asks(network, visit):
    window = visit(DESKTOP)
    window.context.add_init_script(WALLET.replace("NODE", network.evm.url))
    page = choose(window, network)
    window.press("button[name=token_id]:has-text('DAI')")
    page.click(".o_stablecoin_wallet")
    page.wait_for_timeout(1000)
    assert not page.locator(".o_stablecoin_wallet_problem").is_visible()
    network.read(25)
    page.wait_for_selector("text=Paid. Thank you!", timeout=30000)


def test_links_of_the_page_are_on_this_server_only(network, visit):
    window = visit(PHONE)
    hosts = set()
    window.page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    choose(window, network)
    assert hosts == {ADDRESS.split("/")[2]}
