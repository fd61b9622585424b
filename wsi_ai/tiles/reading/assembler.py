"""Assembles model tiles from stored tiles: some consecutive batches, as their schedule says."""

import threading

import numpy as np
from numpy.typing import NDArray

from wsi_ai.errors import TileUnreadable
from wsi_ai.tiles.reading.buffers import TileBuffers
from wsi_ai.tiles.reading.schedule import Cut, Job, Placement, Schedule, StoredGrid, cuts

Image = NDArray[np.uint8]


class TileAssembler:
    """From stored tiles to the buffers.  Threads share it, each working on another job."""

    def __init__(
        self,
        schedule: Schedule,
        grid: StoredGrid,
        part: Placement,
        buffers: TileBuffers,
        start: int,
    ) -> None:
        self.schedule = schedule
        self.lost: dict[int, TileUnreadable] = {}
        """Indexed by position in the whole placement."""
        self.start = start
        self._buffers = buffers
        self._x, self._y = part.x.tolist(), part.y.tolist()
        self._rows, self._cols = cuts(grid, part)
        self._across = grid.size.width // grid.tile.width
        self._down = grid.size.height // grid.tile.height
        self._coincide = grid.tile == part.size and not (
            (part.x % grid.tile.width).any() or (part.y % grid.tile.height).any()
        )
        self._left = list(schedule.pieces_of)
        self._lock = threading.Lock()

    def whiten(self, batch: int) -> int:
        """Make white what lies outside the slide.  Call it before a job that has a piece for the
        batch.

        Returns the number of its tiles that are finished by that.
        """
        finished = 0
        for tile in self.schedule.ragged[batch]:
            self._buffers.place(self.start + tile)[...] = 255
            if not self._left[tile]:
                self._buffers.finish(self.start + tile)
                finished += 1
        return finished

    def straight(self, job: Job) -> Image | None:
        """Where to decode the stored tile to, if it is exactly what one tile wants and no other
        wants it."""
        if not self._coincide or job.end - job.first != 1 or job.taken or job.kept:
            return None
        if job.col >= self._across or job.row >= self._down:  # filled up beyond the level's rim
            return None
        return self._buffers.place(self.start + self.schedule.piece_tile[job.first])

    def paint(self, job: Job, pixels: Image | None) -> list[int]:
        """Copy the job's pieces out of ``pixels``; ``None`` where they were decoded into place.

        Returns the tiles, of the whole placement, that are finished or lost by that.
        """
        tiles = self.schedule.piece_tile[job.first : job.end]
        if pixels is not None:
            for tile in tiles:
                (to_y, from_y), (to_x, from_x) = self._cuts(tile, job)
                self._buffers.place(self.start + tile)[to_y, to_x] = pixels[from_y, from_x]
        completed = self._completed(tiles)
        for tile in completed:
            if tile in self.lost:
                self._buffers.drop(tile)
            else:
                self._buffers.finish(tile)
        return completed

    def lose(self, job: Job, error: TileUnreadable) -> list[int]:
        """The stored tile cannot be decoded, so no tile that needs it can be read.  Returns as
        ``paint`` does."""
        with self._lock:
            for tile in self.schedule.piece_tile[job.first : job.end]:
                self.lost[self.start + tile] = error
        return self.paint(job, None)

    def _cuts(self, tile: int, job: Job) -> tuple[Cut, Cut]:
        return self._rows[self._y[tile]][job.row], self._cols[self._x[tile]][job.col]

    def _completed(self, tiles: list[int]) -> list[int]:
        with self._lock:
            for tile in tiles:
                self._left[tile] -= 1
            return [self.start + tile for tile in tiles if not self._left[tile]]
