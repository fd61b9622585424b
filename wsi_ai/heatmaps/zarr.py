"""A heatmap as OME-Zarr 0.5 (https://ngff.openmicroscopy.org/0.5/): Zarr v3, sharded, multiscale.

Coordinates are micrometres in the frame where the centre of level-0 pixel (0, 0) is the origin, as
viewers place the slide itself.  So the first cell's centre lies half a cell, less half a pixel,
from it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.geometry import Step
from wsi_ai.core.values import Heatmap, Layers, SlideInfo, bands
from wsi_ai.heatmaps.groups import new_group, without_warnings

if TYPE_CHECKING:
    import zarr

_CHUNK, SHARD = 256, 1024
SMALLEST_LEVEL = 64
_AT_ONCE = 128
"""Rows that are halved at once: even."""
_COLOURS = ("D55E00", "0072B2", "009E73", "CC79A7", "E69F00", "56B4E9")  # Okabe and Ito 2008


def write_heatmap(path: Path, heatmap: Heatmap, window: "Window | None" = None) -> None:
    """Write ``heatmap`` as a new group at ``path``.

    Axes c, y, x; one channel per class, float32, NaN where not assessed; coarser levels are means
    over what was assessed.  ``labels/assessed`` holds 1 where every class has a score.  Raises
    OSError where the disk refuses.
    """
    with without_warnings():
        root, place = new_group(path), (heatmap.slide, heatmap.step)
        masks = _write_layers(root, heatmap.scores)
        root.attrs["ome"] = {
            "version": "0.5",
            "multiscales": [multiscale("scores", place, len(masks), with_channels=True)],
            "omero": omero(heatmap.channels, window or Window()),
        }
        _write_assessed(root.create_group("labels"), heatmap, masks)


def _write_assessed(labels: "zarr.Group", heatmap: Heatmap, masks: list[NDArray[np.uint8]]) -> None:
    labels.attrs["ome"] = {"version": "0.5", "labels": ["assessed"]}
    group, place = labels.create_group("assessed"), (heatmap.slide, heatmap.step)
    for k, mask in enumerate(masks):
        _fill(create_level(group, k, mask.shape, mask.dtype, 0), (), mask)
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [multiscale("assessed", place, len(masks), with_channels=False)],
        "image-label": {
            "colors": [{"label-value": 1, "rgba": [0, 114, 178, 96]}],
            "source": {"image": "../../"},
        },
    }


def _write_layers(root: "zarr.Group", layers: Layers) -> list[NDArray[np.uint8]]:
    """All levels, one layer at a time.  Returns for each level (rows, cols) where all layers have
    a score."""
    classes, *shape = layers.shape
    shapes = [tuple(shape)]
    while max(shapes[-1]) > SMALLEST_LEVEL:
        shapes.append((-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2)))
    kind = np.dtype(np.float32)
    levels = [create_level(root, k, (classes, *s), kind, np.nan) for k, s in enumerate(shapes)]
    masks = [np.ones(s, np.uint8) for s in shapes]
    for c in range(classes):
        for k, layer in enumerate(_pyramid(layers[c], len(shapes))):
            _fill(levels[k], (c,), layer)
            for rows in bands(len(layer)):
                masks[k][rows] &= np.isfinite(layer[rows])
    return masks


def _pyramid(layer: NDArray[np.float32], count: int) -> Iterator[NDArray[np.float32]]:
    """The number of levels, each half of the one before."""
    yield layer
    for _ in range(count - 1):
        layer = _halved(layer)
        yield layer


def _fill(level: "zarr.Array[Any]", place: tuple[int, ...], layer: NDArray[Any]) -> None:
    """In rows of shards, because all that is written at once is also held encoded."""
    for top in range(0, len(layer), SHARD):
        part: tuple[int | slice, ...] = (*place, slice(top, top + SHARD))
        level[part] = layer[top : top + SHARD]


def _halved(layer: NDArray[np.float32]) -> NDArray[np.float32]:
    """A cell is the mean of its assessed parts, NaN where there are none."""
    found = np.empty([-(-side // 2) for side in layer.shape], np.float32)
    for top in range(0, len(layer), _AT_ONCE):
        found[top // 2 : (top + _AT_ONCE) // 2] = _halved_band(layer[top : top + _AT_ONCE])
    return found


def _halved_band(band: NDArray[np.float32]) -> NDArray[np.float32]:
    even = np.pad(band, [(0, side % 2) for side in band.shape], constant_values=np.nan)
    parts = [even[down::2, along::2] for down in (0, 1) for along in (0, 1)]
    count, total = np.zeros((2, *parts[0].shape))
    for part in parts:
        seen = np.isfinite(part)
        count += seen
        total += np.where(seen, part, 0)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return np.asarray(mean, np.float32)


def create_level(
    group: "zarr.Group",
    k: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    fill: float,
    shard: tuple[int, int] = (SHARD, SHARD),
) -> "zarr.Array[Any]":
    """Level ``k``, whose last axes are y and x, empty; what was there is gone.  ``shard`` is in
    cells, up and across."""
    leading = (1,) * (len(shape) - 2)
    sides = [min(_CHUNK, side) for side in shape[-2:]]
    shards = [
        side * -(-min(most, whole) // side)
        for side, whole, most in zip(sides, shape[-2:], shard, strict=True)
    ]
    return group.create_array(
        str(k),
        shape=shape,
        dtype=dtype,
        chunks=(*leading, *sides),
        shards=(*leading, *shards),
        fill_value=fill,
        dimension_names=("c", "y", "x")[-len(shape) :],
        overwrite=True,
    )


def multiscale(
    name: str, place: tuple[SlideInfo, Step], count: int, *, with_channels: bool
) -> dict[str, Any]:
    """Of ``count`` levels, each half of the one before, whose first has cells of a step on the
    slide."""
    slide, step = place
    spacing = slide.known_spacing()
    pixel = (spacing.y_um, spacing.x_um)
    cell = (step.y * spacing.y_um, step.x * spacing.x_um)
    lead: tuple[float, ...] = (1.0,) if with_channels else ()
    origin: tuple[float, ...] = (0.0,) if with_channels else ()
    datasets = []
    for k in range(count):
        scale = [side * 2**k for side in cell]
        middle = [(side - px) / 2 for side, px in zip(scale, pixel, strict=True)]
        datasets.append(
            {
                "path": str(k),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [*lead, *scale]},
                    {"type": "translation", "translation": [*origin, *middle]},
                ],
            }
        )
    space = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in ("y", "x")]
    channel = [{"name": "c", "type": "channel"}] if with_channels else []
    return {"name": name, "axes": [*channel, *space], "datasets": datasets, "type": "mean"}


@dataclass(frozen=True, slots=True)
class Window:
    """Which stored values a viewer shows from black to full colour."""

    least: float = 0.0
    most: float = 1.0


def omero(classes: Sequence[str], window: Window) -> dict[str, Any]:
    """What a viewer calls the channels, and how it shows them."""
    least, most = window.least, window.most
    return {
        "channels": [
            {
                "label": name,
                "color": _COLOURS[n % len(_COLOURS)],
                "active": True,
                "window": {"min": least, "max": most, "start": least, "end": most},
            }
            for n, name in enumerate(classes)
        ],
        "rdefs": {"model": "color"},
    }
