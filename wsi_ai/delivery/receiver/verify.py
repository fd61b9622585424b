"""Is this request from who it says, and from just now?  Standard Webhooks, v1 and v1a.

Copy this file: it needs the standard library, and ``cryptography`` for v1a.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TOLERANCE_S = 300
_SYMMETRIC, _PUBLIC = "whsec_", "whpk_"


def is_genuine(headers: Mapping[str, str], body: bytes, keys: Iterable[str], now: float) -> bool:
    """Whether one of the signatures was made with one of ``keys`` (``whsec_`` or ``whpk_``), over
    these very bytes, within five minutes of ``now``.  ``headers`` have lower-case names.
    """
    event_id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not event_id or not stamp.isdecimal() or abs(now - int(stamp)) > TOLERANCE_S:
        return False
    signed = f"{event_id}.{stamp}.".encode() + body
    given = headers.get("webhook-signature", "").split()
    return any(_fits(signature, key, signed) for signature in given for key in keys)


def _fits(signature: str, key: str, signed: bytes) -> bool:
    version, _, encoded = signature.partition(",")
    try:
        told = base64.b64decode(encoded, validate=True)
        if version == "v1" and key.startswith(_SYMMETRIC):
            secret = base64.b64decode(key.removeprefix(_SYMMETRIC), validate=True)
            return hmac.compare_digest(told, hmac.digest(secret, signed, hashlib.sha256))
        if version == "v1a" and key.startswith(_PUBLIC):
            public = base64.b64decode(key.removeprefix(_PUBLIC), validate=True)
            Ed25519PublicKey.from_public_bytes(public).verify(told, signed)
            return True
    except (binascii.Error, ValueError, InvalidSignature):
        return False
    return False
