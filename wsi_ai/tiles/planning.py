"""Decide which tiles to read, and in which order.  Pure: no files, no pixels."""

import math
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import ModelCard, ReadLike, Task, TileSpec
from wsi_ai.core.geometry import Size, Step
from wsi_ai.core.values import Mask, SlideInfo, TilePlan

Likely = NDArray[np.float32]
"""A picture of the whole slide at any resolution, as a ``Mask`` is: tiles under higher values are
looked at sooner."""

_BLOCK, _LARGE_BLOCK, _LARGE_GRID = 8, 16, 64
"""Number of cells along a block's side.

Small enough that evidence comes from all over the tissue early; on grids with more than 64 cells
along a side twice as large, so that fewer stored tiles lie across the border of two blocks and are
decoded twice.
"""


def plan_tiles(
    slide: SlideInfo, tissue: Mask, spec: TileSpec, likely: Likely | None = None
) -> TilePlan:
    """Lay the model's grid over the slide and keep every cell that touches tissue.

    The scale comes from micrometres alone.  Cells are visited block by block, the blocks spread
    over the slide (see ``spread_out``), and where ``likely`` says where evidence may lie, half of
    them in that order (see ``likely_first``).  Raises ValueError where the slide has no spacing.
    """
    lattice = _LATTICES[spec.parity](slide, spec)
    edges = _Edges(slide.size, lattice.grid, lattice.step)
    cells = np.argwhere(edges.sums(tissue.astype(np.uint8)) > 0).astype(np.int32)
    if likely is None:
        cells = spread_out(cells, _block(lattice.grid))
    else:
        means = edges.sums(likely) / np.maximum(1, edges.sums(np.ones_like(likely)))
        cells = likely_first(cells, means[cells[:, 0], cells[:, 1]], _block(lattice.grid))
    return TilePlan(
        slide=slide,
        spec=spec,
        level=lattice.level,
        read_px=lattice.read_px,
        cells=cells,
        grid=lattice.grid,
        step=lattice.step,
        tissue=tissue,
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
    """The grid of WSInfer 0.6 (``wsinfer/patchlib``): whole pixels of level 0, from the corner on.

    WSInfer leaves out tiles whose centre lies beyond the slide; there can be tissue in them.
    """
    exact = spec.size_px * spec.mpp / slide.known_spacing().mean_um
    side = max(1, round(round(exact, 9)))  # the inner one mends what division did to a half
    rows, cols = -(-slide.size.height // side), -(-slide.size.width // side)
    return _Lattice(0, Size(side, side), (rows, cols), Step(float(side), float(side)))


_LATTICES = {ReadLike.NONE: _lattice, ReadLike.WSINFER: _wsinfer_lattice}


def in_rows(plan: TilePlan) -> TilePlan:
    """The same tiles row by row, for code that can forget a row once the next has begun."""
    row, col = plan.cells.T
    return replace(plan, cells=plan.cells[np.lexsort((col, row))])


def spread_out(cells: NDArray[np.int32], block: int) -> NDArray[np.int32]:
    """Order cells by square blocks, the blocks in two-dimensional van der Corput order.

    Bits of the block's row and column are interleaved and reversed, so that every beginning of
    the sequence covers the whole slide evenly.  Within a block, row by row.
    """
    row, col = cells.T.astype(np.int64)
    return cells[np.lexsort((col, row, _van_der_corput(row // block, col // block)))]


def likely_first(
    cells: NDArray[np.int32], likely: NDArray[np.float64], block: int
) -> NDArray[np.int32]:
    """Order cells by square blocks, taking turns: the next block by the mean of its cells'
    ``likely``, the highest first, and the next block that ``spread_out`` would visit.

    So the first n blocks of either order are among the first 2 n of this one: a good guess finds
    evidence early, and a wrong one no later than after twice as many blocks.
    """
    row, col = cells.T.astype(np.int64)
    _, blocks = np.unique(_van_der_corput(row // block, col // block), return_inverse=True)
    means = np.bincount(blocks, likely) / np.bincount(blocks)
    best = np.argsort(-means, kind="stable").tolist()
    visited = dict.fromkeys(chain.from_iterable(zip(best, range(len(best)), strict=True)))
    rank = np.argsort(list(visited))
    return cells[np.lexsort((col, row, rank[blocks]))]


def _block(grid: tuple[int, int]) -> int:
    return _LARGE_BLOCK if max(grid) > _LARGE_GRID else _BLOCK


def _van_der_corput(row: NDArray[np.int64], col: NDArray[np.int64]) -> NDArray[np.int64]:
    return _reversed_bits(row) * 2 + _reversed_bits(col)


def _reversed_bits(number: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bit i of 16 goes to bit 2 * (15 - i), leaving the odd bits free for a second number."""
    spread = np.zeros_like(number)
    for bit in range(16):
        spread |= (number >> bit & 1) << 2 * (15 - bit)
    return spread


def _read_px(spec: TileSpec, scale: float) -> int:
    return max(1, round(spec.size_px * scale))


@dataclass(frozen=True, slots=True)
class _Edges:
    """Where the grid lies on pictures of the whole slide."""

    slide: Size
    grid: tuple[int, int]
    step: Step

    def sums(self, picture: NDArray[Any]) -> NDArray[np.float64]:
        """(rows, cols) of the grid: the sum of all pixels that the cell touches."""
        down, along = np.arange(self.grid[0] + 1), np.arange(self.grid[1] + 1)
        rows, cols = picture.shape
        top, bottom = _cover(down * self.step.y * rows / self.slide.height, rows)
        left, right = _cover(along * self.step.x * cols / self.slide.width, cols)
        total = cv2.integral(picture)

        def up_to(rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.float64]:
            return np.asarray(total[np.ix_(rows, cols)], np.float64)

        inside: NDArray[np.float64] = (
            up_to(bottom, right) - up_to(top, right) - up_to(bottom, left) + up_to(top, left)
        )
        return inside


def _cover(edges: NDArray[np.float64], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and past-the-last mask index under each cell, rounded outwards."""
    first = np.minimum(np.floor(edges[:-1]), size).astype(np.int64)
    last = np.minimum(np.ceil(edges[1:]), size).astype(np.int64)
    return first, last


def tissue_shares(plan: TilePlan, tissue: Mask) -> NDArray[np.float64]:
    """(rows, cols) of the grid: the share of each cell that is tissue."""
    edges = _Edges(plan.slide.size, plan.grid, plan.step)
    whole = edges.sums(np.ones(tissue.shape, np.uint8))
    return edges.sums(tissue.astype(np.uint8)) / np.maximum(1, whole)


def plan_for(
    card: ModelCard, slide: SlideInfo, tissue: Mask, likely: Likely | None = None
) -> TilePlan:
    """The tiles that the card's model is to see of a slide, in the order that suits its task.

    Spread out, and the highest ``likely`` in every other turn, so that evidence comes early; a
    segmentation row by row, because in any other order the sums of a whole slide would have to be
    held until its end.
    """
    plan = plan_tiles(slide, tissue, card.tile, likely)
    return in_rows(plan) if card.task is Task.SEGMENTATION else plan
