"""When a heatmap asks for an urgent look.  Pure.

A rule gives a slide a score: the highest threshold at which the rule would be met.  So it is met
exactly when its score reaches the threshold.  Rules are monotone: their score never falls when a
tile's score rises, so a rule that is met early stays met.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.values import Mask, bands
from wsi_ai.core.wording import counted, verb
from wsi_ai.triage.seen import BestRows, ScoreRows, finite, highest, reaching

Layer = NDArray[np.float64]


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

    scores: ScoreRows
    """(rows, cols); 0 or more where there is a score, NaN where there is none."""
    planned: Mask
    cell_mm2: float
    spots: Spots | None = None
    """Where objects are counted."""
    missed_spots: int = 0
    """The most objects that can be in the planned cells that have no score."""
    cell_name: str = "tile"
    slide_score: float | None = None
    """The score of the slide as a whole, from a model that gives one; NaN where it cannot say."""
    assumed_spots: int = 0
    """Number of objects assumed to be there besides ``spots``, with the highest score and wherever
    they matter most."""

    def at_best(self) -> "Evidence":
        """As if every planned tile that was not seen had the highest score."""
        return replace(
            self,
            scores=BestRows(self.scores, self.planned),
            assumed_spots=self.missed_spots,
            slide_score=self._slide_at_best(),
        )

    def _slide_at_best(self) -> float | None:
        """The score of the whole cannot be known with a part missing, so anything is possible."""
        if self.slide_score is None:
            return None
        seen = all(
            np.isfinite(self.scores[rows][self.planned[rows]]).all()
            for rows in bands(len(self.planned))
        )
        return self.slide_score if math.isfinite(self.slide_score) and seen else 1.0


class Rule(Protocol):
    """Monotone: a higher score, or a score where there was none, never lowers the result."""

    def score(self, evidence: Evidence) -> float:
        """The highest threshold at which the rule is met; 0 where it is at none."""
        ...

    def explanation(self, evidence: Evidence, threshold: float, label: str) -> str:
        """What was found, next to what is asked for, as a clause that a pathologist understands."""
        ...


@dataclass(frozen=True, slots=True)
class Area:
    """Tissue of at least this area scores the threshold or more; on a small specimen, at least this
    share of its tissue.

    Connected regions (cells sharing an edge) smaller than ``smallest_region_mm2`` do not count.
    """

    area_mm2: float = 0.5
    tissue_share: float = 0.25
    smallest_region_mm2: float = 0.0

    def __post_init__(self) -> None:
        areas = 0 < self.area_mm2 < math.inf and 0 <= self.smallest_region_mm2 < math.inf
        if not (areas and 0 < self.tissue_share <= 1):
            raise ValueError(f"an area is positive and a share in (0, 1], got {self}")

    def cells_needed(self, evidence: Evidence) -> int:
        """Depends on the plan, not on what was seen."""
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
        by_share = self.cells_needed(evidence) < _cells(self.area_mm2, evidence.cell_mm2)
        share = f" ({self.tissue_share * 100:.3g} % of its tissue)" if by_share else ""
        return (
            f"{found:.2f} mm² of tissue look like {label} ({evidence.cell_name} score"
            f" {threshold:.2f} or more);"
            f" the rule asks for {asked:.2f} mm²{share}"
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
    """At least this number of tiles score the threshold or more."""

    tiles: int

    def __post_init__(self) -> None:
        if self.tiles < 1:
            raise ValueError(f"a rule asks for 1 tile or more, got {self.tiles}")

    def score(self, evidence: Evidence) -> float:
        return _nth_highest(evidence.scores, self.tiles)

    def explanation(self, evidence: Evidence, threshold: float, label: str) -> str:
        found = int(reaching(evidence.scores, threshold).sum())
        return (
            f"{look_like(found, evidence.cell_name, label)} (score {threshold:.2f} or more);"
            f" the rule asks for {self.tiles}"
        )


@dataclass(frozen=True, slots=True)
class TopMean:
    """The highest tiles reach the threshold on average; if there are too few, the missing ones
    count as 0."""

    top_tiles: int

    def __post_init__(self) -> None:
        if self.top_tiles < 1:
            raise ValueError(f"a rule looks at 1 tile or more, got {self.top_tiles}")

    def score(self, evidence: Evidence) -> float:
        return math.fsum(highest(evidence.scores, self.top_tiles).tolist()) / self.top_tiles

    def explanation(self, evidence: Evidence, threshold: float, label: str) -> str:
        return (
            f"the {self._tiles(evidence)} most like {label}"
            f" {verb(self.top_tiles, 'scores', 'score')} {self.score(evidence):.2f} on average;"
            f" the rule asks for {threshold:.2f}"
        )

    def _tiles(self, evidence: Evidence) -> str:
        name = evidence.cell_name
        return name if self.top_tiles == 1 else counted(self.top_tiles, name)


@dataclass(frozen=True, slots=True)
class SlideScore:
    """The slide as a whole reaches the threshold: the only rule of a model that judges slides.

    Not monotone in tiles: one more tile may lower such a score.  So there is no answer before all
    have passed, and where one could not be seen anything is possible.
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


def look_like(number: int, noun: str, label: str) -> str:
    """``1 tile looks like tumour``."""
    return f"{counted(number, noun)} {verb(number, 'looks', 'look')} like {label}"


def _nth_highest(scores: ScoreRows, n: int) -> float:
    """0 where fewer than ``n`` have a score."""
    best = highest(scores, n)
    return float(best.min()) if len(best) == n else 0.0


def _highest(scores: ScoreRows, met: Callable[[float], bool]) -> float:
    """The highest score at which ``met`` holds, or 0.  ``met`` must hold below any score at which
    it holds."""
    steps = np.unique(finite(scores))
    low, high = 0, len(steps)  # met below low, not met from high on
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if met(float(steps[middle])) else (low, middle)
    return float(steps[low - 1]) if low else 0.0
