"""The bytes that were hashed are the bytes that are loaded.

Whoever may write into a model's folder could change its weights between the check of their digest
and their loading.  So every runtime takes them from here: read once, held to the card, and given
on as bytes that nobody else can reach.
"""

import hashlib

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.memory import available
from wsi_ai.core.regular_file import read_regular
from wsi_ai.errors import ModelError

_ONNX_MOST = (1 << 31) - 1
"""A protobuf message is no longer: https://protobuf.dev/programming-guides/proto-limits/."""


def sealed_weights(card: ModelCard) -> bytes:
    """The content of the card's weights.  Raises ModelError where they are not the card's, or too
    large for this machine."""
    name = card.weights.name
    try:
        content = read_regular(card.weights, most_for(card.format))
    except OSError as error:
        raise ModelError(f"{name}: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != card.ref.sha256:
        raise ModelError(f"{name} is not the approved file: it changed since its card was checked")
    return content


def most_for(kind: str) -> int:
    """Bytes of weights of a format that can be loaded here."""
    return min(available(), _ONNX_MOST) if kind == "onnx" else available()
