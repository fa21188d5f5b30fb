"""A company that takes a token on a local node, made and taken away again on committed data, for races and figures."""

from .node import CHAIN_ID

#: Account 7 of the published test mnemonic ("test ... junk"); it holds nothing.
XPUB = "xpub6Ce9NcJvTk37JBtr1eY9EsMZtMiNE1eTP4tmjVpfv5jBrmMxag6m2Vx99tzFbrPSgbYYCGJE82UetSJzNurv8JAzgEx2Duh3aa4p5ZW2gHX"
COMPANY = "Stablecoin Race"
NODES = "milestone_billing_crypto.private_nodes"

#: Tables that refer to a record by the name of its model.
_NOTES = (("mail_message", "model"), ("mail_activity", "res_model"), ("mail_followers", "res_model"))
_REFERENCES = """
    SELECT con.conrelid::regclass::text, att.attname, con.confdeltype
      FROM pg_constraint AS con
      JOIN pg_attribute AS att ON att.attrelid = con.conrelid AND att.attnum = con.conkey[1]
     WHERE con.contype = 'f' AND con.confrelid = %s::regclass AND array_length(con.conkey, 1) = 1
"""


def prepare(env, evm, url=None):
    """Make company, network, token, wallet and provider; return network, token, provider and the token's contract.

    :param url: where the node is read, if not at its own address.
    """
    from odoo import Command

    company = env["res.company"].create({"name": COMPANY, "country_id": env.ref("base.us").id})
    env.user.company_ids += company
    env["account.chart.template"].try_loading("generic_coa", company, install_demo=False)
    env = env(context={**env.context, "allowed_company_ids": company.ids})
    contract = evm.deploy_token("USDC", 6)
    contract.send("mint", evm.accounts()[0], 10**15)
    url = url or evm.url
    env["ir.config_parameter"].set_param(NODES, url.split("/")[2])
    chain = env["milestone.billing.crypto.chain"].create(
        {
            "name": "Race",
            "evm_id": CHAIN_ID,
            "is_test": True,
            "block_time_ms": 1000,
            "confirmations": 3,
            "scan_lag": 0,
            "span_max": 7,
            "node_ids": [Command.create({"url": url})],
        }
    )
    token = env["milestone.billing.crypto.token"].create(
        {
            "symbol": "USDC",
            "name": "x",
            "chain_id": chain.id,
            "contract": contract.address,
            "peg_currency_id": env.ref("base.USD").id,
        }
    )
    token.action_verify()
    provider = _prepare_provider(env, token)
    chain._watch()
    return chain, token, provider, contract


def _prepare_provider(env, token):
    from odoo import Command

    wallet = env["milestone.billing.crypto.wallet"].create(
        {"name": "Race", "mode": "xpub", "xpub_key": XPUB, "is_test": True}
    )
    wallet.action_confirm()
    account = env["account.account"].search([("account_type", "=", "expense")], limit=1)
    provider = env.ref("milestone_billing_crypto.payment_provider_stablecoin")
    provider = provider.copy({"company_id": env.company.id})
    provider.write(
        {
            "state": "test",
            "crypto_wallet_id": wallet.id,
            "crypto_token_ids": [Command.set(token.ids)],
            "crypto_tolerance_account_id": account.id,
            "crypto_finalized_from": 10**6,
        }
    )
    return provider


def begin(env, provider, token, amount=100):
    """Return a payment of a new invoice, with its address offered."""
    from odoo import Command

    env = env(context={**env.context, "allowed_company_ids": provider.company_id.ids})
    partner = env["res.partner"].create({"name": "Payer", "company_id": provider.company_id.id})
    line = {"name": "Stage", "price_unit": amount, "tax_ids": False}
    invoice = env["account.move"].create(
        {
            "move_type": "out_invoice",
            "partner_id": partner.id,
            "currency_id": env.ref("base.USD").id,
            "invoice_line_ids": [Command.create(line)],
        }
    )
    invoice.action_post()
    transaction = env["payment.transaction"].create(
        {
            "provider_id": provider.id,
            "payment_method_id": provider.payment_method_ids[:1].id,
            "amount": amount,
            "currency_id": invoice.currency_id.id,
            "partner_id": partner.id,
            "operation": "online_redirect",
            "invoice_ids": [Command.set(invoice.ids)],
        }
    )
    payment = env["milestone.billing.crypto.payment"]._ensure_for(transaction)
    payment._choose(token.with_env(env))
    return payment


def clear(cr):
    """Take away the network and the company of a scene, and all that refers to them, receipts and journal too."""
    cr.execute("SELECT id FROM milestone_billing_crypto_chain WHERE evm_id = %s", [CHAIN_ID])
    _erase(cr, "milestone_billing_crypto_chain", [row[0] for row in cr.fetchall()])
    cr.execute("SELECT id, partner_id FROM res_company WHERE name = %s", [COMPANY])
    rows = cr.fetchall()
    companies = [row[0] for row in rows]
    cr.execute("SELECT id FROM res_partner WHERE company_id = ANY(%s)", [companies])
    partners = [row[0] for row in cr.fetchall()] + [row[1] for row in rows]
    cr.execute(
        "SELECT account_account_id FROM account_account_res_company_rel WHERE res_company_id = ANY(%s)",
        [companies],
    )
    accounts = [row[0] for row in cr.fetchall()]
    cr.execute("SELECT alias_id FROM account_journal WHERE company_id = ANY(%s)", [companies])
    aliases = [row[0] for row in cr.fetchall() if row[0]]
    _erase(cr, "res_company", companies)
    _erase(cr, "account_account", accounts)
    _erase(cr, "mail_alias", aliases)
    _erase(cr, "res_partner", partners)
    cr.execute("DELETE FROM ir_config_parameter WHERE key = %s", [NODES])


def _erase(cr, table, ids, seen=None):
    """Delete rows and, before them, those which the database would not let them go without."""
    seen = set() if seen is None else seen
    ids = [number for number in ids if (table, number) not in seen]
    if not ids:
        return
    seen.update((table, number) for number in ids)
    for other, column in _NOTES:
        query = f"DELETE FROM {other} WHERE {column} = %s AND res_id = ANY(%s)"
        cr.execute(query, [table.replace("_", "."), ids])
    cr.execute(_REFERENCES, [table])
    for other, column, on_delete in cr.fetchall():
        cr.execute("SELECT 1 FROM pg_attribute WHERE attrelid = %s::regclass AND attname = 'id'", [other])
        if on_delete == "n" or not cr.fetchone():
            continue  # set to nothing, or a table of pairs, which goes along
        cr.execute(f'SELECT id FROM {other} WHERE "{column}" = ANY(%s)', [ids])
        _erase(cr, other, [row[0] for row in cr.fetchall()], seen)
    cr.execute(f"DELETE FROM {table} WHERE id = ANY(%s)", [ids])
