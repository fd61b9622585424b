"""A dense map averaged to the cells that a rule looks at."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.values import Mask
from wsi_ai.errors import OutputError, disk_errors
from wsi_ai.heatmaps.dense_rows import Stored, score_of

_BAND = 64
"""Number of rows of cells."""
CELL_UM = 16.0
"""About two nuclei across: fine enough to measure an area, coarse enough for rules to be fast on a
whole slide."""


def cell_side(um_per_px: float) -> int:
    """Number of pixels along a cell: the power of two that comes nearest to ``CELL_UM``."""
    return 1 << max(0, round(math.log2(CELL_UM / um_per_px)))


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """The part of a dense map that was to be assessed."""

    squares: Mask
    """One for each square of ``stride`` pixels."""
    stride: int
    tissue: Mask | None


class StoredLayers:
    """``values.Layers`` in a file, filled from the top; NaN below.  Each is read when asked for."""

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        self.shape, self._path, self._rows = shape, path, 0
        with disk_errors():
            path.write_bytes(b"")

    def append(self, rows: NDArray[np.float32]) -> None:
        """The next (classes, rows, cols)."""
        with disk_errors(), self._path.open("r+b") as file:
            for layer, part in enumerate(rows):
                file.seek(self._place(layer) + self._rows * self._row_bytes)
                file.write(part.tobytes())
        self._rows += rows.shape[1]

    def __len__(self) -> int:
        """The layers.  NumPy recognises a sequence by this method, and makes an array of it."""
        return self.shape[0]

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (self[layer] for layer in range(self.shape[0]))

    def __getitem__(self, asked: int | tuple[int, slice]) -> NDArray[np.float32]:
        """(rows, cols), yours.  Raises OutputError where the disk refuses."""
        layer, part = (asked, slice(None)) if isinstance(asked, int) else asked
        if not 0 <= layer < self.shape[0]:
            raise IndexError(f"there is no layer {layer} of {self.shape[0]}")
        top, end, _ = part.indices(self.shape[1])
        found = np.full((end - top, self.shape[2]), np.nan, np.float32)
        self._read(layer, top, found[: max(0, self._rows - top)])
        return found

    def bands(self) -> Iterator[NDArray[np.float32]]:
        """(classes, rows, cols) of all that is filled, some rows at a time from the top."""
        for top in range(0, self._rows, _BAND):
            rows = min(_BAND, self._rows - top)
            band = np.empty((self.shape[0], rows, self.shape[2]), np.float32)
            for layer, into in enumerate(band):
                self._read(layer, top, into)
            yield band

    def _read(self, layer: int, top: int, into: NDArray[np.float32]) -> None:
        with disk_errors(), self._path.open("rb") as file:
            file.seek(self._place(layer) + top * self._row_bytes)
            if file.readinto(into.data) != into.nbytes:
                raise OutputError("what was kept of the slide's cells is cut short; run it again")

    @property
    def _row_bytes(self) -> int:
        return self.shape[2] * np.dtype(np.float32).itemsize

    def _place(self, layer: int) -> int:
        return layer * self.shape[1] * self._row_bytes


class Cells:
    """Takes a dense map's rows from the top, and fills one row of cells after the other."""

    def __init__(
        self, path: Path, shape: tuple[int, int, int], side: int, wanted: "Wanted"
    ) -> None:
        """Kept as a new file at ``path``.  Raises OutputError where the disk refuses."""
        classes, height, width = shape
        self._side, self._height = side, height
        grid = math.ceil(height / side), math.ceil(width / side)
        self._wanted, planned = wanted.squares, wanted.squares
        self._rows = np.minimum(np.arange(height) // wanted.stride, planned.shape[0] - 1)
        self._cols = np.minimum(np.arange(width) // wanted.stride, planned.shape[1] - 1)
        middles = [
            np.minimum(np.arange(n) * side + side // 2, m - 1)
            for n, m in zip(grid, (height, width), strict=True)
        ]
        self.planned: Mask = planned[self._rows[middles[0]]][:, self._cols[middles[1]]]
        """(rows, cols) of cells: true where the middle was to be assessed and lies on tissue."""
        if (tissue := wanted.tissue) is not None:
            down, along = (
                middle * side_of // whole
                for middle, side_of, whole in zip(
                    middles, tissue.shape, (height, width), strict=True
                )
            )
            self.planned = self.planned & tissue[down][:, along]
        self.scores = StoredLayers(path, (classes, *grid))
        self._top = 0
        self._waiting = np.empty((classes, 0, width), np.uint8)

    def add(self, rows: Stored) -> None:
        """Add the next (classes, rows, width).  A cell is filled once all of it is there."""
        here = np.concatenate([self._waiting, rows], axis=1)
        last = self._top + here.shape[1] == self._height
        whole = here.shape[1] if last else here.shape[1] // self._side * self._side
        if whole:
            self._fill(here[:, :whole])
            self._top += whole
        self._waiting = here[:, whole:].copy()

    def _fill(self, rows: Stored) -> None:
        """A cell is the mean of what was assessed in it, and NaN where something was to be
        assessed and could not be."""
        first, count = self._top // self._side, math.ceil(rows.shape[1] / self._side)
        wanted = self._wanted[self._rows[self._top : self._top + rows.shape[1]]][:, self._cols]
        seen = rows[0] > 0
        n = self._summed(seen)
        lost = self._summed(wanted & ~seen) > 0
        empty = lost | (n == 0) | ~self.planned[first : first + count]
        means = [score_of(self._summed(values) / np.maximum(n, 1)) for values in rows]
        self.scores.append(np.where(empty, np.nan, means).astype(np.float32))

    def _summed(self, values: NDArray[np.uint8] | Mask) -> NDArray[np.uint32]:
        """The sum over each cell."""
        along = np.add.reduceat(
            values, np.arange(0, values.shape[1], self._side), axis=1, dtype=np.uint32
        )
        return np.asarray(np.add.reduceat(along, np.arange(0, len(values), self._side), axis=0))
