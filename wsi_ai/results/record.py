"""run.json: what was asked, what answered, and how long it took."""

import hashlib
import json
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from wsi_ai.cards import ModelCard
from wsi_ai.values import TilePlan

_PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "openslide-python",
    "openslide-bin",
    "onnxruntime",
    "onnxruntime-gpu",
    "torch",
    "zarr",
)


def software() -> str:
    return f"wsi_ai {version('wsi-ai')}"


def digest(asked: Mapping[str, Any]) -> str:
    """SHA-256 in hex of what was asked, however its keys are ordered."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def plan_digest(plan: TilePlan) -> str:
    """SHA-256 in hex over which tiles are read, from where and how."""
    head = f"{plan.level} {plan.read_px} {plan.grid} {plan.step} {plan.spec}".encode()
    return hashlib.sha256(head + plan.cells.tobytes()).hexdigest()


@cache
def versions() -> Mapping[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def model_record(card: ModelCard) -> dict[str, str]:
    return {
        "name": card.ref.name,
        "version": card.ref.version,
        "weights_sha256": card.ref.sha256,
        "manifest_sha256": card.manifest_sha256,
        "tta": card.input.tta.value,
        "stain_normalisation": repr(card.input.stain) if card.input.stain else "none",
    }
