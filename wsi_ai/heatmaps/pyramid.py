"""The coarser levels of a dense map, and the metadata that make it an OME-Zarr image."""

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.geometry import Step
from wsi_ai.core.values import SlideInfo
from wsi_ai.heatmaps.dense_rows import Stored
from wsi_ai.heatmaps.groups import open_array, open_group, without_warnings
from wsi_ai.heatmaps.zarr import SHARD, SMALLEST_LEVEL, Window, create_level, multiscale, omero

if TYPE_CHECKING:
    import zarr


def complete(path: Path, card: ModelCard, slide: SlideInfo, step: Step) -> None:
    """Halve level 0 until it is small, a shard at a time, and write the metadata."""
    with without_warnings():
        root = open_group(path)
        count = 1
        while max(open_array(path / str(count - 1)).shape[1:]) > SMALLEST_LEVEL:
            _halve(root, open_array(path / str(count - 1)), count)
            count += 1
        root.attrs["ome"] = {
            "version": "0.5",
            "multiscales": [multiscale("scores", (slide, step), count, with_channels=True)],
            "omero": omero(card.classes, Window(1, 255)),
        }
        root.attrs["wsi_ai"] = {"scores": "(value - 1) / 254", "not_assessed": 0}


def _halve(root: "zarr.Group", fine: "zarr.Array[Any]", level: int) -> None:
    """``fine`` becomes ``level``."""
    classes, height, width = fine.shape
    shape = (classes, -(-height // 2), -(-width // 2))
    coarse = create_level(root, level, shape, np.dtype(np.uint8), 0)
    for c, top, left in product(range(classes), *(range(0, side, SHARD) for side in shape[1:])):
        down, along = slice(2 * top, 2 * (top + SHARD)), slice(2 * left, 2 * (left + SHARD))
        part = np.asarray(fine[c, down, along], np.uint8)
        coarse[c, top : top + SHARD, left : left + SHARD] = halved(part)


def halved(rows: Stored) -> Stored:
    """(rows, cols), starting at even ones: the mean of the assessed pixels among four, 0 where none
    was."""
    even = np.pad(rows, [(0, side % 2) for side in rows.shape])
    total, seen = np.zeros((2, *even[::2, ::2].shape), np.uint16)
    for part in (even[a::2, b::2] for a in (0, 1) for b in (0, 1)):
        total += part
        seen += part > 0
    return np.asarray((total + seen // 2) // np.maximum(seen, 1), np.uint8)
