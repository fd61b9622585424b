"""Slides in OME-Zarr (NGFF 0.1 to 0.5): 8-bit images in a folder, read chunk by chunk."""

import hashlib
import warnings
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import zarr
import zarr.errors
from numpy.typing import NDArray

from wsi_ai.core.geometry import Spacing
from wsi_ai.core.values import SlideInfo
from wsi_ai.errors import SlideError, TileUnreadable, UnknownFormat
from wsi_ai.slides.readers.fingerprint import DiskLimit, hashed
from wsi_ai.slides.readers.ngff import Image, image_of
from wsi_ai.slides.readers.stored import Kept
from wsi_ai.slides.readers.zarr_level import FAILURES, Level

_CACHE_BYTES = 96 << 20
_GLASS = 225
"""Of 255, the mean of the darkest colour: what is brighter at a coarser level is glass."""


def open_slide(path: Path, spacing: Spacing | None = None, image: str = "") -> "ZarrSlide":
    """Open the folder of an OME-Zarr image; ``spacing`` replaces what it says, ``image`` is one of
    several.

    Raises UnknownFormat for what is no Zarr folder, SlideError where it holds no 8-bit image.
    """
    if not any((path / name).is_file() for name in ("zarr.json", ".zgroup")):
        raise UnknownFormat("not a Zarr folder")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zarr's own, of what the image says
            found = image_of(zarr.open_group(path, mode="r"), image)
            levels = [Level(array, found.axes, found.alpha) for array in found.arrays]
    except FAILURES:
        raise SlideError("the Zarr folder's description of its image cannot be read") from None
    return ZarrSlide(_info(path, found, levels, spacing), levels)


class ZarrSlide:
    """See ``contracts.Slide``.

    A chunk that is not there cannot be read; only where its fill value is white, and a coarser
    level shows glass in its place, it is what a writer left out.
    """

    def __init__(self, info: SlideInfo, levels: list[Level]) -> None:
        self.info = info
        self._levels = levels
        self._kept = Kept(_CACHE_BYTES)

    def read(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """See ``contracts.Slide.read``.  The corner falls on the level's nearest pixel."""
        down, stored = self.info.downsamples[level], self._levels[level]
        left, top = round(x / down), round(y / down)
        x0, x1 = max(left, 0), min(left + width, stored.size.width)
        y0, y1 = max(top, 0), min(top + height, stored.size.height)
        out = np.full((height, width, 3), 255, np.uint8)
        for row in _under(y0, y1, stored.block.height):
            for col in _under(x0, x1, stored.block.width):
                pixels = self._block(level, col, row)
                at_x, at_y = col * stored.block.width, row * stored.block.height
                from_x, to_x = max(x0, at_x), min(x1, at_x + pixels.shape[1])
                from_y, to_y = max(y0, at_y), min(y1, at_y + pixels.shape[0])
                out[from_y - top : to_y - top, from_x - left : to_x - left] = pixels[
                    from_y - at_y : to_y - at_y, from_x - at_x : to_x - at_x
                ]
        return out

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._kept.clear()

    def _block(self, level: int, col: int, row: int) -> NDArray[np.uint8]:
        key, stored = (level, col, row), self._levels[level]
        pixels = self._kept.get(key)
        if pixels is None:
            there = stored.is_there(col, row)
            if not there and not self._left_out(level, col, row):
                raise TileUnreadable("a chunk is missing")
            pixels = stored.read(col, row)
            if there and stored.may_be_missing(pixels) and not self._left_out(level, col, row):
                raise TileUnreadable("a chunk is missing from its shard")
            self._kept.put(key, pixels)
        return pixels

    def _left_out(self, level: int, col: int, row: int) -> bool:
        """The chunk would be white, and the next coarser level shows that it is."""
        stored = self._levels[level]
        if not stored.fill_is_white or level + 1 == len(self._levels):
            return False
        down = self.info.downsamples[level]
        x, y = round(col * stored.block.width * down), round(row * stored.block.height * down)
        share = down / self.info.downsamples[level + 1]
        sides = (max(1, round(s * share)) for s in (stored.block.width, stored.block.height))
        return bool(self.read(level + 1, x, y, *sides).min(axis=2).mean() >= _GLASS)


def _under(start: int, stop: int, block: int) -> range:
    return range(start // block, -(-stop // block)) if start < stop else range(0)


def _info(path: Path, image: Image, levels: list[Level], spacing: Spacing | None) -> SlideInfo:
    base = levels[0].size
    sizes = [level.size for level in levels]
    return SlideInfo(
        slide_id=path.name.removesuffix(".zarr").removesuffix(".ome"),
        size=base,
        spacing=spacing or image.scale.spacing,
        downsamples=tuple((base.width / s.width + base.height / s.height) / 2 for s in sizes),
        digest=_fingerprint(path),
        vendor="ome-zarr",
        reader="zarr",
        stated=image.scale.spacing,
        scale_doubt=image.scale.doubt,
        image=image.name,
    )


def _fingerprint(folder: Path) -> str:
    """Of all files' names and contents."""
    digest = hashlib.sha256()
    limit = DiskLimit.from_settings()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        content = hashed(path, limit).sha256
        digest.update(f"{path.relative_to(folder)}\0{content}\n".encode())
    return digest.hexdigest()
