"""All that a device's speed with a model depends on, as far as it can be asked."""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wsi_ai.core.cards import ModelCard, RuntimeRequest
from wsi_ai.core.environment import threads
from wsi_ai.core.processor import CPUINFO, processor
from wsi_ai.core.software import scoring_code, versions_of
from wsi_ai.inference.host import usual_batch

_VERSION = 1
"""Of the way of measuring: another one measures anew."""
_LIBRARIES = ("onnxruntime", "onnxruntime-gpu", "openvino", "torch")
Question = Mapping[str, Any]


def question_of(
    card: ModelCard, request: RuntimeRequest, devices: Sequence[str], cpuinfo: Path = CPUINFO
) -> Question:
    """Machine, model, precision, batch and software.  No memory limit: it lets a device run or
    not, and makes none faster."""
    return {
        "version": _VERSION,
        "weights_sha256": card.ref.sha256,
        "golden_sha256": card.golden_sha256,
        "tile_px": [card.tile.size_px, card.network_px],
        "tta": card.input.tta.value,
        "precision": request.precision.value,
        "batch": request.batch_size or usual_batch(card),
        "devices": list(devices),
        "threads": threads(),
        "processor": _processor(cpuinfo),
        "libraries": dict(versions_of(_LIBRARIES)),
        "code": scoring_code(),
    }


def digest_of(question: Question) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()


def _processor(cpuinfo: Path) -> dict[str, str]:
    """Its model, and the digest of its instruction sets."""
    own = processor(cpuinfo)
    sets = " ".join(sorted(own.instructions))
    return {
        "architecture": platform.machine(),
        "name": own.name or platform.processor(),
        "instructions_sha256": hashlib.sha256(sets.encode()).hexdigest(),
    }
