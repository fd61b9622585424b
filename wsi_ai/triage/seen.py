"""The scores that a rule looks at, some rows at a time: of a large slide they are never held whole.
Pure."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.values import Heatmap, Mask, bands

Scores = NDArray[np.floating[Any]]


class ScoreRows(Protocol):
    """(rows, cols) of scores: an array, or what makes some rows of one when it is asked for
    them."""

    def __len__(self) -> int: ...
    def __getitem__(self, rows: slice, /) -> Scores: ...


@dataclass(frozen=True, slots=True, eq=False)
class SeenRows:
    """Of the layer that a heatmap is judged by; NaN where some class has no score."""

    heatmap: Heatmap

    def __len__(self) -> int:
        return len(self.heatmap.planned)

    def __getitem__(self, rows: slice, /) -> Scores:
        return self.heatmap.known_rows(rows)


@dataclass(frozen=True, slots=True, eq=False)
class BestRows:
    """The same, with the highest score in each planned cell that has none."""

    seen: ScoreRows
    planned: Mask

    def __len__(self) -> int:
        return len(self.seen)

    def __getitem__(self, rows: slice, /) -> Scores:
        part = self.seen[rows]
        return np.where(self.planned[rows] & ~np.isfinite(part), 1.0, part)


def highest(scores: ScoreRows, n: int) -> Scores:
    """The ``n`` highest, or as many as there are, in no order."""
    best: Scores | None = None
    for rows in bands(len(scores)):
        part = scores[rows]
        part = part[np.isfinite(part)]
        best = part if best is None else np.concatenate([best, part])
        if len(best) > n:
            best = np.partition(best, -n)[-n:]
    return np.empty(0) if best is None else best


def finite(scores: ScoreRows) -> Scores:
    """All that there are, row by row."""
    parts = (scores[rows] for rows in bands(len(scores)))
    found = [part[np.isfinite(part)] for part in parts]
    return np.concatenate(found) if found else np.empty(0)


def reaching(scores: ScoreRows, threshold: float) -> Mask:
    """(rows, cols): where a score is the threshold or more; NaN is not.  Compared in double
    precision."""
    parts = [scores[rows] >= np.float64(threshold) for rows in bands(len(scores))]
    return np.concatenate(parts) if parts else np.zeros((0, 0), np.bool_)
