"""Which stored tile is decoded when, what is cut from it, and which of them are kept.  Pure.

The tiles of a plan come in batches, several of which are filled at a time: the buffers of the next
few are *open*.  A *job* takes one stored tile and copies its *pieces* to all tiles of open batches
that need them.  Where a batch beyond those needs the same stored tile, it is a *seam*: its pixels
are handed over to a later job, as long as not more of them than agreed wait at any time.  The seams
that would wait longest are given up, and decoded again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.geometry import Size

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Cut = tuple[slice, slice]
"""Where to, in a model's tile; where from, in a stored tile."""


@dataclass(frozen=True, slots=True)
class StoredGrid:
    """How one level is cut into stored tiles."""

    size: Size
    tile: Size

    @property
    def across(self) -> int:
        return -(-self.size.width // self.tile.width)


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Where the tiles of a plan lie on a level, in its pixels; all have the same ``size``."""

    x: Ints
    y: Ints
    size: Size

    def __len__(self) -> int:
        return len(self.x)

    def part(self, start: int, stop: int) -> "Placement":
        return Placement(self.x[start:stop], self.y[start:stop], self.size)


class Job(NamedTuple):
    """Copy the pieces ``first`` up to ``end`` from a stored tile into the tiles that they go to."""

    col: int
    row: int
    first: int
    end: int
    number: int
    """Position of the batch in this schedule, from 0."""
    giver: int
    """The job that hands the pixels over; negative where the tile is to be decoded."""
    kept: bool
    """A later job takes the pixels over."""

    @property
    def taken(self) -> bool:
        return self.giver >= 0


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """The jobs of some consecutive batches, in order.  Lists, because single items are taken."""

    jobs: list[Job]
    piece_tile: list[int]
    """For each piece, the tile of the placement that it goes to."""
    pieces_of: list[int]
    """For each tile of the placement, the number of pieces it is made of."""
    jobs_of: list[int]
    """For each batch, the number of jobs that begin with it; the others that it needs came
    earlier."""
    ragged: list[list[int]]
    """For each batch, its tiles that reach beyond the level."""
    seams: int
    """The most stored tiles that wait at any time."""


@dataclass(frozen=True, slots=True)
class Room:
    """Limits of what may be in the making at a time."""

    batch: int
    """Tiles in a batch."""
    ahead: int
    """Number of open batches: the one that is completed next, and those after it."""
    seams: int
    """The most stored tiles that may wait."""


def schedule(grid: StoredGrid, placement: Placement, room: Room) -> Schedule:
    """Plan each stored tile's decoding."""
    tile, stored = _pieces(grid, placement)
    order = np.lexsort((tile, stored))
    tile, stored = tile[order], stored[order]
    first = np.flatnonzero(_begins(stored, tile // room.batch, room.ahead))
    end = np.append(first[1:], len(tile))[: len(first)]
    todo = np.lexsort((tile[first], tile[first] // room.batch))  # tiles are finished one by one
    first, end = first[todo], end[todo]
    job_stored = stored[first]
    giver, kept, peak = _hand_over(job_stored, room.seams)
    row, col = np.divmod(job_stored, grid.across)
    columns = (col, row, first, end, np.arange(len(first)), giver, kept)
    batches = -(-len(placement) // room.batch)
    return Schedule(
        jobs=[Job(*job) for job in zip(*(c.tolist() for c in columns), strict=True)],
        piece_tile=tile.tolist(),
        pieces_of=np.bincount(tile, minlength=len(placement)).tolist(),
        jobs_of=np.bincount(tile[first] // room.batch, minlength=batches).tolist(),
        ragged=_ragged(grid, placement, room.batch),
        seams=peak,
    )


def _begins(stored: Ints, batch: Ints, ahead: int) -> Flags:
    """Of pieces by stored tile, then by batch: at which a job begins, for it reaches ``ahead``
    batches far."""
    begins: Flags = np.diff(stored, prepend=-1) != 0
    positions = np.arange(len(stored))
    while True:
        started = np.maximum.accumulate(np.where(begins, positions, 0))
        beyond = batch - batch[started] >= ahead
        fresh = beyond & ~np.append(False, beyond[:-1])
        if not fresh.any():
            return begins
        begins |= fresh


def reach(grid: StoredGrid, placement: Placement, batch: int) -> int:
    """The most consecutive batches that need the same stored tile."""
    tile, stored = _pieces(grid, placement)
    if not len(stored):
        return 1
    by_stored = np.argsort(stored, kind="stable")
    starts = np.unique(stored[by_stored], return_index=True)[1]
    of_batch = tile[by_stored] // batch
    spans = np.maximum.reduceat(of_batch, starts) - np.minimum.reduceat(of_batch, starts)
    return int(spans.max()) + 1


def most_under(grid: StoredGrid, size: Size) -> tuple[int, int]:
    """How many rows and columns of stored tiles a tile of a plan can touch."""
    return (size.height - 2) // grid.tile.height + 2, (size.width - 2) // grid.tile.width + 2


def cuts(grid: StoredGrid, placement: Placement) -> tuple[dict[int, dict[int, Cut]], ...]:
    """For rows and for columns: of a tile that starts at this pixel, what comes from which stored
    row (or column)."""
    down = _axis(placement.y, placement.size.height, grid.tile.height, grid.size.height)
    along = _axis(placement.x, placement.size.width, grid.tile.width, grid.size.width)
    return down, along


def _ragged(grid: StoredGrid, placement: Placement, batch_size: int) -> list[list[int]]:
    beyond = (placement.x < 0) | (placement.x + placement.size.width > grid.size.width)
    beyond |= (placement.y < 0) | (placement.y + placement.size.height > grid.size.height)
    starts = range(0, len(placement), batch_size)
    return [(np.flatnonzero(beyond[a : a + batch_size]) + a).tolist() for a in starts]


def _axis(starts: Ints, length: int, tile: int, limit: int) -> dict[int, dict[int, Cut]]:
    return {a: dict(_cuts_from(a, a + length, tile, limit)) for a in np.unique(starts).tolist()}


def _cuts_from(start: int, stop: int, tile: int, limit: int) -> Iterator[tuple[int, Cut]]:
    for t in range(max(start, 0) // tile, -(-min(stop, limit) // tile)):
        low, high = max(start, t * tile, 0), min(stop, (t + 1) * tile, limit)
        if low < high:
            yield t, (slice(low - start, high - start), slice(low - t * tile, high - t * tile))


def _pieces(grid: StoredGrid, placement: Placement) -> tuple[Ints, Ints]:
    """Every pair of a placed tile and a stored tile beneath it."""
    tiles, stored = [], []
    row0, col0 = placement.y // grid.tile.height, placement.x // grid.tile.width
    bottom = np.minimum(placement.y + placement.size.height, grid.size.height)
    right = np.minimum(placement.x + placement.size.width, grid.size.width)
    on_slide = (placement.y < bottom) & (placement.x < right)
    down, along = most_under(grid, placement.size)
    for i in range(down):
        for j in range(along):
            row, col = row0 + i, col0 + j
            inside = on_slide & (row >= 0) & (row * grid.tile.height < bottom)
            inside &= (col >= 0) & (col * grid.tile.width < right)
            n = np.flatnonzero(inside)
            tiles.append(n)
            stored.append((row * grid.across + col)[n])
    return np.concatenate(tiles), np.concatenate(stored)


def _hand_over(stored: Ints, most: int) -> tuple[Ints, Flags, int]:
    """(giver, kept, peak) of jobs in order; see ``Job``."""
    jobs = np.arange(len(stored))
    by_tile = np.lexsort((jobs, stored))
    again = np.flatnonzero(np.diff(stored[by_tile]) == 0)
    giver, taker = by_tile[again], by_tile[again + 1]
    horizon, peak = _horizon(giver, taker, len(stored), most)
    short = taker - giver <= horizon
    giver_of, kept = np.full(len(stored), -1), np.zeros(len(stored), np.bool_)
    kept[giver[short]] = True
    giver_of[taker[short]] = giver[short]
    return giver_of, kept, peak


def _horizon(giver: Ints, taker: Ints, jobs: int, most: int) -> tuple[int, int]:
    """The longest wait, in jobs, up to which seams are kept so that at most ``most`` wait at a
    time; and the number that then wait at most."""

    def peak(horizon: int) -> int:
        short = taker - giver <= horizon
        change = np.bincount(giver[short], minlength=jobs + 1)
        change -= np.bincount(taker[short], minlength=jobs + 1)
        return int(np.cumsum(change).max(initial=0))

    low, high = 0, jobs  # low is known to fit
    if peak(high) <= most:
        return high, peak(high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if peak(middle) <= most else (low, middle)
    return low, peak(low)
