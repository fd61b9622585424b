"""From a heatmap to one flag.  Pure: the same heatmap and policy give the same flag.

Why the unseen counts as positive: a slide is `standard` only if the tiles that were not seen could
not have changed that.  So losing tiles can cost certainty, and never hide a tumour.
"""

import dataclasses
import json
import math
import uuid
from dataclasses import dataclass, field

import numpy as np

from wsi_ai.core.cards import CARD_INCOMPLETE, ModelCard, Task
from wsi_ai.core.flags import Flag, Identity, Level, Quality
from wsi_ai.core.values import Heatmap, Mask, Objects, SlideInfo
from wsi_ai.triage.findings import find_regions
from wsi_ai.triage.gates import quality_gate
from wsi_ai.triage.rules import Area, Evidence, Rule, SlideScore, Spots
from wsi_ai.triage.seen import SeenRows, reaching

_NAMESPACE = uuid.UUID("6a9d2f4e-0000-4000-8000-77736961690a")


@dataclass(frozen=True, slots=True)
class TriagePolicy:
    """Expedite where the rule is met; do not judge a slide that was not seen well enough."""

    name: str = "area"
    rule: Rule = field(default_factory=Area)
    threshold: float | None = None
    """``None`` means the model's operating point."""
    min_coverage: float = 0.9

    def __post_init__(self) -> None:
        if not 0 <= self.min_coverage <= 1:
            raise ValueError(f"min_coverage must lie in [0, 1], got {self.min_coverage}")
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise ValueError(f"the threshold must lie between 0 and 1, got {self.threshold}")

    def threshold_for(self, card: ModelCard) -> float:
        return card.point.threshold if self.threshold is None else self.threshold

    def rule_for(self, card: ModelCard) -> Rule:
        """The policy's rule; a model that judges slides as a whole has its own."""
        return SlideScore() if card.task is Task.SLIDE_CLASSIFICATION else self.rule


def triage(heatmap: Heatmap, policy: TriagePolicy, quality: Quality) -> Flag:
    """Judge one slide.  The checks come in the order of safety, see ``_judge``."""
    level, reason, score, positive = _judged(heatmap, policy, quality)
    return Flag(
        flag_id=flag_id(heatmap.slide, heatmap.model),
        revision=1,
        slide=heatmap.slide,
        model=heatmap.model,
        policy=policy.name,
        level=level,
        reason=_marked(heatmap.model, reason),
        score=score,
        threshold=policy.threshold_for(heatmap.model),
        coverage=heatmap.coverage,
        planned=int(heatmap.planned.sum()),
        positive=int(positive.sum()),
        quality=quality,
        findings=find_regions(heatmap, positive),
        extensions={"limited": heatmap.limited} if heatmap.limited else {},
    )


def _marked(card: ModelCard, reason: str) -> str:
    """With what must stand beside every word of a model that is only being tried."""
    return f"{reason} ({CARD_INCOMPLETE})" if card.incomplete else reason


def _judged(
    heatmap: Heatmap, policy: TriagePolicy, quality: Quality
) -> tuple[Level, str, float | None, Mask]:
    """Level, reason and score; and which cells are positive."""
    evidence = evidence_of(heatmap)
    level, reason = _judge(heatmap, evidence, policy, quality)
    rule = policy.rule_for(heatmap.model)
    score = None if level is Level.NOT_ASSESSED else rule.score(evidence)
    return level, reason, score, _positive(heatmap, evidence, policy.threshold_for(heatmap.model))


def _positive(heatmap: Heatmap, evidence: Evidence, threshold: float) -> Mask:
    """The positive cells; none where the slide as a whole is judged, because attention is no
    score."""
    if heatmap.of_slide:
        return np.zeros(heatmap.planned.shape, np.bool_)
    return reaching(evidence.scores, threshold)


def is_met(heatmap: Heatmap, policy: TriagePolicy) -> bool:
    """Is the rule met by what was seen so far?  Only for rules that then stay met."""
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
        reason=_marked(card, reason),
        score=None,
        threshold=policy.threshold_for(card),
        coverage=0.0,
        planned=0,
        positive=0,
        quality=quality,
    )


def evidence_of(heatmap: Heatmap) -> Evidence:
    """The scores of the operating point's class, in the cells where every class has a score."""
    return Evidence(
        SeenRows(heatmap),
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


def flag_id(slide: SlideInfo, card: ModelCard) -> str:
    """An id for the question "what does this model say of this slide?", not for the answer."""
    return str(uuid.uuid5(_NAMESPACE, f"{slide.fingerprint}/{slide.slide_id}/{card.ref.name}"))


def limited_flag_id(whole: str, asked: str) -> str:
    """Of the question about less than all tissue; ``whole`` is that of the whole slide."""
    return str(uuid.uuid5(_NAMESPACE, f"{whole}/limited/{asked}"))


def _judge(
    heatmap: Heatmap, evidence: Evidence, policy: TriagePolicy, quality: Quality
) -> tuple[Level, str]:
    threshold, label = policy.threshold_for(heatmap.model), heatmap.model.point.label
    stopped = quality_gate(quality)
    if stopped or not heatmap.planned.any():
        return Level.NOT_ASSESSED, stopped or "no tissue was found on the slide"
    rule, covered = policy.rule_for(heatmap.model), heatmap.coverage >= policy.min_coverage
    if rule.score(evidence) >= threshold and (covered or not heatmap.of_slide):
        found = rule.explanation(evidence, threshold, label)
        return Level.EXPEDITE, f"{found}; {heatmap.limited}" if heatmap.limited else found
    if heatmap.limited:
        unseen = "what was not looked at could change the answer"
        return Level.NOT_ASSESSED, f"{heatmap.limited}, and {unseen}"
    if heatmap.of_slide and heatmap.slide_scores is None and covered:
        return Level.NOT_ASSESSED, "the model gave no number for this slide"
    could_not_be = rule.score(evidence.at_best()) < threshold  # of what is no number, nothing is
    if not (could_not_be and covered):
        return (
            Level.NOT_ASSESSED,
            f"only {math.floor(heatmap.coverage * 1000) / 10:.1f} % of the tissue could be"
            " assessed, and what was not seen could change the answer",
        )
    return Level.STANDARD, rule.explanation(evidence, threshold, label)


_CASES = uuid.UUID("6a9d2f4e-0000-4000-8000-77736961690b")


def identified(flag: Flag, identity: Identity | None) -> Flag:
    """The flag with the identity of its slide.

    Then its id names the slide of the case, not the file: a new scan of the same glass amends it.
    """
    if identity is None:
        return flag
    name = case_flag_id(identity, flag.model.ref.name)
    return dataclasses.replace(flag, flag_id=name, identity=identity)


def case_flag_id(identity: Identity, model: str) -> str:
    """Names the question, "what does this model say of this slide of the case?"."""
    question = [identity.trust, identity.accession, identity.slide_id, model]
    return str(uuid.uuid5(_CASES, json.dumps(question)))
