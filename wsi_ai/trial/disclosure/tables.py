"""Counts of the same cases, in all and by characteristic, as one system.

A breakdown has the overall table's axes and one more in front.  An item is a number that would be
published: a cell, or a total along one or more axes.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Places = tuple[int | None, ...]
"""Along each axis, a level or the total."""


@dataclass(frozen=True, slots=True, eq=False)
class Breakdown:
    """By one characteristic; levels, such as "not stated", cover every case."""

    name: str
    levels: tuple[str, ...]
    counts: Counts

    def __post_init__(self) -> None:
        if len(self.levels) != len(self.counts) or len(set(self.levels)) != len(self.levels):
            raise ValueError(f"the levels of {self.name} have a row each")


@dataclass(frozen=True, slots=True)
class Key:
    """Which number: of all cases, or of one level of a characteristic."""

    places: Places
    characteristic: str | None = None
    level: str | None = None


@dataclass(frozen=True, eq=False)
class System:
    """Everything that would be published about one set of cases."""

    overall: Counts
    breakdowns: tuple[Breakdown, ...] = ()

    def __post_init__(self) -> None:
        if self.overall.ndim < 1 or (self.overall < 0).any():
            raise ValueError("counts are 0 or more")
        for breakdown in self.breakdowns:
            counts = breakdown.counts
            if (counts < 0).any() or not np.array_equal(counts.sum(0), self.overall):
                raise ValueError(f"the levels of {breakdown.name} do not add up to all cases")
        if len({b.name for b in self.breakdowns}) != len(self.breakdowns):
            raise ValueError("each characteristic is there once")

    @cached_property
    def keys(self) -> tuple[Key, ...]:
        return tuple(key for table in self._tables() for key in table.keys.values())

    @cached_property
    def number(self) -> dict[Key, int]:
        return {key: k for k, key in enumerate(self.keys)}

    @cached_property
    def values(self) -> Counts:
        cells = np.concatenate([table.counts.ravel() for table in self._tables()])
        return np.asarray(self.matrix @ cells, np.int64)

    @cached_property
    def matrix(self) -> Counts:
        """Items by inner cells of all tables."""
        blocks = [table.matrix() for table in self._tables()]
        whole = np.zeros((len(self.keys), sum(b.shape[1] for b in blocks)), np.int64)
        row = column = 0
        for block in blocks:
            whole[row : row + len(block), column : column + block.shape[1]] = block
            row, column = row + len(block), column + block.shape[1]
        return whole

    @cached_property
    def links(self) -> Counts:
        """Rows that are 0: a characteristic's levels add up to the overall cell."""
        size = self.overall.size
        rows = np.zeros((size * len(self.breakdowns), self.matrix.shape[1]), np.int64)
        column = size
        for k, breakdown in enumerate(self.breakdowns):
            for cell in range(size):
                rows[k * size + cell, cell] = -1
                for level in range(len(breakdown.levels)):
                    rows[k * size + cell, column + level * size + cell] = 1
            column += breakdown.counts.size
        return rows

    @cached_property
    def lines(self) -> tuple[tuple[int, ...], ...]:
        """Items that add up to another one: along each axis, and over the levels."""
        found: list[tuple[int, ...]] = []
        for table in self._tables():
            found += [tuple(self.number[key] for key in line) for line in table.lines()]
        return tuple(found)

    def _tables(self) -> Iterator["_Table"]:
        yield _Table(self.overall, self.overall.shape, None, ("",))
        for breakdown in self.breakdowns:
            shape = self.overall.shape
            yield _Table(breakdown.counts, shape, breakdown.name, breakdown.levels)


@dataclass(frozen=True, eq=False)
class _Table:
    counts: Counts
    shape: tuple[int, ...]
    name: str | None
    levels: Sequence[str]

    @property
    def keys(self) -> dict[tuple[int, Places], Key]:
        of_axis = [(*range(length), None) for length in self.shape]
        found = {}
        for (k, level), places in itertools.product(
            enumerate(self.levels), itertools.product(*of_axis)
        ):
            found[k, places] = Key(places, self.name, level if self.name is not None else None)
        return found

    def matrix(self) -> Counts:
        cells = list(itertools.product(range(len(self.levels)), *map(range, self.shape)))
        rows = [
            [
                level == cell[0]
                and all(p is None or p == at for p, at in zip(places, cell[1:], strict=True))
                for cell in cells
            ]
            for level, places in self.keys
        ]
        return np.array(rows, np.int64)

    def lines(self) -> Iterator[list[Key]]:
        keys = self.keys
        for axis, length in enumerate(self.shape):
            for level, places in keys:
                if places[axis] is None:
                    yield [
                        keys[level, (*places[:axis], at, *places[axis + 1 :])]
                        for at in range(length)
                    ]
        if self.name is not None:
            for places in {places for _, places in keys}:
                yield [keys[level, places] for level in range(len(self.levels))]
