"""Overlapping tiles of scores put together without a seam.  Pure.

Each tile is weighted by a tapered-cosine window (Tukey's; Harris 1978, Proc. IEEE 66, 51-83): zero
but for a trace along its edges, where a network sees too little, then rising as a squared sine to
one.  Where two neighbours overlap their weights add up to one, and everywhere the sum is divided by
the weights that were really there: whatever a pixel was covered by, tiles that agree give what they
agree on.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_ai.geometry import Size

Scores = NDArray[np.float32]
_PIECE = 64
"""Rows of pixels that are finished at once, at most."""
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
    """Along a tile's edges, not to be trusted where another tile covers them."""

    def begin(self, row: int) -> int:
        """The first row of pixels that tiles of this row reach; none before is theirs."""
        return min(max(row * self.stride - self.lead, 0), self.size.height)


def window(grid: DenseGrid) -> NDArray[np.float32]:
    """(tile,) the weights along one axis; a tile's are the products of two."""
    overlap = min(grid.tile - grid.stride, grid.tile // 2)
    if overlap == 0:
        return np.ones(grid.tile, np.float32)
    ramp = max(1, overlap - 2 * grid.margin)
    inwards = np.arange(grid.tile) + 0.5
    depth = np.minimum(inwards, inwards[::-1])
    risen = np.clip((depth - (overlap - ramp) / 2) / ramp, 0, 1)
    weights: Scores = np.maximum(np.sin(math.pi / 2 * risen) ** 2, _TRACE).astype(np.float32)
    return weights


class Blender:
    """Takes tiles row by row and gives finished rows of pixels; holds one row of tiles' height.

    Rows of pixels are finished in order, each once.
    """

    def __init__(self, grid: DenseGrid, classes: int) -> None:
        self.grid, self._top = grid, 0
        self._weights = window(grid)
        self._square = np.outer(self._weights, self._weights)
        self._scratch = np.empty((classes, grid.tile, grid.tile), np.float32)
        self._sums = np.zeros((classes, grid.tile, grid.size.width), np.float32)
        self._across: dict[int, NDArray[np.float32]] = {}
        """For each row of tiles at work, the weights of its tiles summed along x."""

    @property
    def top(self) -> int:
        """The first row of pixels that is not finished."""
        return self._top

    def skip(self, rows: int) -> None:
        """Go on from this row of pixels: those above were finished before.  Before any tile."""
        self._top = rows

    def add(self, row: int, col: int, scores: Scores) -> None:
        """A tile's (classes, tile, tile); of rows that are finished already nothing is taken."""
        grid = self.grid
        y, x = row * grid.stride - grid.lead, col * grid.stride - grid.lead
        down, along = _clip(y, grid.tile, grid.size.height), _clip(x, grid.tile, grid.size.width)
        down = slice(max(down.start, self._top - y), down.stop)
        if down.stop <= down.start or along.stop <= along.start:
            return
        weighted = np.multiply(
            scores[:, down, along], self._square[down, along], out=self._scratch[:, down, along]
        )
        across = slice(x + along.start, x + along.stop)
        self._sums[:, y + down.start - self._top : y + down.stop - self._top, across] += weighted
        if row not in self._across:
            self._across[row] = np.zeros(grid.size.width, np.float32)
        self._across[row][across] += self._weights[along]

    def finish(self, end: int) -> Iterator[Scores]:
        """The pixels of all rows above ``end``, in order and in pieces of (classes, rows, width):
        NaN where no tile was.  No tile that reaches them may come after."""
        while self._top < end:
            rows = min(end - self._top, self.grid.tile)
            for first in range(0, rows, _PIECE):
                yield self._finished(first, min(first + _PIECE, rows))
            self._sums[:, : self.grid.tile - rows] = self._sums[:, rows:]
            self._sums[:, self.grid.tile - rows :] = 0
            self._top += rows
            for row in [r for r in self._across if self._end(r) <= self._top]:
                del self._across[row]

    def _finished(self, start: int, stop: int) -> Scores:
        """Of the rows that are held."""
        shape = (stop - start, self.grid.size.width)
        if not self._across:
            return np.full((len(self._sums), *shape), np.nan, np.float32)
        weights = np.zeros(shape, np.float32)
        for row, across in self._across.items():
            first = row * self.grid.stride - self.grid.lead - self._top - start
            here = _clip(-first, stop - start, self.grid.tile)
            weights[here] += np.outer(self._weights[_shift(here, -first)], across)
        out = np.full((len(self._sums), *shape), np.nan, np.float32)
        return np.divide(self._sums[:, start:stop], weights, out=out, where=weights > 0)

    def _end(self, row: int) -> int:
        return row * self.grid.stride - self.grid.lead + self.grid.tile


def _clip(start: int, length: int, limit: int) -> slice:
    """Of ``length`` from ``start`` on, what lies in 0 up to ``limit``, counted from ``start``."""
    return slice(max(0, -start), max(0, min(length, limit - start)))


def _shift(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)
