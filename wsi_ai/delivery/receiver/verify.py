"""Is this request from who it says, and from just now?  Standard Webhooks, v1 and v1a.

Copy this file: it needs the standard library, and ``cryptography`` for v1a.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TOLERANCE_S = 300
_SYMMETRIC, _PUBLIC = "whsec_", "whpk_"
_MOST_SIGNATURES = 8
"""Keys are rotated by twos; whoever sends thousands wants us to reckon."""
_STAMP = re.compile(r"[0-9]{1,12}")


def check_key(key: str) -> None:
    """Raises ValueError for what is no key, or one that could be guessed: an empty one signs for
    everybody.  Quotes nothing of it."""
    if len(_secret(key)) not in (range(24, 65) if key.startswith(_SYMMETRIC) else (32,)):
        raise ValueError("a key has the wrong length: whsec_ 24 to 64 bytes, whpk_ 32")


def is_genuine(headers: Mapping[str, str], body: bytes, keys: Iterable[str], now: float) -> bool:
    """Whether one of the signatures was made with one of ``keys`` (``whsec_`` or ``whpk_``, held to
    ``check_key``), over these very bytes, within five minutes of ``now``.  ``headers`` have
    lower-case names.  False for headers of whatever form.
    """
    event_id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not event_id or not _STAMP.fullmatch(stamp) or abs(now - int(stamp)) > TOLERANCE_S:
        return False
    signed = f"{event_id}.{stamp}.".encode() + body
    given = headers.get("webhook-signature", "").split(" ", _MOST_SIGNATURES)[:_MOST_SIGNATURES]
    return any(_fits(signature, key, signed) for signature in given for key in keys)


def _fits(signature: str, key: str, signed: bytes) -> bool:
    version, _, encoded = signature.partition(",")
    try:
        told = base64.b64decode(encoded, validate=True)
        if version == "v1" and key.startswith(_SYMMETRIC):
            return hmac.compare_digest(told, hmac.digest(_secret(key), signed, hashlib.sha256))
        if version == "v1a" and key.startswith(_PUBLIC):
            Ed25519PublicKey.from_public_bytes(_secret(key)).verify(told, signed)
            return True
    except (binascii.Error, ValueError, InvalidSignature):
        return False
    return False


def _secret(key: str) -> bytes:
    prefix = next((prefix for prefix in (_SYMMETRIC, _PUBLIC) if key.startswith(prefix)), None)
    if prefix is None:
        raise ValueError("a key starts with whsec_ (v1) or whpk_ (v1a, Ed25519)")
    try:
        return base64.b64decode(key.removeprefix(prefix), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a key is base64 after its prefix") from None
