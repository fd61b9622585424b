"""Decide which tiles to read, and in which order.  Pure: no files, no pixels."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_ai.geometry import Size, Step
from wsi_ai.values import Mask, Parity, SlideInfo, TilePlan, TileSpec

_BLOCK, _LARGE_BLOCK, _LARGE_GRID = 8, 16, 64
"""Cells along a block's side.  Small enough that evidence comes from all over the tissue early; on
grids with more than 64 cells along a side twice as large, so that fewer stored tiles lie across
the border of two blocks and are decoded twice."""


def plan_tiles(slide: SlideInfo, tissue: Mask, spec: TileSpec) -> TilePlan:
    """Lay the model's grid over the slide and keep every cell that touches tissue.

    The scale comes from micrometres alone.  Cells are visited block by block, the blocks spread
    over the slide (see ``spread_out``).  Raises ValueError where the slide has no spacing.
    """
    wsinfer = spec.parity is Parity.WSINFER
    lattice = _wsinfer_lattice(slide, spec) if wsinfer else _lattice(slide, spec)
    grid, step = lattice.grid, lattice.step
    touched = _touched(
        tissue,
        row_edges=np.arange(grid[0] + 1) * step.y * tissue.shape[0] / slide.size.height,
        col_edges=np.arange(grid[1] + 1) * step.x * tissue.shape[1] / slide.size.width,
    )
    return TilePlan(
        slide=slide,
        spec=spec,
        level=lattice.level,
        read_px=lattice.read_px,
        cells=spread_out(np.argwhere(touched).astype(np.int32), _block(grid)),
        grid=grid,
        step=step,
    )


@dataclass(frozen=True, slots=True)
class _Lattice:
    """See ``values.TilePlan``."""

    level: int
    read_px: Size
    grid: tuple[int, int]
    step: Step


def _lattice(slide: SlideInfo, spec: TileSpec) -> _Lattice:
    scale = spec.scale(slide.known_spacing())
    step = Step(spec.stride_px * scale.x, spec.stride_px * scale.y)
    grid = math.ceil(slide.size.height / step.y), math.ceil(slide.size.width / step.x)
    level = slide.level_for(min(scale.x, scale.y))
    down = slide.downsamples[level]
    read = Size(_read_px(spec, scale.x / down), _read_px(spec, scale.y / down))
    return _Lattice(level, read, grid, step)


def _wsinfer_lattice(slide: SlideInfo, spec: TileSpec) -> _Lattice:
    """That of WSInfer 0.6 (``wsinfer/patchlib``): whole pixels of level 0, from the corner on.
    WSInfer leaves out tiles whose centre lies beyond the slide; there can be tissue in them."""
    exact = spec.size_px * spec.mpp / slide.known_spacing().mean_um
    side = max(1, round(round(exact, 9)))  # the inner one mends what division did to a half
    rows, cols = -(-slide.size.height // side), -(-slide.size.width // side)
    return _Lattice(0, Size(side, side), (rows, cols), Step(float(side), float(side)))


def spread_out(cells: NDArray[np.int32], block: int) -> NDArray[np.int32]:
    """Order cells by square blocks, the blocks in two-dimensional van der Corput order.

    Bits of the block's row and column are interleaved and reversed, so that every beginning of
    the sequence covers the whole slide evenly.  Within a block, row by row.
    """
    row, col = cells[:, 0].astype(np.int64), cells[:, 1].astype(np.int64)
    key = _reversed_bits(row // block) * 2 + _reversed_bits(col // block)
    return cells[np.lexsort((col, row, key))]


def _block(grid: tuple[int, int]) -> int:
    return _LARGE_BLOCK if max(grid) > _LARGE_GRID else _BLOCK


def _reversed_bits(number: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bit i of 16 goes to bit 2 * (15 - i), leaving the odd bits free for a second number."""
    spread = np.zeros_like(number)
    for bit in range(16):
        spread |= (number >> bit & 1) << 2 * (15 - bit)
    return spread


def _read_px(spec: TileSpec, scale: float) -> int:
    return max(1, round(spec.size_px * scale))


def _touched(
    mask: Mask, row_edges: NDArray[np.float64], col_edges: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which cells hold at least one true mask pixel, from sums over rectangles."""
    total = np.pad(mask.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    top, bottom = _cover(row_edges, mask.shape[0])
    left, right = _cover(col_edges, mask.shape[1])
    inside: NDArray[np.int64] = (
        total[bottom][:, right]
        - total[top][:, right]
        - total[bottom][:, left]
        + total[top][:, left]
    )
    touched: NDArray[np.bool_] = np.greater(inside, 0)
    return touched


def _cover(edges: NDArray[np.float64], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and past-the-last mask index under each cell, rounded outwards."""
    first = np.minimum(np.floor(edges[:-1]), size).astype(np.int64)
    last = np.minimum(np.ceil(edges[1:]), size).astype(np.int64)
    return first, last
