"""When a heatmap speaks for an urgent look.  Pure.

A rule gives a slide's score: the highest threshold at which it would be met.  So it is met exactly
when its score reaches the threshold, and it never falls where a tile's score rises: rules are
monotone in evidence, which is why a rule that is met early stays met.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.values import Mask

Layer = NDArray[np.float64]
Scores = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Spots:
    """Objects of the positive class."""

    scores: Layer
    """(spots,)."""
    at_mm: Layer
    """(spots, 2): x and y on the glass."""

    def reaching(self, threshold: float) -> "Spots":
        high = self.scores >= threshold
        return Spots(self.scores[high], self.at_mm[high])


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Scores of the positive class on the slide's grid, and its objects where they are counted."""

    scores: Scores
    """(rows, cols); 0 or more where there is a score, NaN where there is none."""
    planned: Mask
    cell_mm2: float
    spots: Spots | None = None
    """Where objects are counted."""
    missed_spots: int = 0
    """So many could be, at most, in the planned cells that have no score."""
    cell_name: str = "tile"
    slide_score: float | None = None
    """What a model that judges slides as a whole says of this one; NaN where it cannot say."""
    assumed_spots: int = 0
    """So many are taken to be there beside ``spots``, as sure as can be and wherever they matter
    most."""

    def at_best(self) -> "Evidence":
        """As if every planned tile that was not seen were as positive as can be."""
        scores = np.where(self.planned & np.isnan(self.scores), 1.0, self.scores)
        return replace(
            self,
            scores=scores,
            assumed_spots=self.missed_spots,
            slide_score=self._slide_at_best(),
        )

    def _slide_at_best(self) -> float | None:
        """Nobody knows what a whole says with one part more, so anything is possible."""
        if self.slide_score is None:
            return None
        known = math.isfinite(self.slide_score) and not np.any(np.isnan(self.scores[self.planned]))
        return self.slide_score if known else 1.0


class Rule(Protocol):
    """Monotone: more score, or a score where there was none, never gives a lower score."""

    def score(self, evidence: Evidence) -> float:
        """The highest threshold at which the rule is met; 0 where it is at none."""
        ...

    def explanation(self, evidence: Evidence, threshold: float, label: str) -> str:
        """What was found beside what is asked for, as a clause that a pathologist understands."""
        ...


@dataclass(frozen=True, slots=True)
class Area:
    """So much tissue scores the threshold or more; on a small specimen, so large a share of it.

    Connected regions (cells sharing an edge) smaller than ``smallest_region_mm2`` do not count.
    """

    area_mm2: float = 0.5
    tissue_share: float = 0.25
    smallest_region_mm2: float = 0.0

    def __post_init__(self) -> None:
        if not (self.area_mm2 > 0 and 0 < self.tissue_share <= 1 and self.smallest_region_mm2 >= 0):
            raise ValueError(f"an area is positive and a share in (0, 1], got {self}")

    def cells_needed(self, evidence: Evidence) -> int:
        """Fixed by the plan, not by what was seen."""
        by_area = _cells(self.area_mm2, evidence.cell_mm2)
        by_share = math.ceil(round(self.tissue_share * int(evidence.planned.sum()), 6))
        return max(1, min(by_area, by_share))

    def score(self, evidence: Evidence) -> float:
        needed, smallest = self.cells_needed(evidence), self._smallest(evidence)
        if smallest <= 1:
            return _nth_highest(evidence.scores, needed)
        return _highest(evidence.scores, lambda t: self._counted(evidence, t) >= needed)

    def explanation(self, evidence: Evidence, threshold: float, label: str) -> str:
        found = self._counted(evidence, threshold) * evidence.cell_mm2
        asked = self.cells_needed(evidence) * evidence.cell_mm2
        return (
            f"{found:.2f} mm² of tissue look like {label} ({evidence.cell_name} score"
            f" {threshold:.2f} or more);"
            f" the rule asks for {asked:.2f} mm²"
        )

    def _smallest(self, evidence: Evidence) -> int:
        return _cells(self.smallest_region_mm2, evidence.cell_mm2)

    def _counted(self, evidence: Evidence, threshold: float) -> int:
        """Positive cells in regions that are large enough."""
        positive = reaching(evidence.scores, threshold)
        smallest = min(self._smallest(evidence), self.cells_needed(evidence))
        stats = cv2.connectedComponentsWithStats(positive.astype(np.uint8), connectivity=4)[2]
        sizes = stats[1:, cv2.CC_STAT_AREA]
        return int(sizes[sizes >= smallest].sum())


@dataclass(frozen=True, slots=True)
class Tiles:
    """So many tiles score the threshold or more."""

    tiles: int

    def __post_init__(self) -> None:
        if self.tiles < 1:
            raise ValueError(f"a rule asks for 1 tile or more, got {self.tiles}")

    def score(self, evidence: Evidence) -> float:
        return _nth_highest(evidence.scores, self.tiles)

    def explanation(self, evidence: Evidence, threshold: float, label: str) -> str:
        found = int(reaching(evidence.scores, threshold).sum())
        return (
            f"{found} {evidence.cell_name}s look like {label} (score {threshold:.2f} or more);"
            f" the rule asks for {self.tiles}"
        )


@dataclass(frozen=True, slots=True)
class TopMean:
    """The highest tiles reach the threshold on average; what is missing of them counts as 0."""

    top_tiles: int

    def __post_init__(self) -> None:
        if self.top_tiles < 1:
            raise ValueError(f"a rule looks at 1 tile or more, got {self.top_tiles}")

    def score(self, evidence: Evidence) -> float:
        seen = np.sort(evidence.scores[np.isfinite(evidence.scores)])[-self.top_tiles :]
        return math.fsum(seen.tolist()) / self.top_tiles

    def explanation(self, evidence: Evidence, threshold: float, label: str) -> str:
        return (
            f"the {self.top_tiles} {evidence.cell_name}s most like {label} score"
            f" {self.score(evidence):.2f} on average; the rule asks for {threshold:.2f}"
        )


@dataclass(frozen=True, slots=True)
class SlideScore:
    """The slide as a whole reaches the threshold: the only rule of a model that judges slides.

    Not monotone in tiles, for one tile more may lower such a score.  So nothing is said before
    all have passed, and where one could not be seen anything is possible.
    """

    def score(self, evidence: Evidence) -> float:
        said = evidence.slide_score
        return said if said is not None and math.isfinite(said) else 0.0

    def explanation(self, evidence: Evidence, threshold: float, label: str) -> str:
        return (
            f"the slide as a whole scores {self.score(evidence):.2f} for {label};"
            f" the rule asks for {threshold:.2f}"
        )


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of the rules is enough."""

    rules: tuple[Rule, ...]

    def score(self, evidence: Evidence) -> float:
        return max(rule.score(evidence) for rule in self.rules)

    def explanation(self, evidence: Evidence, threshold: float, label: str) -> str:
        return ", or: ".join(rule.explanation(evidence, threshold, label) for rule in self.rules)


@dataclass(frozen=True, slots=True)
class AllOf:
    """All of the rules must be met."""

    rules: tuple[Rule, ...]

    def score(self, evidence: Evidence) -> float:
        return min(rule.score(evidence) for rule in self.rules)

    def explanation(self, evidence: Evidence, threshold: float, label: str) -> str:
        return ", and: ".join(rule.explanation(evidence, threshold, label) for rule in self.rules)


def _cells(area_mm2: float, cell_mm2: float) -> int:
    """How many cells make up an area; rounding errors do not add one."""
    return math.ceil(round(area_mm2 / cell_mm2, 6))


def reaching(scores: Scores, threshold: float) -> Mask:
    """Where a score is the threshold or more; NaN is not.  Single precision is not rounded to."""
    return scores >= np.float64(threshold)


def _nth_highest(scores: Scores, n: int) -> float:
    seen = scores[np.isfinite(scores)]
    if len(seen) < n:
        return 0.0
    seen.partition(-n)
    return float(seen[-n])


def _highest(scores: Scores, met: Callable[[float], bool]) -> float:
    """The highest score that is also a threshold at which ``met``, which falls with it; else 0."""
    steps = np.unique(scores[np.isfinite(scores)])
    low, high = 0, len(steps)  # met below low, not met from high on
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if met(float(steps[middle])) else (low, middle)
    return float(steps[low - 1]) if low else 0.0
