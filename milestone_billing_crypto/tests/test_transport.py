import contextlib
import datetime
import socket
import ssl
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import patch

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from odoo.addons.milestone_billing import transport as core_transport
from odoo.addons.milestone_billing.tools.url_guard import UrlError
from odoo.tests import BaseCase, tagged

from .. import transport
from ..tools.json_rpc import RpcError


def certificate(folder, name):
    """Write a self-signed certificate for a host's name; return its path, key included."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = Path(folder) / f"{name}.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return str(path)


@tagged("post_install", "-at_install")
class TestTransport(BaseCase):
    """The connection goes to the checked address, with the host's certificate, and stays small and short."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.pem = certificate(folder.name, "node.example")
        self.seen = []
        self.answer = lambda handler: handler.wfile.write(b"[]")
        self.drip, self.status, self.headers = False, 200, {}
        case = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                case.seen.append(
                    (self.headers["Host"], self.path, self.rfile.read(int(self.headers["Content-Length"])))
                )
                try:
                    for _number in range(100 if case.drip else 0):
                        self.wfile.write(b"H")
                        time.sleep(0.1)
                    self.send_response(case.status)
                    for name, value in case.headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    case.answer(self)
                except OSError:
                    return  # the client hung up, as it should

            def log_message(self, *args):
                """Be quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pem)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.port = self.server.server_address[1]

    def build(self, host="node.example", **more):
        """Return a transport to the local server under a name, as if its name resolved to it."""
        origin = f"{host}:{self.port}"
        with patch.object(core_transport, "resolve", lambda name, port: ["127.0.0.1"]):
            return transport.build_transport(f"https://{origin}/key?a=1", [origin], verify=self.pem, **more)

    def test_name_is_checked_and_address_is_pinned(self):
        with patch("socket.getaddrinfo", side_effect=AssertionError("resolved twice")):
            post = self.build()
        self.assertEqual(post(b"[1]"), b"[]")
        self.assertEqual(self.seen, [(f"node.example:{self.port}", "/key?a=1", b"[1]")])

    def test_certificate_of_another_name_is_refused(self):
        with self.assertRaises(RpcError) as caught:
            self.build("other.example")(b"[]")
        self.assertEqual(caught.exception.kind, "transport")
        self.assertFalse(self.seen)
        self.assertNotIn("key", str(caught.exception))

    def test_endless_answer_is_cut(self):
        def endless(handler):
            while True:
                handler.wfile.write(b"x" * 65536)

        self.answer = endless
        with self.assertRaises(RpcError) as caught:
            self.build(answer_max=10**6)(b"[]")
        self.assertEqual(caught.exception.kind, "too_large")

    def test_dripping_answer_is_cut(self):
        def dripping(handler):
            for _number in range(100):
                handler.wfile.write(b"x")
                handler.wfile.flush()
                time.sleep(0.1)

        self.answer = dripping
        started = time.monotonic()
        with patch.object(transport, "NODE_ANSWER_SECONDS", 1), self.assertRaises(RpcError):
            self.build()(b"[]")
        self.assertLess(time.monotonic() - started, 5)

    def test_dripping_head_is_cut(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            threading.Thread(target=self.drip_head, args=[server], daemon=True).start()
            port = server.getsockname()[1]
            post = transport.build_transport(f"http://127.0.0.1:{port}/", [f"127.0.0.1:{port}"])
            started = time.monotonic()
            with patch.object(core_transport, "HEAD_SECONDS_MAX", 1), self.assertRaises(RpcError) as caught:
                post(b"[]")
        self.assertEqual(caught.exception.kind, "transport")
        self.assertLess(time.monotonic() - started, 5)

    def test_dripping_head_is_cut_by_tls_too(self):
        self.drip = True
        started = time.monotonic()
        with patch.object(core_transport, "HEAD_SECONDS_MAX", 1), self.assertRaises(RpcError):
            self.build()(b"[]")
        self.assertLess(time.monotonic() - started, 5)

    def drip_head(self, server):
        """Answer one request with a head that takes ten seconds."""
        connection = server.accept()[0]
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            for _number in range(100):
                connection.sendall(b"x")
                time.sleep(0.1)

    def test_wait_of_any_length_is_read(self):
        self.status, self.headers = 429, {"Retry-After": "9" * 5000}
        with self.assertRaises(RpcError) as caught:
            self.build()(b"[]")
        self.assertEqual((caught.exception.kind, caught.exception.retry_after), ("slow_down", 999999))

    def test_private_address_behind_a_public_name_is_refused(self):
        with (
            patch.object(core_transport, "resolve", lambda name, port: ["93.184.216.34", "127.0.0.1"]),
            self.assertRaises(UrlError),
        ):
            transport.build_transport(f"https://node.example:{self.port}/")
