"""Documents that are signed: protocols, locks, bundles.

A document is a JSON object in its canonical form (RFC 8785), so that its digest does not depend on
who wrote it down; the envelope around it is DSSE, and the keys are NIST P-256, as ``models sign``
uses them.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import FormatError, VerificationError
from securesystemslib.signer import CryptoSigner, Key, SSlibKey  # type: ignore[attr-defined]

from wsi_ai.errors import TrialError
from wsi_ai.schemas.reading import Unreadable, from_json

Document = Mapping[str, Any]


class Kind(StrEnum):
    """A document of one kind is never taken for another."""

    PROTOCOL = "application/vnd.wsi-ai.trial-protocol+json"
    LOCK = "application/vnd.wsi-ai.trial-lock+json"
    RELEASE = "application/vnd.wsi-ai.trial-release+json"
    BUNDLE = "application/vnd.wsi-ai.trial-bundle+json"
    PART = "application/vnd.wsi-ai.trial-part+json"


def canonical(document: Document) -> bytes:
    """Raises TrialError where it has no canonical form."""
    try:
        return rfc8785.dumps(dict(document))
    except rfc8785.CanonicalizationError:
        raise TrialError("a number is too large, or a text is not Unicode") from None


def digest(document: Document) -> str:
    """SHA-256 in hex, of the canonical form."""
    return hashlib.sha256(canonical(document)).hexdigest()


def key_sha256(pem: bytes) -> str:
    """Of a public key, or of the public half of a private one, as a protocol names it: SHA-256 in
    hex over its DER form (SubjectPublicKeyInfo).  Raises TrialError."""
    public = _private(pem).public_key() if b"PRIVATE KEY" in pem else _public_key(pem)
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def sign(document: Document, kind: Kind, private_pem: bytes) -> bytes:
    """The envelope as a file has it.  Raises TrialError."""
    key = _private(private_pem)
    envelope = Envelope(canonical(document), kind.value, {})
    envelope.sign(CryptoSigner(key))
    return json.dumps(envelope.to_dict(), sort_keys=True).encode() + b"\n"


def verified(content: bytes, kind: Kind, public_pems: Sequence[bytes]) -> dict[str, Any]:
    """The document, where one of the keys signed it as it is.  Raises TrialError."""
    envelope = _envelope(content)
    keys: list[Key] = [SSlibKey.from_crypto(_public_key(pem)) for pem in public_pems]
    try:
        if not keys or envelope.payload_type != kind.value:
            raise TrialError("it is a signed document of another kind, or there is no key")
        envelope.verify(keys, 1)
    except VerificationError:
        raise TrialError("it is signed by no known key, or was changed since") from None
    return _document(envelope.payload)


def _envelope(content: bytes) -> Envelope:
    try:
        return Envelope.from_dict(from_json(content))
    except (Unreadable, KeyError, TypeError, ValueError, FormatError, AttributeError):
        raise TrialError("it is no signed document") from None


def _private(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        raise TrialError("the key is no private key in PEM, or it has a password") from None
    if not (isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1)):
        raise TrialError("the key is not of NIST P-256")
    return key


def _public_key(pem: bytes) -> ec.EllipticCurvePublicKey:
    try:
        key = load_pem_public_key(pem)
    except ValueError:
        raise TrialError("a key is no public key in PEM") from None
    if not (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)):
        raise TrialError("a key is not of NIST P-256")
    return key


def _document(payload: bytes) -> dict[str, Any]:
    """What was signed has one form only."""
    try:
        document = from_json(payload)
    except Unreadable:
        raise TrialError("what was signed is no document") from None
    if not isinstance(document, dict) or canonical(document) != payload:
        raise TrialError("what was signed is not in its canonical form")
    return document
