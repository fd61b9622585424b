"""From a heatmap to one flag.  Pure: the same heatmap and policy give the same flag.

Why the unseen counts as positive: `standard` is said only if the tiles that were not seen could
not have changed it.  So losing tiles can cost certainty, never hide a tumour.
"""

import math
import re
import uuid
from dataclasses import dataclass, field

import numpy as np

from wsi_ai.cards import ModelCard, Task
from wsi_ai.findings import find_regions
from wsi_ai.flags import Flag, Level, Quality, Status
from wsi_ai.rules import Area, Evidence, Rule, SlideScore, Spots, reaching
from wsi_ai.values import Heatmap, Mask, Objects, SlideInfo

_NAMESPACE = uuid.UUID("6a9d2f4e-0000-4000-8000-77736961690a")


@dataclass(frozen=True, slots=True)
class TriagePolicy:
    """Expedite where the rule is met; say nothing of a slide that was not seen well enough."""

    name: str = "area"
    rule: Rule = field(default_factory=Area)
    threshold: float | None = None
    """``None``: the model's operating point."""
    min_coverage: float = 0.9

    def __post_init__(self) -> None:
        if not 0 <= self.min_coverage <= 1:
            raise ValueError(f"min_coverage must lie in [0, 1], got {self.min_coverage}")

    def threshold_for(self, card: ModelCard) -> float:
        return card.point.threshold if self.threshold is None else self.threshold

    def rule_for(self, card: ModelCard) -> Rule:
        """The policy's; of a model that judges slides as a whole, the one that such a model has."""
        return SlideScore() if card.task is Task.SLIDE_CLASSIFICATION else self.rule


def triage(heatmap: Heatmap, policy: TriagePolicy, quality: Quality) -> Flag:
    """Judge one slide.  The order of the rule is the order of its safety, see ``_judge``."""
    level, reason, score, positive = _judged(heatmap, policy, quality)
    return Flag(
        flag_id=flag_id(heatmap.slide, heatmap.model),
        revision=1,
        slide=heatmap.slide,
        model=heatmap.model,
        policy=policy.name,
        level=level,
        reason=reason,
        score=score,
        threshold=policy.threshold_for(heatmap.model),
        coverage=heatmap.coverage,
        planned=int(heatmap.planned.sum()),
        positive=int(positive.sum()),
        quality=quality,
        findings=find_regions(heatmap, positive),
    )


def _judged(
    heatmap: Heatmap, policy: TriagePolicy, quality: Quality
) -> tuple[Level, str, float | None, Mask]:
    """Level, reason and score; and which cells count."""
    evidence = evidence_of(heatmap)
    level, reason = _judge(heatmap, evidence, policy, quality)
    rule = policy.rule_for(heatmap.model)
    score = None if level is Level.NOT_ASSESSED else rule.score(evidence)
    return level, reason, score, _positive(heatmap, evidence, policy.threshold_for(heatmap.model))


def _positive(heatmap: Heatmap, evidence: Evidence, threshold: float) -> Mask:
    """Cells that count; none where it is the slide that is judged, for attention is no score."""
    if heatmap.of_slide:
        return np.zeros(heatmap.planned.shape, np.bool_)
    return reaching(evidence.scores, threshold)


def is_met(heatmap: Heatmap, policy: TriagePolicy) -> bool:
    """Is the rule met by what was seen so far?  Then it stays met; so never where it might not."""
    threshold = policy.threshold_for(heatmap.model)
    return not heatmap.of_slide and policy.rule.score(evidence_of(heatmap)) >= threshold


def not_assessed(
    slide: SlideInfo, card: ModelCard, policy: TriagePolicy, reason: str, quality: Quality | None
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


def evidence_of(heatmap: Heatmap) -> Evidence:
    """The class of the operating point, where every class has a score."""
    seen = np.where(heatmap.assessed, heatmap.shown, np.float32(np.nan))
    return Evidence(
        seen,
        heatmap.planned,
        heatmap.cell_mm2,
        spots=None if heatmap.objects is None else _spots(heatmap, heatmap.objects),
        missed_spots=heatmap.objects.most * int(heatmap.missed.sum())
        if heatmap.objects is not None
        else 0,
        cell_name=heatmap.model.cell_name,
        slide_score=_slide_score(heatmap) if heatmap.of_slide else None,
    )


def _slide_score(heatmap: Heatmap) -> float:
    said = heatmap.slide_scores
    return math.nan if said is None else float(said[heatmap.model.positive_class])


def _spots(heatmap: Heatmap, objects: Objects) -> Spots:
    own = objects.only(objects.classes == heatmap.model.positive_class)
    spacing = heatmap.slide.known_spacing()
    mm_per_px = np.array([spacing.x_um, spacing.y_um]) / 1000
    return Spots(own.scores.astype(np.float64), own.middles * mm_per_px)


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
    return _range_complaint(slide.spacing.mean_um, card) or _scanner_complaint(slide, card)


def _range_complaint(mpp: float, card: ModelCard) -> str | None:
    if card.scope.mpp is None or card.scope.mpp[0] <= mpp <= card.scope.mpp[1]:
        return None
    finest, coarsest = card.scope.mpp
    return (
        f"the slide has {mpp:.4g} µm/px;"
        f" the model is made for slides of {finest:.4g} to {coarsest:.4g} µm/px"
    )


def _scanner_complaint(slide: SlideInfo, card: ModelCard) -> str | None:
    """A scanner is known by words: all of those on the card must stand in what the file says."""
    told = _words(f"{slide.vendor} {slide.scanner}")
    scanners = card.scope.scanners
    if not scanners or any(_words(scanner) <= told for scanner in scanners):
        return None
    return f"the file names none of the scanners that the model is made for ({', '.join(scanners)})"


def _words(told: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", told.lower()))


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
    heatmap: Heatmap, evidence: Evidence, policy: TriagePolicy, quality: Quality
) -> tuple[Level, str]:
    threshold, label = policy.threshold_for(heatmap.model), heatmap.model.point.label
    stopped = quality_gate(quality)
    if stopped or not heatmap.planned.any():
        return Level.NOT_ASSESSED, stopped or "no tissue was found on the slide"
    rule, covered = policy.rule_for(heatmap.model), heatmap.coverage >= policy.min_coverage
    if rule.score(evidence) >= threshold and (covered or not heatmap.of_slide):
        return Level.EXPEDITE, rule.told(evidence, threshold, label)
    if heatmap.of_slide and heatmap.slide_scores is None and covered:
        return Level.NOT_ASSESSED, "the model gave no number for this slide"
    could_be = rule.score(evidence.at_best()) >= threshold
    if could_be or not covered:
        return (
            Level.NOT_ASSESSED,
            f"only {math.floor(heatmap.coverage * 1000) / 10:.1f} % of the tissue could be"
            " assessed, and what was not seen could change the answer",
        )
    return Level.STANDARD, rule.told(evidence, threshold, label)
