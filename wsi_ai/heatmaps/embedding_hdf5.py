"""Embeddings as HDF5, laid out as in CLAM and TRIDENT: ``features``; ``coords`` with attributes."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.plugins import from_extra
from wsi_ai.core.values import TilePlan, VectorChunk
from wsi_ai.errors import OutputError
from wsi_ai.heatmaps.embedding_zarr import described, stored, stored_dtype

_ROWS = 1024


def write_hdf5(path: Path, plan: TilePlan, card: ModelCard, chunks: Iterable[VectorChunk]) -> None:
    """Write a new file at ``path``, holding one chunk at a time.

    As in CLAM, ``patch_size`` counts pixels of ``patch_level``, which is 0; TRIDENT's name for the
    same is ``patch_size_level0``.  Raises OSError where the disk refuses, OutputError where h5py is
    not installed.
    """
    h5py = _library()
    width = card.output.features
    with h5py.File(path, "w") as file:
        features = file.create_dataset(
            "features",
            (0, width),
            stored_dtype(card),
            maxshape=(None, width),
            chunks=(_ROWS, width),
        )
        coords = file.create_dataset(
            "coords", (0, 2), np.int64, maxshape=(None, 2), chunks=(_ROWS, 2)
        )
        at = 0
        for chunk in chunks:
            end = at + len(chunk.index)
            features.resize((end, width))
            coords.resize((end, 2))
            features[at:end], coords[at:end] = stored(chunk.features, card), chunk.corners
            at = end
        told, spec = described(plan, card, at), plan.spec
        side = round(told["tiles"]["level0_px"][0])
        coords.attrs.update(
            {
                "patch_size": side,
                "patch_size_level0": side,
                "patch_level": 0,
                "overlap": round((spec.size_px - spec.stride_px) * side / spec.size_px),
                "level0_width": plan.slide.size.width,
                "level0_height": plan.slide.size.height,
                "name": plan.slide.slide_id,
                "mpp": spec.mpp,
            }
        )
        features.attrs.update({"encoder": card.ref.label})
        features.attrs.update({"weights_sha256": card.ref.sha256})


def check_hdf5() -> None:
    """Raises OutputError where h5py is not installed."""
    _library()


def _library() -> Any:
    return from_extra("h5py", "h5", OutputError)
