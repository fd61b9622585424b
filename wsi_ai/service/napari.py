"""A slide and its heatmaps for napari, each where it belongs.

napari-ome-zarr 0.10 takes a heatmap's scale and drops its translation: there it lies half a cell
too far up and left.  Here both are handed over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.contracts import Slide
from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.service.viewer.runs import Results
from wsi_ai.service.viewer.scores import ScoreMap
from wsi_ai.service.viewer.tiles import read_or_hatch

_OPACITY = 0.6


class Viewer(Protocol):
    """The part of napari's that is used."""

    def add_image(self, data: Any, **kwargs: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Layer:
    """What ``add_image`` takes."""

    data: Sequence[Any]
    """One array for each level, the finest first; read piece by piece."""
    settings: dict[str, Any]


class SlideLevel:
    """One level of a slide, shaped (rows, cols, 3), as an array that reads what is asked for."""

    dtype = np.dtype(np.uint8)
    ndim = 3

    def __init__(self, slide: Slide, level: int) -> None:
        self._slide, self._level = slide, level
        down, size = slide.info.downsamples[level], slide.info.size
        self.shape = max(1, round(size.height / down)), max(1, round(size.width / down)), 3

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        rows, cols, rest = _three(key)
        top, bottom, down_step = rows.indices(self.shape[0])
        left, right, along_step = cols.indices(self.shape[1])
        down = self._slide.info.downsamples[self._level]
        size = Size(max(0, right - left), max(0, bottom - top))
        corner = round(left * down), round(top * down)
        pixels, _ = read_or_hatch(self._slide, self._level, corner, size)
        return pixels[::down_step, ::along_step][(..., rest)]

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        return np.asarray(self[:, :], dtype)


class ScoreLevel:
    """One channel of one level of a map, shaped (rows, cols), with NaN where not assessed."""

    dtype = np.dtype(np.float32)
    ndim = 2

    def __init__(self, array: Any, channel: int) -> None:
        self._array, self._channel = array, channel
        self.shape = tuple(array.shape[1:])

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        whole = key if isinstance(key, tuple) else (key,)
        part = np.asarray(self._array[(self._channel, *whole)])
        if part.dtype != np.uint8:
            return part.astype(np.float32)
        return np.where(part > 0, (part.astype(np.float32) - 1) / 254, np.float32(np.nan))

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        return np.asarray(self[:, :], dtype)


def layers_of(slide: Slide, results: Sequence[Results]) -> list[Layer]:
    """The slide, and above it each map's main channel, in micrometres from the middle of level-0
    pixel (0, 0); in pixels where the slide has no spacing."""
    spacing = slide.info.spacing or Spacing(1.0, 1.0)
    levels = [SlideLevel(slide, n) for n in range(len(slide.info.downsamples))]
    own = {"name": slide.info.slide_id, "rgb": True, "multiscale": True}
    layers = [Layer(levels, {**own, "scale": (spacing.y_um, spacing.x_um)})]
    return layers + [
        _map_layer(one, spacing, f"{result.model}: {one.channels[one.main]} (unverified)")
        for result in results
        for one in result.maps
    ]


def add_layers(viewer: Viewer, layers: Sequence[Layer]) -> None:
    for layer in layers:
        viewer.add_image(list(layer.data), **layer.settings)


def _map_layer(one: ScoreMap, spacing: Spacing, name: str) -> Layer:
    pixel = spacing.y_um, spacing.x_um
    scale = one.cell_px[1] * spacing.y_um, one.cell_px[0] * spacing.x_um
    settings = {
        "name": name,
        "multiscale": True,
        "scale": scale,
        "translate": tuple((side - px) / 2 for side, px in zip(scale, pixel, strict=True)),
        "colormap": "viridis",
        "contrast_limits": (0, 1),
        "opacity": _OPACITY,
        "interpolation2d": "nearest",
    }
    return Layer([ScoreLevel(level, one.main) for level in one.levels], settings)


def _three(key: Any) -> tuple[slice, slice, Any]:
    parts: tuple[Any, ...] = key if isinstance(key, tuple) else (key,)
    rows, cols, rest = parts + (slice(None),) * (3 - len(parts))
    if not (isinstance(rows, slice) and isinstance(cols, slice)):
        raise TypeError("rows and columns are asked for as slices")
    return rows, cols, rest
