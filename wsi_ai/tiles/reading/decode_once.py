"""Each stored tile is decoded once, in threads.

Workers take jobs (see ``schedule``) from one queue.  A worker decodes a stored tile into a buffer
that stays in its core's cache, and copies the pieces at once to wherever they go.  Where a stored
tile is a model's tile, it is decoded straight into its place.
"""

import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from wsi_ai.errors import TileUnreadable
from wsi_ai.tiles.reading.assembler import TileAssembler
from wsi_ai.tiles.reading.buffers import TileBuffers
from wsi_ai.tiles.reading.progress import Progress, WalkEnded
from wsi_ai.tiles.reading.schedule import Job, Placement, Room, StoredGrid, most_under, schedule
from wsi_ai.tiles.reading.seams import Seams

Image = NDArray[np.uint8]
Fetch = Callable[[int, int, Image], None]
"""Decodes the stored tile at a column and row into a whole, contiguous buffer.  Raises
TileUnreadable.  Threads share it."""
Work = tuple[TileAssembler, list[Job]]
Announce = Callable[[Iterator[tuple[int, int]]], None]
"""Is given the columns and rows of stored tiles that will be fetched, in order."""

_CHAPTER_TILES, _CHAPTER_PIECES = 8192, 1 << 17
"""Number of tiles, and of pieces, that are scheduled at a time, whatever the slide's size: they
limit the size of the schedule, and the wait for the first batch.  No seam crosses from one
assembler to the next."""

_JOBS_AT_A_TIME = 4
"""Number of jobs that a worker takes from the queue at once: each visit to the queue costs as much
as a small copy."""


class DecodeOnce:
    """One walk over one placement, whose tiles come in batches."""

    def __init__(
        self,
        fetch: Fetch,
        grid: StoredGrid,
        placement: Placement,
        room: Room,
        buffers: TileBuffers,
        announce: Announce | None = None,
    ) -> None:
        self._fetch, self._grid, self._buffers = fetch, grid, buffers
        self._announce = announce
        self._placement, self._room = placement, room
        self._progress = Progress(1)
        self._seams = Seams(grid.tile)
        self._pull = threading.Lock()
        self._chapters: dict[int, TileAssembler] = {}

    def batches(self, depth: int, threads: int) -> Iterator[dict[int, TileUnreadable]]:
        """One turn for each batch, in order: its tiles are in their places in the buffers, which
        have room for ``depth`` batches, and stay there until the next turn.

        Yields which tiles could not be read, and why.  Raises ValueError where the agreed room is
        more than that.
        """
        if depth <= self._room.ahead:
            raise ValueError(f"{depth} batches of room for {self._room.ahead} and the caller's")
        progress = self._progress = Progress(depth)

        def stop() -> None:
            progress.stop()
            self._seams.stop()

        work = self._work(progress)
        with ThreadPoolExecutor(threads, "decode") as pool:
            workers = [pool.submit(self._serve, work, progress) for _ in range(threads)]
            for worker in workers:
                worker.add_done_callback(lambda w: stop() if w.exception() else None)
            try:
                for batch in range(-(-len(self._placement) // self._room.batch)):
                    progress.take(batch)
                    yield self._lost_of(batch)
            except WalkEnded:
                for worker in workers:
                    worker.result()
            finally:
                stop()

    def span(self) -> tuple[float, float]:
        """For how long reading went on for this turn, ending now, on ``time.perf_counter()``."""
        return self._progress.span()

    def _work(self, progress: Progress) -> Iterator[Work]:
        """Yields jobs in order.  Before jobs that begin with a batch it waits for the buffers of
        all batches that they may reach; never between jobs that are handed out together."""
        length = self._chapter_length()
        for start in range(0, len(self._placement), length):
            part = self._placement.part(start, start + length)
            plan = schedule(self._grid, part, self._room)
            assembler = TileAssembler(plan, self._grid, part, self._buffers, start)
            if self._announce is not None:
                self._announce((job.col, job.row) for job in plan.jobs if not job.taken)
            jobs, opened = iter(plan.jobs), 0
            for i, count in enumerate(plan.jobs_of):
                for n in range(opened, min(i + self._room.ahead, len(plan.jobs_of))):
                    self._open(assembler, n, len(part), progress)
                    opened = n + 1
                for done in range(0, count, _JOBS_AT_A_TIME):
                    yield assembler, list(islice(jobs, min(_JOBS_AT_A_TIME, count - done)))

    def _open(self, assembler: TileAssembler, n: int, tiles: int, progress: Progress) -> None:
        """Batch ``n`` of an assembler of this number of tiles."""
        size = self._room.batch
        batch = assembler.start // size + n
        progress.wait_for_room(batch)
        self._chapters[batch] = assembler
        progress.begin(batch, min(size, tiles - n * size))
        progress.done(batch, assembler.whiten(n))

    def _chapter_length(self) -> int:
        """The number of tiles that are scheduled at a time: whole batches."""
        pieces = math.prod(most_under(self._grid, self._placement.size))
        tiles = min(_CHAPTER_TILES, _CHAPTER_PIECES // pieces)
        return max(1, tiles // self._room.batch) * self._room.batch

    def _lost_of(self, batch: int) -> dict[int, TileUnreadable]:
        lost = self._chapters.pop(batch).lost
        first = batch * self._room.batch
        return {t: lost[t] for t in range(first, first + self._room.batch) if t in lost}

    def _serve(self, work: Iterator[Work], progress: Progress) -> None:
        own = self._seams.spare()
        try:
            while (item := self._next(work)) is not None:
                assembler, jobs = item
                with progress.at_work():
                    for job in jobs:
                        completed, own = self._do(assembler, job, own)
                        for tile in completed:
                            progress.done(tile // self._room.batch, 1)
        except WalkEnded:
            return

    def _next(self, work: Iterator[Work]) -> Work | None:
        with self._pull:
            return next(work, None)

    def _do(self, assembler: TileAssembler, job: Job, own: Image) -> tuple[list[int], Image]:
        """Returns the tiles completed, and the buffer for the next job: ``own``, unless that was
        given away."""
        straight = assembler.straight(job)
        pixels = self._pixels(assembler, job, own if straight is None else straight)
        if isinstance(pixels, TileUnreadable):
            completed = assembler.lose(job, pixels)
        else:
            completed = assembler.paint(job, pixels if straight is None else None)
        if job.kept:
            self._seams.give((assembler.start, job.number), pixels)
            return completed, self._seams.spare() if pixels is own else own
        if job.taken and not isinstance(pixels, TileUnreadable):
            self._seams.recycle(pixels)
        return completed, own

    def _pixels(self, assembler: TileAssembler, job: Job, buffer: Image) -> Image | TileUnreadable:
        """Of the stored tile: in ``buffer``, or in the one that an earlier job hands over."""
        if job.taken:
            return self._seams.take((assembler.start, job.giver))
        try:
            self._fetch(job.col, job.row, buffer)
        except TileUnreadable as error:
            return error
        return buffer
