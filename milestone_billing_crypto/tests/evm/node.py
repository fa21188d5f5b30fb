"""A real EVM node for the tests and the demo: starts anvil, mines, deploys and pays.

Plain Python without Odoo. Accounts are unlocked in the node, so that nothing here signs anything.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CONTRACTS = json.loads((Path(__file__).parent / "contracts.json").read_text())
CHAIN_ID = 31337


def find_anvil():
    """Return the path of anvil: MB_ANVIL, then PATH, then the project's own set-up script; None without one."""
    named = os.environ.get("MB_ANVIL") or shutil.which("anvil")
    if named:
        return named
    script = Path(__file__).resolve().parents[3] / "setup" / "evm_node"
    if not script.exists():
        return None
    done = subprocess.run([str(script)], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def free_port():
    """Return a port that was free a moment ago."""
    with contextlib.closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class NodeError(Exception):
    """The node answered with an error."""


class Evm:
    """Talks to a development node."""

    def __init__(self, url):
        self.url = url
        self._id = 0

    def rpc(self, method, *params):
        """Call the node and return the result."""
        self._id += 1
        body = json.dumps(
            {"jsonrpc": "2.0", "id": self._id, "method": method, "params": list(params)}
        ).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as response:
            answer = json.load(response)
        if "error" in answer:
            raise NodeError(answer["error"].get("message"))
        return answer["result"]

    # === BLOCKS === #

    def mine(self, blocks=1):
        """Mine blocks."""
        self.rpc("anvil_mine", hex(blocks))

    def head(self):
        """Return the newest block's number."""
        return int(self.rpc("eth_blockNumber"), 16)

    def accounts(self):
        """Return the unlocked accounts."""
        return [account.lower() for account in self.rpc("eth_accounts")]

    def skip_time(self, seconds):
        """Let the next blocks be later."""
        self.rpc("evm_increaseTime", seconds)

    def reorg(self, depth, keep=()):
        """Replace the newest blocks; ``keep`` lists (transaction hash, offset) to put into the new ones.

        The node sets its clock back to the last block that stands; a network's clock does not stop meanwhile.
        """
        raw = [[self.rpc("eth_getRawTransactionByHash", tx_hash), offset] for tx_hash, offset in keep]
        self.rpc("anvil_reorg", depth, raw)
        newest = self.rpc("eth_getBlockByNumber", "latest", False)
        self.skip_time(max(0, int(time.time()) - int(newest["timestamp"], 16)))

    # === CONTRACTS === #

    def send(self, tx, mine=True):
        """Send a transaction of an unlocked account, mine it, and return its hash."""
        tx_hash = self.rpc("eth_sendTransaction", {"gas": hex(25_000_000), **tx})
        if mine:
            self.mine()
            receipt = self.rpc("eth_getTransactionReceipt", tx_hash)
            if not receipt or receipt["status"] != "0x1":
                raise NodeError(f"transaction failed: {tx_hash}")
        return tx_hash

    def pay_coin(self, to, units, sender=0, mine=True):
        """Send the network's own coin."""
        tx = {"from": self.accounts()[sender], "to": to, "value": hex(units), "gas": hex(100_000)}
        return self.send(tx, mine)

    def deploy(self, name, *words):
        """Deploy a contract of contracts.json; ``words`` are the encoded constructor arguments."""
        tx = {"from": self.accounts()[9], "data": CONTRACTS[name]["bytecode"] + "".join(words)}
        tx_hash = self.send(tx)
        address = self.rpc("eth_getTransactionReceipt", tx_hash)["contractAddress"].lower()
        return Contract(self, address, CONTRACTS[name]["methods"])

    def deploy_token(self, symbol="USDC", decimals=6):
        """Deploy a plain token."""
        text = symbol.encode().hex().ljust(64, "0")
        return self.deploy("TestToken", word(64), word(decimals), word(len(symbol)), text)


class Contract:
    """A deployed contract; arguments are addresses, integers or booleans."""

    def __init__(self, evm, address, methods):
        self.evm = evm
        self.address = address
        self._selectors = {name.split("(")[0]: selector for name, selector in methods.items()}

    def data(self, method, *args):
        """Return call data."""
        return "0x" + self._selectors[method] + "".join(word(arg) for arg in args)

    def send(self, method, *args, sender=0, mine=True, **more):
        """Send a call of one of the node's accounts and return the transaction's hash."""
        tx = {
            "from": self.evm.accounts()[sender],
            "to": self.address,
            "data": self.data(method, *args),
            **more,
        }
        return self.evm.send(tx, mine)

    def balance_of(self, address):
        """Return a balance in base units."""
        return int(
            self.evm.rpc("eth_call", {"to": self.address, "data": self.data("balanceOf", address)}, "latest"),
            16,
        )


def word(value):
    """Return one ABI word in hex."""
    return f"{int(value, 16) if isinstance(value, str) else int(value):064x}"


class Anvil(Evm):
    """A node of our own; finalized is eight blocks behind the head, safe four."""

    def __init__(self, chain_id=CHAIN_ID, port=None, block_time=None, more=()):
        binary = find_anvil()
        if not binary:
            raise NodeError("anvil is not installed: run setup/evm_node, or set MB_ANVIL")
        self.port = port or free_port()
        super().__init__(f"http://127.0.0.1:{self.port}/")
        args = ["--host", "127.0.0.1", "--port", str(self.port), "--chain-id", str(chain_id), "--silent"]
        args += ["--block-time", str(block_time)] if block_time else ["--no-mining"]
        self.process = subprocess.Popen(
            [binary, *args, "--slots-in-an-epoch", "4", *more],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait()

    def _wait(self):
        for _attempt in range(200):
            try:
                self.head()
            except OSError:
                time.sleep(0.05)
            else:
                return
        self.stop()
        raise NodeError("the node did not start")

    @property
    def origin(self):
        """Return host and port."""
        return f"127.0.0.1:{self.port}"

    def stop(self):
        """End the node."""
        self.process.kill()
        self.process.wait(10)

    def pause(self):
        """Let the node accept connections and never answer."""
        self.process.send_signal(signal.SIGSTOP)


class FaultProxy:
    """Stands between the watcher and the node and makes it fail, lag, lie and limit.

    ``rule(call, result) -> result`` may change each answer; raise :class:`Refuse` for a JSON-RPC error.
    ``status`` other than 200 answers every request with that status and ``headers``.
    """

    class Refuse(Exception):
        """Answer this call with a JSON-RPC error."""

    def __init__(self, evm):
        self.evm = evm
        self.rule = None
        self.status = 200
        self.headers = {}
        self.body = None
        self.delay = 0
        self.requests = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                proxy._answer(self)

            def log_message(self, *args):
                """Be quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def origin(self):
        """Return host and port."""
        return f"127.0.0.1:{self.server.server_address[1]}"

    @property
    def url(self):
        """Return the proxy's address, with something like a provider's key in it."""
        return f"http://{self.origin}/v2/SecretProviderKey0123456789abcdef"

    def reset(self):
        """Behave again."""
        self.rule, self.status, self.headers, self.body, self.delay = None, 200, {}, None, 0
        self.requests.clear()

    def stop(self):
        """End the proxy."""
        self.server.shutdown()
        self.server.server_close()

    def _answer(self, handler):
        calls = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        self.requests.append(calls)
        if self.delay:
            time.sleep(self.delay)
        body = b""
        if self.body is not None:
            body = self.body
        elif self.status == 200:
            body = json.dumps([self._one(call) for call in calls]).encode()
        with contextlib.suppress(OSError):
            handler.send_response(self.status)
            for name, value in {"Content-Length": str(len(body)), **self.headers}.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(body)

    def _one(self, call):
        answer = {"jsonrpc": "2.0", "id": call["id"]}
        try:
            result = self.evm.rpc(call["method"], *call["params"])
            return {**answer, "result": self.rule(call, result) if self.rule else result}
        except (self.Refuse, NodeError) as error:
            return {**answer, "error": {"code": -32000, "message": str(error)}}
