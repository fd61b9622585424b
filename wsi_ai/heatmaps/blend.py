"""Overlapping tiles of scores put together without a seam.  Pure.

Each tile is weighted by a tapered-cosine window (Tukey's; Harris 1978, Proc. IEEE 66, 51-83):
almost zero along its edges, where a network sees too little, then rising as a squared sine to one.
Where two neighbours overlap their weights add up to one, and everywhere the sum is divided by the
weights that were really there: where tiles agree, the result is what they agree on, however many
cover a pixel.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.geometry import Size

Scores = NDArray[np.float32]
_PIECE = 64
"""Rows of pixels that are finished at once, at most."""
_STRIP = 1024
"""Columns of pixels that are divided at once, at most."""
_TRACE = 1e-6
"""The least weight: what only the edge of a tile covers gets that edge's score."""


@dataclass(frozen=True, slots=True)
class DenseGrid:
    """Where the scores of tiles lie on a whole slide's, in pixels of the output: the tile of row r
    and column c begins at row ``r * stride - lead`` and column ``c * stride - lead``."""

    size: Size
    tile: int
    stride: int
    lead: int
    margin: int
    """Width of the border of a tile that is not trusted where another tile covers it."""

    def begin(self, row: int) -> int:
        """The first row of pixels that tiles of this row reach."""
        return min(max(row * self.stride - self.lead, 0), self.size.height)


def window(grid: DenseGrid) -> NDArray[np.float32]:
    """(tile,) the weights along one axis; a tile's weights are the products of two such."""
    overlap = min(grid.tile - grid.stride, grid.tile // 2)
    if overlap == 0:
        return np.ones(grid.tile, np.float32)
    ramp = max(1, overlap - 2 * grid.margin)
    inwards = np.arange(grid.tile) + 0.5
    depth = np.minimum(inwards, inwards[::-1])
    risen = np.clip((depth - (overlap - ramp) / 2) / ramp, 0, 1)
    weights: Scores = np.maximum(np.sin(math.pi / 2 * risen) ** 2, _TRACE).astype(np.float32)
    return weights


@dataclass(slots=True, eq=False)
class _Strip:
    """Sums of a strip of columns: rows of pixels from ``top`` on."""

    top: int
    sums: Scores
    """(classes, rows, cols)."""

    def reach(self, end: int) -> None:
        """Extend it to rows up to ``end``."""
        if (missing := end - self.top - self.sums.shape[1]) > 0:
            self.sums = np.pad(self.sums, ((0, 0), (0, missing), (0, 0)))

    def drop(self, rows: int) -> None:
        """Drop the rows above; only the rest is held."""
        self.top, self.sums = self.top + rows, self.sums[:, rows:].copy()


class Blender:
    """Takes tiles row by row, each row from the left, and gives finished rows of pixels.

    Sums are held of the strips of columns at work, and of what the next row of tiles can reach.
    What no tile to come can change is divided at once, and held as ``kept`` makes it: a row of
    tiles high and as wide as the slide.  Rows of pixels are finished in order, each once.
    """

    def __init__(
        self, grid: DenseGrid, classes: int, kept: Callable[[Scores], NDArray[Any]]
    ) -> None:
        """``kept`` works on each score by itself."""
        self.grid, self._kept, self._top = grid, kept, 0
        self._weights = window(grid)
        self._square = np.outer(self._weights, self._weights)
        self._scratch = np.empty((classes, grid.tile, grid.tile), np.float32)
        self._strips: dict[int, _Strip] = {}
        """By their first columns."""
        self._across: dict[int, NDArray[np.float32]] = {}
        """For each row of tiles at work, the weights of its tiles summed along x."""
        self._blank = kept(np.full((classes, 1, 1), np.nan, np.float32))
        self._band = np.tile(self._blank, (1, min(grid.stride, grid.size.height), grid.size.width))
        """From ``top`` on."""

    @property
    def top(self) -> int:
        """The first row of pixels that is not finished."""
        return self._top

    def skip(self, rows: int) -> None:
        """Go on from this row of pixels: those above were finished before.  Call it before any
        tile."""
        self._top = rows

    def add(self, row: int, col: int, scores: Scores) -> None:
        """Add a tile's (classes, tile, tile); nothing is added to rows that are finished
        already."""
        grid = self.grid
        y, x = row * grid.stride - grid.lead, col * grid.stride - grid.lead
        down, along = _clip(y, grid.tile, grid.size.height), _clip(x, grid.tile, grid.size.width)
        down = slice(max(down.start, self._top - y), down.stop)
        if down.stop <= down.start or along.stop <= along.start:
            return
        weighted = np.multiply(
            scores[:, down, along], self._square[down, along], out=self._scratch[:, down, along]
        )
        across = _shift(along, x)
        self._settle(grid.begin(row + 1), across.start)
        self._sum(_shift(down, y), across, weighted)
        if row not in self._across:
            self._across[row] = np.zeros(grid.size.width, np.float32)
        self._across[row][across] += self._weights[along]

    def finish(self, end: int) -> Iterator[NDArray[Any]]:
        """The pixels of all rows above ``end``, in order and in pieces of (classes, rows, width):
        NaN, as ``kept`` makes it, where no tile was.

        No tile that reaches them may come after.
        """
        while self._top < end:
            rows = min(end - self._top, self._band.shape[1])
            self._settle(self._top + rows, self.grid.size.width)
            for first in range(0, rows, _PIECE):
                yield self._band[:, first : min(first + _PIECE, rows)].copy()
            self._top += rows
            self._move_band(rows)
            for row in [r for r in self._across if self._end(r) <= self._top]:
                del self._across[row]

    def _move_band(self, rows: int) -> None:
        """Move up by this number of rows; nothing is held once all is finished."""
        if self._top >= self.grid.size.height:
            self._band = self._band[:, :0].copy()
            return
        self._band[:, :-rows] = self._band[:, rows:]
        self._band[:, -rows:] = self._blank

    def _sum(self, down: slice, across: slice, weighted: Scores) -> None:
        for left in range(across.start // _STRIP * _STRIP, across.stop, _STRIP):
            right = min(left + _STRIP, self.grid.size.width)
            if left not in self._strips:
                nothing = np.zeros((len(weighted), 0, right - left), np.float32)
                self._strips[left] = _Strip(down.start, nothing)
            strip = self._strips[left]
            strip.reach(down.stop)
            part = slice(max(left, across.start), min(right, across.stop))
            strip.sums[:, _shift(down, -strip.top), _shift(part, -left)] += weighted[
                :, :, _shift(part, -across.start)
            ]

    def _settle(self, end: int, right: int) -> None:
        """What is summed above row ``end``, in strips that lie left of column ``right``."""
        for left, strip in list(self._strips.items()):
            _, held, width = strip.sums.shape
            rows = min(end - strip.top, held)
            if left + width > right or rows <= 0:
                continue
            here = slice(strip.top - self._top, strip.top - self._top + rows)
            self._band[:, here, left : left + width] = self._kept(self._divided(left, rows))
            strip.drop(rows)
            if not strip.sums.size:
                del self._strips[left]

    def _divided(self, left: int, rows: int) -> Scores:
        """Of the strip from column ``left`` on, this number of rows: divided by the weights that
        were there."""
        strip = self._strips[left]
        sums = strip.sums[:, :rows]
        width = sums.shape[2]
        weights = np.zeros((rows, width), np.float32)
        for row, across in self._across.items():
            first = row * self.grid.stride - self.grid.lead - strip.top
            here = _clip(-first, rows, self.grid.tile)
            along = across[left : left + width]
            weights[here] += np.outer(self._weights[_shift(here, -first)], along)
        out = np.full(sums.shape, np.nan, np.float32)
        return np.divide(sums, weights, out=out, where=weights > 0)

    def _end(self, row: int) -> int:
        return row * self.grid.stride - self.grid.lead + self.grid.tile


def _clip(start: int, length: int, limit: int) -> slice:
    """Of ``length`` from ``start`` on, what lies in 0 up to ``limit``, counted from ``start``."""
    return slice(max(0, -start), max(0, min(length, limit - start)))


def _shift(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)
