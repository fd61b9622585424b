"""One array of an OME-Zarr image as RGB, by blocks that are its chunks."""

from itertools import product
from typing import Any

import numpy as np
import zarr.errors
from numpy.typing import NDArray
from zarr.core.sync import sync

from wsi_ai.core.geometry import Size
from wsi_ai.errors import SlideError, TileUnreadable

FAILURES = (  # zarr's own errors are ValueErrors and the like
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    zarr.errors.BaseZarrError,
)
_MOST_BYTES = 64 << 20
"""Of a decoded chunk."""
_WHITE = 240


class Level:
    """One array, whatever the order of its axes, as blocks of (height, width, 3)."""

    def __init__(self, array: Any, axes: tuple[str, ...], alpha: bool) -> None:  # noqa: FBT001
        self._array, self._axes, self._alpha = array, axes, alpha
        if len(axes) != len(array.shape):
            raise SlideError(f"{len(axes)} axes are named for an array of {len(array.shape)}")
        sides = dict(zip(axes, array.shape, strict=True))
        chunks = dict(zip(axes, array.chunks, strict=True))
        if "x" not in sides or "y" not in sides:
            raise SlideError(f"an image needs the axes x and y; it has {', '.join(axes)}")
        self.size = Size(sides["x"], sides["y"])
        self._channels = sides.get("c", 1)
        _check(array, sides, self._channels, alpha=alpha)
        self.block = Size(chunks["x"], chunks["y"])
        self._stored = tuple(array.shards or array.chunks)
        self._in_shards = array.shards is not None
        self._fill = int(array.fill_value or 0)
        self.fill_is_white = self._fill >= _WHITE

    def may_be_missing(self, pixels: NDArray[np.uint8]) -> bool:
        """Whether a block within a shard holds nothing but the fill value: a shard leaves such
        chunks out, and those that were never written, too."""
        return self._in_shards and bool((pixels == self._fill).all())

    def is_there(self, col: int, row: int) -> bool:
        """Whether all files are that hold the block: a chunk for each channel, or shards."""
        at = {"x": col * self.block.width, "y": row * self.block.height}
        parts = []
        for axis, side, stored in zip(self._axes, self._array.shape, self._stored, strict=True):
            places = range(-(-side // stored)) if axis == "c" else (at.get(axis, 0) // stored,)
            parts.append(places)
        return all(self._has(place) for place in product(*parts))

    def _has(self, place: tuple[int, ...]) -> bool:
        key = self._array.metadata.encode_chunk_key(place)
        return bool(sync((self._array.store_path / key).exists()))

    def read(self, col: int, row: int) -> NDArray[np.uint8]:
        """(height, width, 3), cut at the level's rim.  Raises TileUnreadable."""
        x, y = col * self.block.width, row * self.block.height
        chosen = {
            "x": slice(x, min(x + self.block.width, self.size.width)),
            "y": slice(y, min(y + self.block.height, self.size.height)),
            "c": slice(None),
        }
        try:
            pixels = np.asarray(self._array[tuple(chosen.get(axis, 0) for axis in self._axes)])
        except FAILURES:
            raise TileUnreadable("a chunk cannot be decoded") from None
        left = [axis for axis in self._axes if axis in chosen]
        pixels = pixels.transpose([left.index(axis) for axis in ("y", "x", "c") if axis in left])
        return self._rgb(pixels if "c" in left else pixels[..., None])

    def _rgb(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._channels == 1:
            return np.repeat(pixels, 3, axis=2)
        if not self._alpha:
            return np.ascontiguousarray(pixels)
        alpha = pixels[..., 3:].astype(np.uint16)
        mixed = (pixels[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
        return mixed.astype(np.uint8)


def _check(array: Any, sides: dict[str, int], channels: int, *, alpha: bool) -> None:
    """Raises SlideError for what is no 8-bit colour image in chunks of a sensible size."""
    others = {axis: n for axis, n in sides.items() if axis not in "xyc" and n != 1}
    if array.dtype != np.uint8:
        raise SlideError(f"{array.dtype} samples in {channels} channels; 8-bit colour is needed")
    if others:
        several = ", ".join(f"{n} along {axis}" for axis, n in others.items())
        raise SlideError(f"several planes or times ({several}); export a single one")
    if channels not in ((4,) if alpha else (1, 3)):
        raise SlideError(f"{channels} channels; an RGB image is needed")
    bytes_held = int(np.prod(array.chunks)) * array.dtype.itemsize
    if bytes_held > _MOST_BYTES:
        shape = " x ".join(map(str, array.chunks))
        raise SlideError(
            f"chunks of {shape} ({bytes_held >> 20} MB each); write it anew with chunks of 1024 px"
        )
