"""Standard Webhooks signatures: v1 (HMAC-SHA256) and v1a (Ed25519).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wsi_ai.delivery.messages import Secret
from wsi_ai.errors import SinkError

_SYMMETRIC, _PRIVATE = b"whsec_", b"whsk_"


def signed_headers(
    event_id: str, body: bytes, keys: Iterable[Secret], at: datetime
) -> dict[str, str]:
    """The three headers; a signature for each key, the newest first.

    ``at`` is an instant: summer time and zones make no difference.  Raises SinkError for a key that
    is none.
    """
    stamp = str(int(at.timestamp()))
    signed = b".".join([event_id.encode(), stamp.encode(), body])
    return {
        "webhook-id": event_id,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(_signature(key, signed) for key in keys),
    }


def _signature(key: Secret, signed: bytes) -> str:
    value = key.value.strip()
    if value.startswith(_SYMMETRIC):
        secret = _decoded(value.removeprefix(_SYMMETRIC), range(24, 65))
        return "v1," + _encoded(hmac.digest(secret, signed, hashlib.sha256))
    if value.startswith(_PRIVATE):
        secret = _decoded(value.removeprefix(_PRIVATE), (32, 64))
        private = Ed25519PrivateKey.from_private_bytes(secret[:32])
        return "v1a," + _encoded(private.sign(signed))
    raise SinkError("a signing key starts with whsec_ (v1) or whsk_ (v1a, Ed25519)")


def _decoded(text: bytes, lengths: Iterable[int]) -> bytes:
    try:
        secret = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise SinkError("a signing key is base64 after its prefix") from None
    if len(secret) not in lengths:
        raise SinkError("a signing key has the wrong length: whsec_ 24 to 64 bytes, whsk_ 32 or 64")
    return secret


def _encoded(signature: bytes) -> str:
    return base64.b64encode(signature).decode()
