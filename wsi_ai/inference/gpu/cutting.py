"""What ``cut.cu`` is given, in plain numbers: which stored tiles, which taps, which output bits.

Pure.  The kernel gives the bytes of ``tiles.reading`` and of ``scoring.prepare``: its taps are
those of ``tiles/reading/shrink.py``, and grey levels get the bits that ``prepare`` gives them.
"""

from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import Layout, ModelCard, Tta
from wsi_ai.core.geometry import Size
from wsi_ai.errors import DeviceError
from wsi_ai.inference.scoring import scale_and_shift
from wsi_ai.tiles.reading.schedule import Placement, StoredGrid, most_under
from wsi_ai.tiles.reading.shrink import LARGEST_TOTAL, Taps, taps

Ints = NDArray[np.int64]
Ints32 = NDArray[np.int32]
Bits = NDArray[np.uint32]
NOTHING = np.iinfo(np.int64).min
"""In a table of offsets: nothing was scanned there."""
NO_CELL = -1
"""In a table of stored tiles: there is none."""
_C_TYPES = {1: "unsigned char", 2: "unsigned short", 4: "unsigned int"}


@cache
def source() -> str:
    """The kernel in CUDA C."""
    return files(__package__).joinpath("cut.cu").read_text("utf-8")


def options(form: "Form") -> tuple[str, ...]:
    """What the source is compiled with."""
    out, planes = _C_TYPES[form.bytes_each], int(form.planes_first)
    return "--std=c++17", f"-DPLANES={planes}", f"-DOUT={out}"


@dataclass(frozen=True, slots=True)
class Form:
    """How tiles lie in device memory: as what, in which order, and the bits of each grey level."""

    dtype: str = "uint8"
    planes_first: bool = False
    levels: Bits = field(default_factory=lambda: same_levels(), compare=False, repr=False)
    """(3, 256): of each channel's grey levels, in ``dtype``."""

    @property
    def bytes_each(self) -> int:
        return {"uint8": 1, "float16": 2, "bfloat16": 2, "float32": 4}[self.dtype]

    @property
    def stored_dtype(self) -> str:
        """The same width, in a type that numpy has."""
        return "uint16" if self.dtype == "bfloat16" else self.dtype

    @property
    def is_rgb(self) -> bool:
        """As a source of tiles hands them out: uint8, RGB side by side."""
        return self.dtype == "uint8" and not self.planes_first

    def shape(self, tiles: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        """Of a batch that is (tiles, height, width, 3) as RGB."""
        count, height, width, channels = tiles
        return (count, channels, height, width) if self.planes_first else tiles


def form_for(card: ModelCard) -> Form:
    """The network's own input, where tiles can be drawn as that; RGB where something is to be done
    to them first: other colours, views, another size."""
    spec = card.input
    if spec.stain is not None or spec.tta is not Tta.NONE or card.network_px != card.tile.size_px:
        return Form()
    planes = spec.layout is Layout.NCHW
    if spec.dtype == "uint8":
        return Form("uint8", planes)
    return Form(spec.dtype, planes, levels(*scale_and_shift(card), spec.dtype))


def same_levels() -> Bits:
    """uint8 as it is."""
    return np.tile(np.arange(256, dtype=np.uint32), (3, 1))


def levels(scale: NDArray[np.float32], shift: NDArray[np.float32], dtype: str) -> Bits:
    """``level * scale + shift``, rounded as ``scoring.prepare`` rounds it, then to ``dtype``."""
    value = np.arange(256, dtype=np.uint8)[None] * scale[:, None].astype(np.float32)
    value = (value.astype(np.float32) + shift[:, None].astype(np.float32)).astype(np.float32)
    if dtype == "bfloat16":
        bits = value.view(np.uint32).astype(np.uint64)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint32)
    rounded = value.astype(dtype)
    return rounded.view(f"u{rounded.itemsize}").astype(np.uint32)


@dataclass(frozen=True, slots=True, eq=False)
class CutPlan:
    """All that stays the same from batch to batch."""

    grid: StoredGrid
    read: Size
    side: int
    along: Taps
    down: Taps

    @property
    def tables(self) -> tuple[Ints32, Ints32]:
        """Along rows, and down columns: (1 + taps, side), the first of each pixel's taps, then
        their weights."""
        along, down = (
            np.ascontiguousarray(np.vstack([axis.first, axis.weights.T]))
            for axis in (self.along, self.down)
        )
        return along, down

    @property
    def under(self) -> tuple[int, int]:
        """Rows and columns of stored tiles beneath a model's tile, at most."""
        return most_under(self.grid, self.read)

    @property
    def cells_each(self) -> int:
        rows, cols = self.under
        return rows * cols

    @property
    def tile_bytes(self) -> int:
        """Of a stored tile's pixels."""
        return self.grid.tile.width * self.grid.tile.height * 3

    def numbers(self, tiles: int) -> tuple[np.int32, ...]:
        """The last of the kernel's arguments, for a batch of ``tiles``."""
        grid, (rows, cols) = self.grid, self.under
        level = (grid.size.width, grid.size.height, grid.tile.width, grid.tile.height, cols, rows)
        each = self.along.weights.shape[1], self.down.weights.shape[1]
        shape = (self.side, *each, self.along.total * self.down.total, tiles)
        return tuple(np.int32(n) for n in (*level, *shape))


def cut_plan(grid: StoredGrid, read: Size, side: int) -> CutPlan:
    """Raises DeviceError where sums would not fit in 32 bits."""
    along, down = taps(read.width, side), taps(read.height, side)
    if along.total * down.total > LARGEST_TOTAL:
        raise DeviceError(f"{read.width} x {read.height} px to {side}: not by the kernel")
    return CutPlan(grid, read, side, along, down)


def cells_under(grid: StoredGrid, part: Placement) -> Ints:
    """(tiles, rows * cols): the number of the stored tile, ``NO_CELL`` where there is none."""
    rows, cols = most_under(grid, part.size)
    row0, col0 = np.maximum(part.y, 0) // grid.tile.height, np.maximum(part.x, 0) // grid.tile.width
    row, col = row0[:, None] + np.arange(rows), col0[:, None] + np.arange(cols)
    bottom = np.minimum(part.y + part.size.height, grid.size.height)[:, None]
    right = np.minimum(part.x + part.size.width, grid.size.width)[:, None]
    down = (row * grid.tile.height < bottom) & (part.y[:, None] < bottom)
    along = (col * grid.tile.width < right) & (part.x[:, None] < right)
    there = down[:, :, None] & along[:, None]
    cell = row[:, :, None] * grid.across + col[:, None, :]
    return np.where(there, cell, NO_CELL).reshape(len(part), rows * cols)
