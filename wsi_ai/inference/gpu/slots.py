"""Which stored tile lies in which slot of a pool, and for how long.  Pure.

A stored tile keeps its slot until the next batch that needs it, if that comes soon: how soon is
chosen so that the pool has room for all that wait.  The others are decoded again.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_ai.inference.gpu.cutting import NO_CELL, NOTHING, CutPlan, Ints, cells_under
from wsi_ai.tiles.reading.schedule import Placement, StoredGrid

Flags = NDArray[np.bool_]
_AT_ONCE = 8192
"""Tiles that are looked through at a time, whatever the slide's size."""
_NEVER = -1


@dataclass(frozen=True, slots=True, eq=False)
class Needs:
    """What a plan asks of a pool: which stored tiles lie beneath which batch."""

    cells: Ints
    """Each once for each batch, batch by batch, in order."""
    starts: Ints
    """Where a batch's begin; one more, for the end."""
    next_batch: Ints
    """For each of ``cells``, the next batch that needs it; ``_NEVER`` where none does."""
    level: int
    """Stored tiles of the whole level."""

    @property
    def most_at_once(self) -> int:
        """Stored tiles beneath one batch, at most."""
        return int(np.diff(self.starts).max(initial=0))

    @property
    def batch(self) -> Ints:
        """For each of ``cells``, the batch that needs it."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def kept_until(self, size: int) -> Ints:
        """For each of ``cells``, up to which batch it is kept so that at most ``size`` of them lie
        in the pool at any time."""
        batch, gap = (
            self.batch,
            np.where(self.next_batch == _NEVER, 0, self.next_batch - self.batch),
        )
        low, high = 0, int(gap.max(initial=0))  # low is known to fit
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (
                (middle, high) if self._peak(batch, gap, middle) <= size else (low, middle - 1)
            )
        return np.where(gap <= low, batch + gap, batch)

    def _peak(self, batch: Ints, gap: Ints, furthest: int) -> int:
        """How many lie in the pool at once, where those wait whose next batch is so near."""
        waits, last = (gap > 0) & (gap <= furthest), len(self.starts)
        change = np.bincount(batch[waits] + 1, minlength=last + 1)
        change -= np.bincount((batch + gap)[waits], minlength=last + 1)
        return int((np.diff(self.starts) + np.cumsum(change)[: last - 1]).max(initial=0))


def needs_of(grid: StoredGrid, place: Placement, batch: int) -> Needs:
    """Of a placement whose tiles come in batches of ``batch``."""
    level = grid.across * -(-grid.size.height // grid.tile.height)
    step, found = max(1, _AT_ONCE // batch) * batch, [np.empty(0, np.int64)]
    for start in range(0, len(place), step):
        under = cells_under(grid, place.part(start, start + step))
        number = np.broadcast_to((start + np.arange(len(under)))[:, None] // batch, under.shape)
        there = under != NO_CELL
        found.append(np.unique(number[there] * level + under[there]))
    number, cells = np.divmod(np.concatenate(found), level)
    starts = np.searchsorted(number, np.arange(-(-len(place) // batch) + 1))
    order = np.argsort(cells, kind="stable")
    again = np.flatnonzero(np.diff(cells[order]) == 0)
    later = np.full(len(cells), _NEVER)
    later[order[again]] = number[order[again + 1]]
    return Needs(cells, starts, later, level)


class Slots:
    """Of a pool of ``size``, at least ``Needs.most_at_once``."""

    def __init__(self, size: int, needs: Needs) -> None:
        self._needs, self._until = needs, needs.kept_until(size)
        self._slot_of = np.full(needs.level, _NEVER, np.int64)
        self._cell_of = np.full(size, NO_CELL, np.int64)
        self._kept_until = np.full(size, _NEVER, np.int64)
        self._used_in = np.full(size, _NEVER, np.int64)

    def take(self, batch: int) -> "Taken":
        """For the next batch; the one whose number is one more than the last's."""
        part = slice(*self._needs.starts[batch : batch + 2])
        cells = self._needs.cells[part]
        missing = self._slot_of[cells] == _NEVER
        self._kept_until[self._slot_of[cells[~missing]]] = batch  # some that nobody waited for
        fresh = self._free(batch, int(missing.sum()))
        taken = Taken(cells[missing], fresh, self._used_in[fresh])
        before = self._cell_of[fresh]
        self._slot_of[before[before != NO_CELL]] = _NEVER
        self._cell_of[fresh], self._slot_of[taken.cells] = taken.cells, fresh
        slots = self._slot_of[cells]
        self._kept_until[slots], self._used_in[slots] = self._until[part], batch
        return taken

    def of(self, cells: Ints) -> Ints:
        """Where these are."""
        return self._slot_of[cells]

    def _free(self, batch: int, count: int) -> Ints:
        """Those that nobody waits for, the longest idle first."""
        idle = np.flatnonzero(self._kept_until < batch)
        if len(idle) < count:
            raise ValueError(f"no room for {count} stored tiles: {len(idle)} slots are idle")
        return idle[np.argsort(self._used_in[idle], kind="stable")][:count]


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """Stored tiles that are to be decoded, and where to."""

    cells: Ints
    slots: Ints
    used_in: Ints
    """The last batch that read what was in the slot before; negative: none did."""

    def readers(self) -> list[int]:
        """Batches whose reading must have ended before these slots are written."""
        return [int(batch) for batch in np.unique(self.used_in) if batch != _NEVER]


def offsets(plan: CutPlan, under: Ints, slots: Slots, blank: Flags) -> Ints:
    """(tiles, rows * cols): bytes from the pool's beginning; ``NOTHING`` where it is white."""
    flat = under.ravel()
    known = flat != NO_CELL
    known[known] = ~blank[flat[known]]
    at = np.full(len(flat), NOTHING, np.int64)
    at[known] = slots.of(flat[known]) * plan.tile_bytes
    return at.reshape(under.shape)


def parts(place: Placement, batch: int) -> Iterator[tuple[int, Placement]]:
    """Batches of a placement, each with its number."""
    for number, start in enumerate(range(0, len(place), batch)):
        yield number, place.part(start, start + batch)
