"""A map of scores as 8-bit grey PNG: 0 where not assessed, 1 to 255 for scores of 0 to 1.

So it is coloured in the browser, and another threshold asks for nothing.  The coding is that of
``segmentation.ome.zarr``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import zarr
from numpy.typing import NDArray

from wsi_ai.core.values import SlideInfo

_WHOLE_PX, _WINDOW_PX = 2048, 1024
_NAMES = ("heatmap.ome.zarr", "segmentation.ome.zarr")
_MOST_LEVELS = 24
_TOLERANCE_CELLS = 1.01


@dataclass(frozen=True, slots=True, eq=False)
class ScoreMap:
    """A multiscale map; cell (row, col) of level k covers level-0 pixels from (col, row) times
    ``cell_px`` times two to the k."""

    name: str
    levels: tuple["zarr.Array[Any]", ...]
    """(classes, rows, cols) each."""
    channels: tuple[str, ...]
    main: int
    """The channel that is shown first."""
    cell_px: tuple[float, float]
    """Across and down, of the finest level."""

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "channels": list(self.channels),
            "main": self.main,
            "cell_px": list(self.cell_px),
            "levels": [
                {"rows": rows, "cols": cols, "window_px": window_px(rows, cols)}
                for _, rows, cols in (level.shape for level in self.levels)
            ],
        }

    def png(self, channel: int, level: int, col: int, row: int) -> bytes:
        """A window of one channel.  Raises LookupError where there is none."""
        if not (0 <= channel < len(self.channels) and 0 <= level < len(self.levels)):
            raise LookupError
        array = self.levels[level]
        side = window_px(*array.shape[1:])
        top, left = row * side, col * side
        if not (0 <= top < array.shape[1] and 0 <= left < array.shape[2]):
            raise LookupError
        part = np.asarray(array[channel, top : top + side, left : left + side])
        return cv2.imencode(".png", codes(part), (cv2.IMWRITE_PNG_COMPRESSION, 1))[1].tobytes()


def window_px(rows: int, cols: int) -> int:
    """The side of the windows in which a level is sent: small ones are sent whole."""
    return _WHOLE_PX if max(rows, cols) <= _WHOLE_PX else _WINDOW_PX


def codes(scores: NDArray[Any]) -> NDArray[np.uint8]:
    """Scores, or what is coded already."""
    if scores.dtype == np.uint8:
        return scores
    known = np.isfinite(scores)
    coded = 1 + np.rint(254 * np.clip(np.nan_to_num(scores), 0, 1))
    return np.where(known, coded, 0).astype(np.uint8)


def open_maps(
    folder: Path, slide: SlideInfo, record: Mapping[str, Any], main_class: str
) -> tuple[ScoreMap, ...]:
    """All that are in the folder; ``record`` is the slide's part of run.json, whose spacing the
    maps were written with.  Raises ValueError, LookupError or TypeError where one is not as it
    should be: it would lie on other pixels."""
    found = [name for name in _NAMES if (folder / name).is_dir()]
    return tuple(_open(folder / name, slide, record, main_class) for name in found)


def _open(path: Path, slide: SlideInfo, record: Mapping[str, Any], main_class: str) -> ScoreMap:
    group = zarr.open_group(path, mode="r")
    ome: Any = group.attrs["ome"]
    datasets = ome["multiscales"][0]["datasets"][:_MOST_LEVELS]
    levels = tuple(_level(group[one["path"]]) for one in datasets)
    scale = datasets[0]["coordinateTransformations"][0]["scale"]
    cell = float(scale[2]) / float(record["mpp_x"]), float(scale[1]) / float(record["mpp_y"])
    channels = tuple(str(one["label"]) for one in ome["omero"]["channels"])
    _check(levels, channels, cell, slide)
    main = channels.index(main_class) if main_class in channels else 0
    return ScoreMap(path.name.partition(".")[0], levels, channels, main, cell)


def _level(array: Any) -> "zarr.Array[Any]":
    if not isinstance(array, zarr.Array) or array.ndim != 3:
        raise TypeError("no array of classes, rows and columns")
    if array.dtype not in (np.dtype(np.uint8), np.dtype(np.float32)):
        raise TypeError("neither scores nor codes")
    return array


def _check(
    levels: tuple["zarr.Array[Any]", ...],
    channels: tuple[str, ...],
    cell: tuple[float, float],
    slide: SlideInfo,
) -> None:
    """That it covers the slide, and each level is half of the one before."""
    rows, cols = levels[0].shape[1:]
    sides = (cols, cell[0], slide.size.width), (rows, cell[1], slide.size.height)
    for count, step, whole in sides:
        if not (step > 0 and abs(count * step - whole) <= step * _TOLERANCE_CELLS):
            raise ValueError("does not cover the slide")
    for k, level in enumerate(levels):
        wanted = len(channels), -(-rows // 2**k), -(-cols // 2**k)
        if level.shape != wanted:
            raise ValueError("levels that are no halves")
