"""Pay a demo invoice on the local node: evm_pay.py ADDRESS AMOUNT [--token CONTRACT] [--node URL] [--blocks N]

Without a token the network's own coin is sent. Address and amount are the ones of the payment page. The payer is a public account of the development node.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "milestone_billing_crypto" / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from conftest import load_tools
from evm.node import Evm

load_tools("milestone_billing_crypto")
from milestone_billing_crypto_tools import abi, address, native, units  # noqa: E402


def main():
    """Send the transfer and mine some blocks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address")
    parser.add_argument("amount")
    parser.add_argument(
        "--token", help="token contract, as the page shows it; without one: the network's own coin"
    )
    parser.add_argument("--node", default="http://127.0.0.1:8545/")
    parser.add_argument("--payer", type=int, default=0, help="which of the node's accounts pays")
    parser.add_argument("--blocks", type=int, default=20, help="blocks to mine afterwards")
    args = parser.parse_args()
    evm = Evm(args.node)
    to, payer = address.normalize(args.address), evm.accounts()[args.payer]
    if args.token:
        token = address.normalize(args.token)
        decimals = abi.decode_uint(
            evm.rpc("eth_call", {"to": token, "data": abi.SELECTOR_DECIMALS}, "latest")
        )
        data = abi.encode_transfer(to, units.parse(args.amount, decimals))
        tx_hash = evm.send({"from": payer, "to": token, "data": data})
    else:
        tx_hash = evm.pay_coin(to, units.parse(args.amount, native.DECIMALS), args.payer)
    if args.blocks:
        evm.mine(args.blocks)
    print(f"sent {args.amount} to {args.address} in {tx_hash}; {args.blocks} blocks mined")


if __name__ == "__main__":
    main()
