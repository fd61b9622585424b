"""Embeddings on disk: a Zarr v3 group, written chunk by chunk.

``features`` is (tiles, features), float32 or float16; ``coords`` (tiles, 2) holds x and y of each
tile's corner in level-0 pixels; the group's attributes say what the tiles are, of which slide and
by which model.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import ModelCard, Precision
from wsi_ai.core.values import TilePlan, VectorChunk
from wsi_ai.errors import ModelError
from wsi_ai.heatmaps.groups import new_group

_ROWS = 1024


def write_vectors(
    path: Path, plan: TilePlan, card: ModelCard, chunks: Iterable[VectorChunk]
) -> None:
    """Write a new group at ``path``, holding one chunk at a time.

    Raises OSError where the disk refuses, ModelError where a number does not fit its storage.
    """
    root = new_group(path)
    count, width = len(plan), card.output.features
    kind = stored_dtype(card)
    features = root.create_array(
        "features",
        shape=(count, width),
        dtype=kind,
        chunks=(min(_ROWS, max(count, 1)), width),
        dimension_names=("tile", "feature"),
    )
    coords = root.create_array(
        "coords",
        shape=(count, 2),
        dtype=np.int64,
        chunks=(min(_ROWS, max(count, 1)), 2),
        dimension_names=("tile", "xy"),
    )
    at = 0
    for chunk in chunks:
        rows = slice(at, at + len(chunk.index))
        features[rows] = stored(chunk.features, card)
        coords[rows] = chunk.corners
        at = rows.stop
    features.resize((at, width))
    coords.resize((at, 2))
    root.attrs.update(described(plan, card, at))


def described(plan: TilePlan, card: ModelCard, count: int) -> dict[str, Any]:
    """The attributes that describe the vectors."""
    slide, spec = plan.slide, plan.spec
    spacing, scale = slide.known_spacing(), spec.scale(slide.known_spacing())
    return {
        "format": "wsi-ai embeddings 1",
        "tiles": {
            "size_px": spec.size_px,
            "stride_px": spec.stride_px,
            "mpp": spec.mpp,
            "level0_px": [spec.size_px * scale.x, spec.size_px * scale.y],
            "planned": len(plan),
            "embedded": count,
        },
        "slide": {
            "sha256": slide.fingerprint,
            "width": slide.size.width,
            "height": slide.size.height,
            "mpp": [spacing.x_um, spacing.y_um],
        },
        "model": {
            "name": card.ref.name,
            "version": card.ref.version,
            "weights_sha256": card.ref.sha256,
            "manifest_sha256": card.manifest_sha256,
        },
    }


def stored_dtype(card: ModelCard) -> type[np.float16] | type[np.float32]:
    return np.float16 if card.output.storage is Precision.FP16 else np.float32


def stored(features: NDArray[np.float32], card: ModelCard) -> NDArray[Any]:
    """Raises ModelError where a number does not fit."""
    kind = stored_dtype(card)
    if kind is np.float16 and np.abs(features).max(initial=0) > np.finfo(np.float16).max:
        raise ModelError(
            f"{card.weights.name} gives numbers beyond fp16; set output.storage to fp32"
        )
    return features.astype(kind)
