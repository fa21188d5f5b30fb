"""Set up stablecoins on a local EVM node in a demo database, and show a whole payment.

Run inside ``odoo-bin shell -d DATABASE < tests/e2e/evm_demo.py`` with

``MB_EVM_URL``   the local node, such as http://127.0.0.1:8545/ (``anvil`` as `setup/evm_node` gives it)
``MB_EVM_PAY``   ``1`` to pay the invoice at once and check the journal entry, ``no`` to leave the page to a person,
                 else a token is chosen and what is asked is printed
``MB_EVM_COIN`` ``1`` to list the network's own coin too, with a price feed of the node's own (2,500 USD, as of now)

Running it again finds what is there. Nothing here is for a live database: the accounts of the node are public.
"""

import os
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from odoo import Command, fields

ROOT = Path(os.environ.get("MB_ROOT") or Path.cwd())
sys.path.insert(0, str(ROOT / "milestone_billing_crypto" / "tests"))
from evm.node import Evm  # noqa: E402

env = globals()["env"]
#: Account 7 of the published test mnemonic: its addresses belong to everybody.
XPUB = "xpub6Ce9NcJvTk37JBtr1eY9EsMZtMiNE1eTP4tmjVpfv5jBrmMxag6m2Vx99tzFbrPSgbYYCGJE82UetSJzNurv8JAzgEx2Duh3aa4p5ZW2gHX"
URL = os.environ.get("MB_EVM_URL", "http://127.0.0.1:8545/")
TOKENS = [("USDC", "USD Coin", 6), ("DAI", "Dai", 18)]


def ensure_chain(evm):
    """Return the local network, with its node allowed although it is private."""
    name = "milestone_billing_crypto.private_nodes"
    env["ir.config_parameter"].set_param(name, urlsplit(URL).netloc)
    evm_id = int(evm.rpc("eth_chainId"), 16)
    Chain = env["milestone.billing.crypto.chain"]
    chain = Chain.search([("evm_id", "=", evm_id)])
    if chain:
        chain.node_ids.filtered(lambda node: node.host != urlsplit(URL).netloc).unlink()
    if not chain:
        chain = Chain.create(
            {
                "name": "Local demo network",
                "evm_id": evm_id,
                "is_test": True,
                "block_time_ms": 1000,
                "confirmations": 3,
            }
        )
    if not chain.node_ids:
        chain.node_ids = [Command.create({"url": URL})]
    newest = max(map(int, chain.hashes or {}), default=0)
    block = evm.rpc("eth_getBlockByNumber", hex(newest), False) or {}
    if newest and block.get("hash") != chain.hashes[str(newest)]:
        chain._restart()  # another network than last time: what was paid there stays in the books
    return chain


def ensure_tokens(evm, chain):
    """Deploy the tokens once, list and check them, and give the payers plenty."""
    Token = env["milestone.billing.crypto.token"].with_context(active_test=False)
    known = {token.symbol: token for token in chain.token_ids}
    for symbol, name, decimals in TOKENS:
        token = known.get(symbol)
        if token and evm.rpc("eth_getCode", token.contract, "latest") != "0x":
            continue
        contract = evm.deploy_token(symbol, decimals)
        for payer in evm.accounts()[:3]:
            contract.send("mint", payer, 10**7 * 10**decimals)
        if token:
            token.active = False
        # A node that was started anew gives the same addresses again.
        same = Token.search([("chain_id", "=", chain.id), ("contract", "=ilike", contract.address)])
        same.active = True
        if not same:
            Token.create(
                {
                    "symbol": symbol,
                    "name": name,
                    "decimals": decimals,
                    "chain_id": chain.id,
                    "contract": contract.address,
                    "peg_currency_id": env.ref("base.USD").id,
                }
            )
    tokens = chain.token_ids.filtered(lambda token: token.active and not token.is_native)
    tokens.action_verify()
    return tokens


def ensure_coin(evm, chain):
    """List the network's own coin, priced by a feed that is deployed here; a feed's price counts for two hours."""
    coin = chain.token_ids.filtered("is_native")
    feed = evm.deploy("Feed")
    feed.send("set", 2500 * 10**8, int(evm.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16))
    if not coin:
        values = {"symbol": "ETH", "name": "Ether", "is_native": True, "decimals": 18, "chain_id": chain.id}
        peg = env.ref("base.USD").id
        coin = coin.create({**values, "peg_currency_id": peg, "feed_contract": feed.address})
    coin.feed_contract = feed.address
    coin.action_verify()
    return coin


def ensure_provider(tokens):
    """Return the provider in test mode with a confirmed wallet."""
    company = env.company
    wallet = env["milestone.billing.crypto.wallet"].search(
        [("is_test", "=", True), ("state", "=", "confirmed"), ("company_id", "=", company.id)], limit=1
    )
    if not wallet:
        wallet = wallet.create({"name": "Demo wallet", "mode": "xpub", "xpub_key": XPUB, "is_test": True})
        wallet.action_confirm()
    account = env["account.account"].search(
        [("account_type", "=", "expense"), ("company_ids", "in", company.ids)], limit=1
    )
    provider = env["payment.provider"].search(
        [("code", "=", "stablecoin"), ("company_id", "=", company.id)], limit=1
    )
    provider.write(
        {
            "state": "test",
            "is_published": True,
            "crypto_wallet_id": wallet.id,
            "crypto_token_ids": [Command.set(tokens.ids)],
            "crypto_tolerance_account_id": account.id,
        }
    )
    return provider


def demo_invoice(is_begun=True):
    """Return an open invoice of an earlier run, or a new one.

    :param bool is_begun: whether its payer may have chosen a token already.
    """
    usd = env.ref("base.USD")
    invoices = env["account.move"].search(
        [
            ("move_type", "=", "out_invoice"),
            ("state", "=", "posted"),
            ("payment_state", "=", "not_paid"),
            ("currency_id", "=", usd.id),
            ("company_id", "=", env.company.id),
            ("ref", "=", "Stablecoin demo"),
        ]
    )
    for invoice in invoices:
        if is_begun or not env["milestone.billing.crypto.payment"]._find_open(invoice):
            return invoice
    partner = env["res.partner"].search([("is_company", "=", True), ("customer_rank", ">", 0)], limit=1)
    partner = partner or env["res.partner"].create({"name": "Acme Corporation", "is_company": True})
    line = {"name": "Milestone 2 of 4: Build complete", "quantity": 1, "price_unit": 1500, "tax_ids": False}
    invoice = env["account.move"].create(
        {
            "move_type": "out_invoice",
            "partner_id": partner.id,
            "invoice_date": fields.Date.today(),
            "currency_id": usd.id,
            "ref": "Stablecoin demo",
            "invoice_line_ids": [Command.create(line)],
        }
    )
    invoice.action_post()
    return invoice


def begin(invoice, provider, token):
    """Do what the payer does on the page: open it and choose a token."""
    Payment = env["milestone.billing.crypto.payment"]
    payment = Payment._find_open(invoice)
    if not payment:
        transaction = env["payment.transaction"].create(
            {
                "provider_id": provider.id,
                "payment_method_id": provider.payment_method_ids[:1].id,
                "amount": invoice.amount_residual,
                "currency_id": invoice.currency_id.id,
                "partner_id": invoice.partner_id.id,
                "operation": "online_redirect",
                "invoice_ids": [Command.set(invoice.ids)],
                "landing_route": invoice.get_portal_url(),
            }
        )
        payment = Payment._ensure_for(transaction)
    if token not in payment.quote_id.token_id:
        payment._choose(token)
    return payment


def pay(evm, payment):
    """Send what is asked, confirm it, let the watcher work, and check the books."""
    chain, quote = payment.quote_id.chain_id, payment.quote_id
    data = quote._payment_request()["data"]
    evm.send({"from": evm.accounts()[0], "to": quote.token_id.contract, "data": data})
    evm.mine(20)
    for _attempt in range(10):
        chain._watch()
        if payment.state == "paid":
            break
        time.sleep(1)
    invoice = payment.transaction_id.invoice_ids
    entry = payment.transfer_ids.move_id
    paid = payment.state == "paid" and invoice.amount_residual == 0 and entry.state == "posted"
    for line in entry.line_ids:
        print(f"  {line.account_id.code} {line.account_id.name}: {line.debit:.2f} / {line.credit:.2f}")
    print(
        f"stablecoin payment of {invoice.name}: {'paid and reconciled' if paid else 'NOT PAID'}, entry {entry.name}"
    )
    return paid


def main():
    """Set up, begin, and pay when asked to."""
    evm = Evm(URL)
    chain = ensure_chain(evm)
    tokens = ensure_tokens(evm, chain)
    if os.environ.get("MB_EVM_COIN") == "1":
        tokens |= ensure_coin(evm, chain)
    provider = ensure_provider(tokens)
    evm.mine()
    chain._watch()
    token = tokens.filtered(lambda one: one.symbol == "USDC")
    is_for_a_person = os.environ.get("MB_EVM_PAY") == "no"
    invoice = demo_invoice(not is_for_a_person)
    base = env["ir.config_parameter"].get_param("web.base.url")
    print(f"invoice {invoice.name}: {base}{invoice.get_portal_url()}")
    env.cr.commit()
    env.registry.signal_changes()  # a server that runs already learns which node is allowed
    if is_for_a_person:
        return
    payment = begin(invoice, provider, token)
    env.cr.commit()
    print(f"payment page: {base}{payment._checkout_url()}")
    amount = payment.quote_id._payment_request()["amount"]
    command = f"tests/e2e/evm_pay.py {payment.address_id.checksum} {amount}"
    print(f"pay it: python {command} --token {token.contract} --node {URL}")
    if os.environ.get("MB_EVM_PAY") == "1" and not pay(evm, payment):
        raise SystemExit(1)
    env.cr.commit()


main()
