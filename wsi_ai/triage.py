"""From a heatmap to one flag.  Pure: the same heatmap and policy give the same flag.

Why the unseen counts as positive: `standard` is said only if the tiles that were not seen could
not have changed it.  So losing tiles can cost certainty, never hide a tumour.
"""

import math
import uuid
from dataclasses import dataclass

import numpy as np

from wsi_ai.findings import find_regions
from wsi_ai.flags import Flag, Level, Quality, Status
from wsi_ai.values import Heatmap, ModelCard, SlideInfo

_NAMESPACE = uuid.UUID("6a9d2f4e-0000-4000-8000-77736961690a")


@dataclass(frozen=True, slots=True)
class AreaPolicy:
    """Expedite when ``area_mm2`` of tissue, or on a small specimen ``tissue_share`` of it, scores
    the threshold or more."""

    name: str = "area"
    threshold: float | None = None
    """``None``: the model's operating point."""
    area_mm2: float = 0.5
    tissue_share: float = 0.25
    min_coverage: float = 0.9

    def __post_init__(self) -> None:
        if not (self.area_mm2 > 0 and 0 < self.tissue_share <= 1 and 0 <= self.min_coverage <= 1):
            raise ValueError(
                "area_mm2 must be positive, tissue_share in (0, 1], min_coverage in [0, 1];"
                f" got {self.area_mm2}, {self.tissue_share}, {self.min_coverage}"
            )

    def threshold_for(self, card: ModelCard) -> float:
        return card.point.threshold if self.threshold is None else self.threshold

    def cells_needed(self, heatmap: Heatmap) -> int:
        """How many positive cells expedite this slide: fixed by the plan, not by what was seen."""
        by_area = math.ceil(round(self.area_mm2 / heatmap.cell_mm2, 6))
        by_share = math.ceil(round(self.tissue_share * int(heatmap.planned.sum()), 6))
        return max(1, min(by_area, by_share))


def triage(heatmap: Heatmap, policy: AreaPolicy, quality: Quality) -> Flag:
    """Judge one slide.  The order of the rule is the order of its safety, see ``_judge``."""
    threshold = policy.threshold_for(heatmap.model)
    layer = heatmap.scores[heatmap.model.positive_class].astype(np.float64)
    positive = heatmap.assessed & (np.nan_to_num(layer, nan=-1.0) >= threshold)
    level, reason = _judge(heatmap, policy, quality, int(positive.sum()))
    return Flag(
        flag_id=flag_id(heatmap.slide, heatmap.model),
        revision=1,
        slide=heatmap.slide,
        model=heatmap.model,
        policy=policy.name,
        level=level,
        reason=reason,
        score=None if level is Level.NOT_ASSESSED else slide_score(heatmap, policy),
        threshold=threshold,
        coverage=heatmap.coverage,
        planned=int(heatmap.planned.sum()),
        positive=int(positive.sum()),
        quality=quality,
        findings=find_regions(heatmap, positive),
    )


def not_assessed(
    slide: SlideInfo, card: ModelCard, policy: AreaPolicy, reason: str, quality: Quality | None
) -> Flag:
    """The flag of a slide that a gate stopped, or that could not be looked at."""
    return Flag(
        flag_id=flag_id(slide, card),
        revision=1,
        slide=slide,
        model=card,
        policy=policy.name,
        level=Level.NOT_ASSESSED,
        reason=reason,
        score=None,
        threshold=policy.threshold_for(card),
        coverage=0.0,
        planned=0,
        positive=0,
        quality=quality,
    )


def slide_score(heatmap: Heatmap, policy: AreaPolicy) -> float:
    """The highest threshold at which the area rule would be met: the n-th highest cell, where n
    cells are needed; 0 where fewer were seen.  So it is at least the threshold exactly when the
    rule is met."""
    scores = heatmap.scores[heatmap.model.positive_class][heatmap.assessed]
    needed = policy.cells_needed(heatmap)
    return float(np.partition(scores, -needed)[-needed]) if len(scores) >= needed else 0.0


def scope_gate(slide: SlideInfo, card: ModelCard) -> str | None:
    """Why this model cannot judge this slide, or ``None``.  Needs no pixel."""
    if slide.spacing is None:
        return "no spacing in the file; give --mpp"
    x, y = slide.spacing.x_um, slide.spacing.y_um
    if max(x, y) > 1.05 * min(x, y):
        return f"pixels are not square ({x:.4g} x {y:.4g} µm); give --mpp if that is wrong"
    if slide.spacing.mean_um > card.tile.mpp * (1 + card.mpp_tolerance):
        return (
            f"the slide has {slide.spacing.mean_um:.4g} µm/px;"
            f" the model needs {card.tile.mpp:.4g} µm/px or finer"
        )
    return None


def quality_gate(quality: Quality) -> str | None:
    """Why the slide is not fit to be assessed, or ``None``."""
    if quality.tissue_fraction == 0:
        return "no tissue was found on the slide"
    failed = [check for check in quality.checks if check.status is Status.FAIL]
    told = (
        f"{check.meaning} is {check.value:.2g}, the limit {check.limit:.2g}" for check in failed
    )
    return "quality: " + "; ".join(told) if failed else None


def flag_id(slide: SlideInfo, card: ModelCard) -> str:
    """Names the question, "what does this model say of this slide?", not the answer."""
    return str(uuid.uuid5(_NAMESPACE, f"{slide.fingerprint}/{slide.slide_id}/{card.ref.name}"))


def _judge(
    heatmap: Heatmap, policy: AreaPolicy, quality: Quality, positive: int
) -> tuple[Level, str]:
    needed, cell_mm2 = policy.cells_needed(heatmap), heatmap.cell_mm2
    label = heatmap.model.point.label
    found = (
        f"{positive * cell_mm2:.2f} mm² of tissue look like {label}"
        f" (tile score {policy.threshold_for(heatmap.model):.2f} or more);"
        f" the rule asks for {needed * cell_mm2:.2f} mm²"
    )
    stopped = quality_gate(quality)
    if stopped or not heatmap.planned.any():
        return Level.NOT_ASSESSED, stopped or "no tissue was found on the slide"
    if positive >= needed:
        return Level.EXPEDITE, found
    if positive + int(heatmap.missed.sum()) >= needed or heatmap.coverage < policy.min_coverage:
        return (
            Level.NOT_ASSESSED,
            f"only {math.floor(heatmap.coverage * 1000) / 10:.1f} % of the tissue could be"
            " assessed, and what was not seen could change the answer",
        )
    return Level.STANDARD, found
