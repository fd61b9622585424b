"""Rules that count objects.  Pure, and monotone like every rule; see ``rules``."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_ai.triage.rules import Evidence, Spots, look_like

_PARTS = 16
"""A hot spot's square is moved in steps of this fraction of its side."""


@dataclass(frozen=True, slots=True)
class ObjectCount:
    """At least this number of objects score the threshold or more."""

    objects: int

    def __post_init__(self) -> None:
        if self.objects < 1:
            raise ValueError(f"a rule asks for 1 object or more, got {self.objects}")

    def score(self, evidence: Evidence) -> float:
        needed, found = self.objects - evidence.assumed_spots, spots_of(evidence).scores
        if needed < 1:
            return 1.0
        return float(np.partition(found, -needed)[-needed]) if len(found) >= needed else 0.0

    def explanation(self, evidence: Evidence, threshold: float, label: str) -> str:
        found = len(spots_of(evidence).reaching(threshold).scores)
        return (
            f"{look_like(found, 'object', label)} (score {threshold:.2f} or more);"
            f" the rule asks for {self.objects}"
        )


@dataclass(frozen=True, slots=True)
class HotSpot:
    """At least this number of objects score the threshold or more within a square of this area,
    placed where they are densest.

    Mitoses are counted like this: in 2.37 mm², ten high-power fields of a field number of 22
    (Meuten et al. 2016, Vet Pathol 53, 7-9; doi 10.1177/0300985815593349).
    """

    objects: int
    within_mm2: float

    def __post_init__(self) -> None:
        if self.objects < 1 or not 0 < self.within_mm2 < math.inf:
            raise ValueError(f"a hot spot has 1 object or more in some area, got {self}")

    def score(self, evidence: Evidence) -> float:
        needed, spots = self.objects - evidence.assumed_spots, spots_of(evidence)
        if needed < 1:
            return 1.0
        steps = np.unique(spots.scores)
        low, high = 0, len(steps)  # met below low, not met from high on
        while low < high:
            middle = (low + high) // 2
            met = self._densest(spots.reaching(float(steps[middle]))) >= needed
            low, high = (middle + 1, high) if met else (low, middle)
        return float(steps[low - 1]) if low else 0.0

    def explanation(self, evidence: Evidence, threshold: float, label: str) -> str:
        found = self._densest(spots_of(evidence).reaching(threshold))
        return (
            f"{look_like(found, 'object', label)} (score {threshold:.2f} or more) in the densest"
            f" {self.within_mm2:g} mm²; the rule asks for {self.objects}"
        )

    def _densest(self, spots: Spots) -> int:
        """Number of objects in the fullest square whose corner lies on a grid of a sixteenth of its
        side."""
        if not len(spots.scores):
            return 0
        part = math.sqrt(self.within_mm2) / _PARTS
        col, row = (spots.at_mm / part).astype(np.int64).T
        field = np.zeros((int(row.max()) + 1, int(col.max()) + 1), np.float64)
        np.add.at(field, (row, col), 1)
        return round(float(_box_sums(field).max()))


def _box_sums(field: NDArray[np.float64]) -> NDArray[np.float64]:
    square = cv2.boxFilter(
        field, -1, (_PARTS, _PARTS), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    return np.asarray(square, np.float64)


def spots_of(evidence: Evidence) -> Spots:
    """Raises ValueError where the model gives no objects: see ``policy.check_policy``."""
    if evidence.spots is None:
        raise ValueError("this rule counts objects, and the model gives none")
    return evidence.spots
