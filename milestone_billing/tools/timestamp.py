"""Time stamps by RFC 3161: what is asked, and what an answer must say before it is kept.

The formats come from ``asn1crypto``, the signatures from ``cryptography``; Odoo itself needs both. Whether the
authority can be trusted is for the reader of the evidence to say: here its answer has to be whole, about our digest
and our question, and signed by the certificate it encloses, which was issued for stamping time.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import NamedTuple

from asn1crypto import cms, core, tsp, x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509 import load_der_x509_certificate

CONTENT_TYPE_QUERY = "application/timestamp-query"
CONTENT_TYPE_REPLY = "application/timestamp-reply"
NONCE_BYTES = 8
_HASHES = {"sha256": hashes.SHA256, "sha384": hashes.SHA384, "sha512": hashes.SHA512}
# What asn1crypto and cryptography raise for bytes that are not what they seem.
_UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    RecursionError,
    UnsupportedAlgorithm,
)


class TimeStampError(ValueError):
    """An answer that is not kept.

    ``code`` tells why: ``unreadable``, ``refused``, ``digest``, ``nonce``, ``certificate``, ``algorithm`` or
    ``signature``; ``detail`` is what the authority itself said, if anything.
    """

    def __init__(self, code: str, detail: str = ""):
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code, self.detail = code, detail


class Response(core.Sequence):
    """An answer as RFC 3161 has it: a refusal comes without a token, which ``asn1crypto`` itself does not allow."""

    _fields = [
        ("status", tsp.PKIStatusInfo),
        ("time_stamp_token", cms.ContentInfo, {"optional": True}),
    ]


class Stamp(NamedTuple):
    """What a good answer says: its number, its time, who signed it, its nonce, the certificates in it."""

    serial: int
    time: datetime
    authority: str
    nonce: int | None
    certificates: list[bytes]

    @property
    def reference(self) -> str:
        """Return how to find the stamp again, in a line."""
        return f"{self.authority}, number {self.serial:x}, {self.time:%Y-%m-%dT%H:%M:%SZ}"


def build_request(digest: str, nonce: int) -> bytes:
    """Return the request for a stamp over a SHA-256 digest in hex; the same arguments give the same bytes."""
    imprint = {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": bytes.fromhex(digest)}
    request = {"version": "v1", "message_imprint": imprint, "nonce": nonce, "cert_req": True}
    return tsp.TimeStampReq(request).dump()


def read_response(data: bytes, digest: str, nonce: int) -> Stamp:
    """Check an answer to our request.

    :raise TimeStampError: when it is not one, refuses, or stamps something else than we asked.
    """
    try:
        signed = _open(data)
        content = signed["encap_content_info"]["content"]
        info, raw = content.parsed, bytes(content)
        if info["message_imprint"]["hashed_message"].native != bytes.fromhex(digest) or (
            info["message_imprint"]["hash_algorithm"]["algorithm"].native != "sha256"
        ):
            raise TimeStampError("digest")
        if info["nonce"].native != nonce:
            raise TimeStampError("nonce")
        signer = _check_signer(signed, raw, info["gen_time"].native)
        return _make_stamp(signed, info, signer)
    except TimeStampError:
        raise
    except _UNREADABLE as error:
        raise TimeStampError("unreadable", str(error)[:200]) from error


def read_stamp(data: bytes) -> Stamp:
    """Read an answer that was checked when it came.

    :raise TimeStampError: when it cannot be read.
    """
    try:
        signed = _open(data)
        return _make_stamp(
            signed,
            signed["encap_content_info"]["content"].parsed,
            _find_signer(signed, _get_signer_info(signed)),
        )
    except _UNREADABLE as error:
        raise TimeStampError("unreadable", str(error)[:200]) from error


def _open(data: bytes) -> cms.SignedData:
    response = Response.load(data, strict=True)
    status = response["status"]
    if status["status"].native not in ("granted", "granted_with_mods"):
        said = [status["status"].native, *(status["status_string"].native or ())]
        said += sorted(status["fail_info"].native or ())
        raise TimeStampError("refused", ", ".join(map(str, said))[:200])
    token = response["time_stamp_token"]
    if token.native is None or token["content_type"].native != "signed_data":
        raise TimeStampError("unreadable", "no signed token in it")
    signed = token["content"]
    if signed["encap_content_info"]["content_type"].native != "tst_info":
        raise TimeStampError("unreadable", "the token is no time stamp")
    return signed


def _make_stamp(signed: cms.SignedData, info: tsp.TSTInfo, signer: x509.Certificate) -> Stamp:
    names = signer.subject.native
    authority = names.get("common_name") or names.get("organization_name") or signer.subject.human_friendly
    return Stamp(
        serial=info["serial_number"].native,
        time=info["gen_time"].native.astimezone(UTC),
        authority=str(authority)[:100],
        nonce=info["nonce"].native,
        certificates=[cert.dump() for cert in _get_certificates(signed)],
    )


# === SIGNATURE ===


def _get_signer_info(signed: cms.SignedData) -> cms.SignerInfo:
    if len(signed["signer_infos"]) != 1:
        raise TimeStampError("signature", "a stamp has one signer")
    return signed["signer_infos"][0]


def _get_certificates(signed: cms.SignedData) -> list[x509.Certificate]:
    return [item.chosen for item in signed["certificates"] if item.name == "certificate"]


def _find_signer(signed: cms.SignedData, signer_info: cms.SignerInfo) -> x509.Certificate:
    sid = signer_info["sid"]
    for cert in _get_certificates(signed):
        if sid.name == "issuer_and_serial_number":
            known = (cert.issuer.dump(), cert.serial_number)
            if known == (sid.chosen["issuer"].dump(), sid.chosen["serial_number"].native):
                return cert
        elif cert.key_identifier == sid.native:
            return cert
    raise TimeStampError("certificate", "the signer's certificate is not in it")


def _check_signer(signed: cms.SignedData, content: bytes, time: datetime) -> x509.Certificate:
    """Check that the enclosed certificate may stamp, did so while it was valid, and signed exactly this content."""
    signer_info = _get_signer_info(signed)
    cert = _find_signer(signed, signer_info)
    purposes = cert.extended_key_usage_value
    if purposes is None or "time_stamping" not in purposes.native:
        raise TimeStampError("certificate", "it was not issued for time stamps")
    if not cert.not_valid_before <= time <= cert.not_valid_after:
        raise TimeStampError("certificate", "it is not valid at the time of the stamp")
    attributes = {item["type"].native: item["values"] for item in signer_info["signed_attrs"]}
    _check_attributes(attributes, cert, content, signer_info["digest_algorithm"]["algorithm"].native)
    _check_signature(signer_info, cert)
    return cert


def _check_attributes(attributes: dict, cert: x509.Certificate, content: bytes, algorithm: str) -> None:
    if algorithm not in _HASHES:
        raise TimeStampError("algorithm", algorithm)
    if attributes["content_type"][0].native != "tst_info":
        raise TimeStampError("signature", "it signs something else")
    if attributes["message_digest"][0].native != hashlib.new(algorithm, content).digest():
        raise TimeStampError("signature", "the content was changed")
    if "signing_certificate_v2" in attributes:
        named = attributes["signing_certificate_v2"][0]["certs"][0]
        kind = named["hash_algorithm"]["algorithm"].native
    else:
        named, kind = attributes["signing_certificate"][0]["certs"][0], "sha1"
    if named["cert_hash"].native != hashlib.new(kind, cert.dump()).digest():
        raise TimeStampError("certificate", "another one signed")


def _check_signature(signer_info: cms.SignerInfo, cert: x509.Certificate) -> None:
    # The attributes are signed as the set they are, not as the tagged field they stand in (RFC 5652, section 5.4).
    message, signature = signer_info["signed_attrs"].untag().dump(), signer_info["signature"].native
    key, algorithm = load_der_x509_certificate(cert.dump()).public_key(), signer_info["signature_algorithm"]
    digest = _HASHES[signer_info["digest_algorithm"]["algorithm"].native]()
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, message)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(_get_hash(algorithm, digest)))
        elif isinstance(key, rsa.RSAPublicKey) and algorithm.signature_algo == "rsassa_pss":
            used = _get_hash(algorithm, digest)
            key.verify(signature, message, padding.PSS(padding.MGF1(used), padding.PSS.AUTO), used)
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, padding.PKCS1v15(), _get_hash(algorithm, digest))
        else:
            raise TimeStampError("algorithm", type(key).__name__)
    except InvalidSignature as error:
        raise TimeStampError("signature") from error


def _get_hash(algorithm, digest: hashes.HashAlgorithm) -> hashes.HashAlgorithm:
    """Return the hash a signature names; where it names none, that of the content."""
    try:
        name = algorithm.hash_algo
    except ValueError:
        return digest
    if name not in _HASHES:
        raise TimeStampError("algorithm", name)
    return _HASHES[name]()
