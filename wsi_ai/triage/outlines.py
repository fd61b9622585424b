"""The outlines of a connected region of cells, traced along the cells' edges.  Pure.

A region is looked at some rows at a time.  All that is kept of it is the upright edges of its
cells, some 20 bytes for each.
"""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.values import Mask

Ints = NDArray[np.int32]
_LINES = 64
"""Number of lines between rows whose edges are joined at once."""


def trace_outlines(strips: Iterable[Mask]) -> list[Ints]:
    """The outlines of one region whose cells share edges, as (corners, 2): x and y, counted in
    cells; the first corner is not repeated.  The outer one comes first.

    ``strips`` are (rows, cols) of all rows of the region, from the top.  There is a corner at both
    ends of each upright edge of a cell.  Where two cells of the region touch by a corner only, what
    lies outside is not joined across it: so no outline touches itself, and together they are a
    valid polygon.  Order and beginnings are those of GEOS's normal form, ``Geometry::normalize``.
    """
    edges = _edges_of(strips)
    following = _following(edges)
    outer, *holes = (_from_the_left(edges.corners(ring)) for ring in _cycles(following))
    return [outer, *sorted(holes, key=lambda ring: (len(ring), *ring[0].tolist()), reverse=True)]


@dataclass(frozen=True, slots=True, eq=False)
class _Edges:
    """The upright edges of a region's cells, row by row from the left.  Even ones have the region
    on their right and go down, odd ones have it on their left and go up."""

    rows: Ints
    cols: Ints

    def __len__(self) -> int:
        return len(self.rows)

    def in_rows(self, first: int, end: int) -> NDArray[np.int64]:
        """The numbers of the edges in these rows."""
        return np.arange(*np.searchsorted(self.rows, (first, end)))

    def corners(self, ring: Ints) -> Ints:
        """Both ends of each edge; but one corner only where the next edge goes on straight."""
        x, up = self.cols[ring], ring % 2
        begin, end = self.rows[ring] + up, self.rows[ring] + 1 - up
        both = np.stack([x, begin, x, end], axis=1).reshape(-1, 2)
        new = np.ones(len(both), np.bool_)
        new[::2] = (both[::2] != np.roll(both[1::2], 1, axis=0)).any(axis=1)
        return both[new]


def _edges_of(strips: Iterable[Mask]) -> _Edges:
    rows, cols, top = list[Ints](), list[Ints](), 0
    for strip in strips:
        framed = np.pad(strip, ((0, 0), (1, 1)))
        row, col = np.nonzero(framed[:, 1:] != framed[:, :-1])
        rows.append((row + top).astype(np.int32))
        cols.append(col.astype(np.int32))
        top += len(strip)
    return _Edges(np.concatenate(rows), np.concatenate(cols))


def _following(edges: _Edges) -> Ints:
    """The edge that comes next on the same outline, of each."""
    following = np.empty(len(edges), np.int32)
    for first in range(0, int(edges.rows[-1]) + 2, _LINES):
        _join(edges, first, first + _LINES, following)
    return following


def _join(edges: _Edges, first: int, end: int, following: Ints) -> None:
    """At each of these lines, edges below it begin or end, and edges above it.  From left to right,
    the first is joined to the second, the third to the fourth: between them the line is a border of
    the region.  Of two at one place the one that goes down comes first, which keeps apart what lies
    outside on both sides of it."""
    below, above = edges.in_rows(first, end), edges.in_rows(first - 1, end - 1)
    number = np.concatenate([below, above])
    line = np.concatenate([edges.rows[below], edges.rows[above] + 1]).astype(np.int64)
    up = number % 2
    order = np.lexsort((up, edges.cols[number], line))
    leaves = (up == 0) == (np.arange(len(number)) >= len(below))
    number, leaves = number[order].reshape(-1, 2), leaves[order].reshape(-1, 2)
    following[number[leaves]] = number[~leaves]


def _cycles(following: Ints) -> Iterator[Ints]:
    """In the order of their first edges."""
    seen, onward = bytearray(len(following)), memoryview(following.data)
    first = 0
    while first >= 0:
        ring, edge = array("i"), first
        while not seen[edge]:
            seen[edge] = 1
            ring.append(edge)
            edge = onward[edge]
        yield np.frombuffer(ring, np.int32)
        first = seen.find(0, first)


def _from_the_left(ring: Ints) -> Ints:
    """Beginning at the corner that is furthest to the left, and of these at the top."""
    first = int(np.lexsort((ring[:, 1], ring[:, 0]))[0])
    return np.roll(ring, -first, axis=0)
