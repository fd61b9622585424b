"""Where tiles are said to lie, checked: two different tiles cannot share bytes of the file."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_BLANK_BYTES_PER_PX = 0.05
"""A repeated tile of no more is plain glass, which some writers store only once."""

Spans = tuple[Sequence[int], Sequence[int], int]
"""Of one level: offsets, counts, and pixels in a tile."""


def doubtful_tiles(levels: Sequence[Spans]) -> list[frozenset[int]]:
    """For each level the tiles that overlap others, of any level, or repeat one that is no glass.

    Tiles of no bytes are left aside.
    """
    starts = np.concatenate([np.asarray(offsets, np.float64) for offsets, _, _ in levels])
    counts = np.concatenate([np.asarray(counts, np.float64) for _, counts, _ in levels])
    most = np.concatenate(
        [np.full(len(o), _BLANK_BYTES_PER_PX * pixels) for o, _, pixels in levels]
    )
    bad = _clashing(starts, counts, most)
    ends = np.cumsum([len(offsets) for offsets, _, _ in levels])
    return [
        frozenset(np.flatnonzero(bad[end - len(level[0]) : end]).tolist())
        for end, level in zip(ends, levels, strict=True)
    ]


def _clashing(
    starts: NDArray[np.float64], counts: NDArray[np.float64], most: NDArray[np.float64]
) -> NDArray[np.bool_]:
    bad = np.zeros(len(starts), np.bool_)
    there = np.flatnonzero(counts > 0)
    order = there[np.lexsort((counts[there], starts[there]))]
    start, count = starts[order], counts[order]
    if not len(order):
        return bad
    same = (np.diff(start) == 0) & (np.diff(count) == 0)
    large = same & (count[1:] > most[order[1:]])
    bad[order[1:][large]] = bad[order[:-1][large]] = True
    reach = np.maximum.accumulate(start + count)
    owner = np.maximum.accumulate(np.where(start + count >= reach, np.arange(len(order)), 0))
    clash = (start[1:] < reach[:-1]) & ~same
    bad[order[1:][clash]] = bad[order[owner[:-1][clash]]] = True
    return bad
