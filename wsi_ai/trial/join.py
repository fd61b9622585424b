"""Flags and references, case by case.

The unit is the case, as a worklist has it: its slides are rolled up as the flags act.  Every case
of either side is there once; what cannot be counted says why, and is never left out without a word.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.flags import Level
from wsi_ai.trial.evidence.accuracy import FlagTable, Levels
from wsi_ai.trial.evidence.auroc import Area, Cases, auroc
from wsi_ai.trial.evidence.estimates import NotEstimable
from wsi_ai.trial.reference import Identity, Reference, Truth


@dataclass(frozen=True, slots=True)
class SlideAnswer:
    """What a sealed record says of one slide."""

    identity: Identity
    level: Level
    score: float | None
    threshold: float

    def __post_init__(self) -> None:
        if (self.level is Level.NOT_ASSESSED) != (self.score is None):
            raise ValueError("a slide has a score where it was assessed, and only there")
        if self.score is not None and math.isnan(self.score):
            raise ValueError("a score is a number")

    @property
    def consistent(self) -> bool:
        """The level is the one that the score and the threshold give."""
        if self.score is None:
            return True
        return (self.level is Level.EXPEDITE) == (self.score >= self.threshold)


@dataclass(frozen=True, slots=True)
class CaseAnswer:
    """Of all slides of a case."""

    level: Level
    score: float | None
    """The highest of the assessed slides."""
    slides: int
    slides_not_assessed: int


class WhyNot(StrEnum):
    """A case is not part of the primary result."""

    NO_REFERENCE = "there is no reference"
    INDETERMINATE = "the reference is indeterminate"
    SAW_FLAG = "a reader of the reference saw the flag, or may have"
    OFF_PROTOCOL = "a slide was judged by another model, policy or setting than the protocol's"
    NOT_ELIGIBLE = "the protocol does not ask about such cases"


@dataclass(frozen=True, slots=True)
class JoinedCase:
    """A case without a flag is one that was not assessed: in practice it would wait its turn."""

    identity: Identity
    patient: str | None
    """``None`` without a reference."""
    truth: Truth
    answer: CaseAnswer
    why_not: WhyNot | None

    @property
    def never_ran(self) -> bool:
        return not self.answer.slides


NEVER_RAN = CaseAnswer(Level.NOT_ASSESSED, None, 0, 0)


def roll_up(slides: Sequence[SlideAnswer]) -> CaseAnswer:
    """Any slide expedites its case; else any that was not assessed leaves it not assessed."""
    levels = {slide.level for slide in slides}
    if not slides:
        return NEVER_RAN
    level = next(
        some for some in (Level.EXPEDITE, Level.NOT_ASSESSED, Level.STANDARD) if some in levels
    )
    scores = [slide.score for slide in slides if slide.score is not None]
    failed = sum(slide.level is Level.NOT_ASSESSED for slide in slides)
    return CaseAnswer(level, max(scores, default=None), len(slides), failed)


def join(slides: Iterable[SlideAnswer], references: Iterable[Reference]) -> tuple[JoinedCase, ...]:
    """In the order of cases' identities.  Raises ValueError where a reference is there twice."""
    answers: dict[Identity, list[SlideAnswer]] = {}
    for slide in slides:
        answers.setdefault(slide.identity, []).append(slide)
    known: dict[Identity, Reference] = {}
    for reference in references:
        if reference.identity in known:
            raise ValueError("a case has two references")
        known[reference.identity] = reference
    everybody = sorted(
        answers.keys() | known.keys(), key=lambda i: (i.trust, i.issuer, i.accession)
    )
    return tuple(_joined(i, answers.get(i, []), known.get(i)) for i in everybody)


def flag_table(cases: Iterable[JoinedCase]) -> FlagTable:
    """Of the primary result; cases without a reference stand beside it."""
    table = FlagTable()
    for case in cases:
        one = Levels(**{case.answer.level.value: 1})
        if case.why_not is WhyNot.NO_REFERENCE:
            table += FlagTable(unknown=one)
        elif case.why_not is None and case.truth is Truth.CONDITION:
            table += FlagTable(with_condition=one)
        elif case.why_not is None:
            table += FlagTable(without=one)
    return table


def operational_area(cases: Iterable[JoinedCase]) -> Area | NotEstimable:
    """A case is placed where the list has it: behind every score where it was not assessed, though
    one of its slides has one."""
    counted = [case for case in cases if case.why_not is None]
    scores = np.array([place_in_list(case.answer) for case in counted], np.float64)
    truth = np.array([case.truth is Truth.CONDITION for case in counted], bool)
    return auroc(scores, Cases(truth, _patients(counted)))


def place_in_list(answer: CaseAnswer) -> float:
    assessed = answer.level is not Level.NOT_ASSESSED and answer.score is not None
    return answer.score if assessed and answer.score is not None else -math.inf


def _patients(cases: Sequence[JoinedCase]) -> NDArray[np.int64]:
    names = [f"{case.identity.trust}\0{case.patient}" for case in cases]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def _joined(
    identity: Identity, slides: Sequence[SlideAnswer], reference: Reference | None
) -> JoinedCase:
    answer = roll_up(slides)
    if reference is None:
        return JoinedCase(identity, None, Truth.MISSING, answer, WhyNot.NO_REFERENCE)
    return JoinedCase(identity, reference.patient, reference.truth, answer, _why_not(reference))


def _why_not(reference: Reference) -> WhyNot | None:
    if reference.saw_ai:
        return WhyNot.SAW_FLAG
    if reference.truth is Truth.INDETERMINATE:
        return WhyNot.INDETERMINATE
    return WhyNot.NO_REFERENCE if reference.truth is Truth.MISSING else None
