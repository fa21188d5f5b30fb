"""A time stamping authority of our own, for tests: ``openssl ts -reply`` with certificates made for the occasion.

It needs no Odoo, so that tests of rules use it too.
"""

import os
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CONFIGURATION = """
[req]
distinguished_name = name
prompt = no
[name]
CN = none
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
[stamps]
basicConstraints = CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[seal]
basicConstraints = CA:FALSE
keyUsage = critical,digitalSignature
[tsa]
default_tsa = own
[own]
serial = serial
signer_cert = tsa.pem
signer_key = tsa.key
certs = root.pem
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_alg = sha256
"""


class LocalAuthority:
    """Keys and certificates in a folder of their own; `close` removes them."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        (self.folder / "openssl.cnf").write_text(CONFIGURATION, encoding="ascii")
        (self.folder / "serial").write_text("0A\n", encoding="ascii")
        self._make_key("root", "/CN=Throw-away Root")
        self._openssl("req", "-x509", "-key", "root.key", "-subj", "/CN=Throw-away Root", "-days", "2",
                      "-extensions", "root", "-out", "root.pem")  # fmt: skip
        self.make_certificate("tsa", "/CN=Throw-away Authority", "stamps")

    @property
    def root(self):
        """Path of the root certificate."""
        return str(self.folder / "root.pem")

    def close(self):
        """Remove all keys."""
        self._folder.cleanup()

    def _openssl(self, *args):
        # -config only where a command takes it; the variable reaches them all.
        environ = {**os.environ, "OPENSSL_CONF": str(self.folder / "openssl.cnf")}
        subprocess.run(
            ["openssl", *args], cwd=self.folder, env=environ, check=True, capture_output=True, timeout=60
        )

    def _make_key(self, name, subject):
        self._openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-subj", subject,
                      "-out", f"{name}.csr")  # fmt: skip

    def make_certificate(self, name, subject, purpose):
        """Have the root sign a certificate; the file names are those of the configuration."""
        self._make_key(name, subject)
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial",
                      "-days", "2", "-extfile", "openssl.cnf", "-extensions", purpose, "-out", f"{name}.pem")  # fmt: skip

    def reply(self, query):
        """Return the answer to a question, as ``openssl`` gives it.

        :param bytes query: a TimeStampReq.
        :rtype: bytes
        """
        (self.folder / "query").write_bytes(query)
        self._openssl("ts", "-reply", "-queryfile", "query", "-config", "openssl.cnf", "-out", "answer")
        return (self.folder / "answer").read_bytes()

    def make_seal(self):
        """Return the path of a file with a private key and its certificate, for sealing documents."""
        self.make_certificate("seal", "/O=Seller Ltd/CN=Seller Seal", "seal")
        path = self.folder / "seal_both.pem"
        path.write_bytes(b"".join((self.folder / f"seal.{kind}").read_bytes() for kind in ("key", "pem")))
        return str(path)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        query = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((dict(self.headers), query))
        status, answer, headers = self.server.answer(query)
        self.send_response(status)
        self.send_header("Content-Type", "application/timestamp-reply")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            for place in range(len(answer) if self.server.pause else 0):
                self.wfile.write(answer[place : place + 1])
                time.sleep(self.server.pause)
            if not self.server.pause:
                self.wfile.write(answer)
        except OSError:
            self.server.is_cut_off = True

    def log_message(self, *_args):
        """Keep the log of the tests readable."""


class LocalAuthorityServer(ThreadingHTTPServer):
    """Serves an authority on a port of this machine; `answer` may be replaced by one that errs.

    With a `pause` it sends byte by byte, with as many seconds between them.
    """

    daemon_threads = True

    def __init__(self, authority):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.authority, self.received, self.pause, self.is_cut_off = authority, [], 0, False
        self.answer = self.answer_well
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        """Address to post to."""
        return f"http://127.0.0.1:{self.server_port}/tsr"

    def answer_well(self, query):
        """Return status, answer and headers, as an authority does."""
        return 200, self.authority.reply(query), {}

    def stop(self):
        """Stop serving."""
        self.shutdown()
        self.server_close()
