"""Which stored tile lies in which slot of a pool, and for how long.  Pure.

A stored tile keeps its slot while a later batch needs it.  Where the pool is too small for that,
those go that were used last: a plan runs row by row, so they come again last.
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
_NEVER, _LATER = -1, np.iinfo(np.int32).max


@dataclass(frozen=True, slots=True, eq=False)
class Needs:
    """What a plan asks of a pool."""

    last_batch: NDArray[np.int32]
    """For each stored tile of the level, the last batch that needs it; negative: none does."""
    most_at_once: int
    """Stored tiles beneath one batch, at most."""
    most_kept: int
    """The same where each is kept until the last batch that needs it."""


def needs_of(grid: StoredGrid, place: Placement, batch: int) -> Needs:
    """Of a placement whose tiles come in batches of so many."""
    down = -(-grid.size.height // grid.tile.height)
    first = np.full(grid.across * down, _LATER, np.int32)
    last = np.full(grid.across * down, _NEVER, np.int32)
    most = 0
    step = max(1, _AT_ONCE // batch) * batch
    for start in range(0, len(place), step):
        under = cells_under(grid, place.part(start, start + step))
        number, cell = _pairs(under, start // batch, batch, len(last))
        most = max(most, int(np.bincount(number - start // batch).max(initial=0)))
        last[cell] = number  # in order: the last one stays
        fresh = first[cell] == _LATER
        first[cell[fresh][::-1]] = number[fresh][::-1]
    used, batches = last != _NEVER, -(-len(place) // batch)
    begun = np.cumsum(np.bincount(first[used], minlength=batches + 1))
    ended = np.cumsum(np.bincount(last[used] + 1, minlength=batches + 1))
    return Needs(last, most, int((begun - ended).max(initial=0)))


def _pairs(under: Ints, first: int, batch: int, cells: int) -> tuple[Ints, Ints]:
    """Each batch and each stored tile beneath it, once, by batch."""
    number = np.broadcast_to(first + np.arange(len(under))[:, None] // batch, under.shape)
    there = under != NO_CELL
    return np.divmod(np.unique(number[there] * cells + under[there]), cells)


class Slots:
    """Of a pool with so many; ``size`` is at least ``Needs.most_at_once``."""

    def __init__(self, size: int, needs: Needs) -> None:
        self._needs = needs
        self._slot_of = np.full(len(needs.last_batch), _NEVER, np.int32)
        self._cell_of = np.full(size, NO_CELL, np.int64)
        self._used_in = np.full(size, _NEVER, np.int64)

    def take(self, batch: int, cells: Ints) -> "Taken":
        """For a batch; ``cells`` are distinct and none is ``NO_CELL``."""
        slots = self._slot_of[cells]
        missing = slots == _NEVER
        fresh = self._free(batch, slots[~missing], int(missing.sum()))
        taken = Taken(cells[missing], fresh, self._used_in[fresh])
        self._slot_of[self._cell_of[fresh][self._cell_of[fresh] != NO_CELL]] = _NEVER
        self._cell_of[fresh], self._slot_of[taken.cells] = taken.cells, fresh
        self._used_in[self._slot_of[cells]] = batch
        return taken

    def of(self, cells: Ints) -> Ints:
        """Where these are."""
        return self._slot_of[cells].astype(np.int64)

    def _free(self, batch: int, held: Ints, count: int) -> Ints:
        """The longest idle first among those that no batch needs any more, then the last used."""
        if not count:
            return np.empty(0, np.int64)
        done = self._cell_of == NO_CELL
        done[~done] = self._needs.last_batch[self._cell_of[~done]] < batch
        found = np.flatnonzero(done)
        found = found[np.argsort(self._used_in[found], kind="stable")][:count]
        if len(found) < count:
            done[held] = True
            others = np.flatnonzero(~done)
            latest = others[np.argsort(-self._used_in[others], kind="stable")]
            found = np.concatenate([found, latest[: count - len(found)]])
        if len(found) < count:
            raise ValueError(f"no room for {count} stored tiles in {len(self._cell_of)} slots")
        return found


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
