"""A row a case: the flag, the truth, whose it is, and why it does not count where it does not."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.flags import Level
from wsi_ai.trial.documents import Document
from wsi_ai.trial.evidence.auroc import Cases
from wsi_ai.trial.join import JoinedCase, WhyNot, join, place_in_list
from wsi_ai.trial.opened import OpenedSlide
from wsi_ai.trial.patients import Patient, level_of
from wsi_ai.trial.reference import Reference, Truth
from wsi_ai.trial.sums import NEVER_RAN

Bools = NDArray[np.bool_]
_OF_PATIENT = ("sex", "age", "ethnic_category", "imd_quintile", "imd_edition")
_OF_REFERENCE = ("severity", "reader_grade")


@dataclass(frozen=True, slots=True, eq=False)
class AnalysedCase:
    """Everything that is known of one case."""

    joined: JoinedCase
    slides: tuple[OpenedSlide, ...]
    reference: Reference | None
    levels: Mapping[str, str]
    """Of each subgroup of the protocol."""

    @property
    def counts(self) -> bool:
        """In the primary result."""
        return self.joined.why_not is None

    @property
    def reason(self) -> str:
        """Why it was not assessed, as a code; empty where it was."""
        if self.joined.answer.level is not Level.NOT_ASSESSED:
            return ""
        return next((slide.reason for slide in self.slides if slide.reason), NEVER_RAN)


def analysed(
    slides: Sequence[OpenedSlide],
    references: Iterable[Reference],
    patients: Mapping[str, Patient],
    protocol: Document,
) -> tuple[AnalysedCase, ...]:
    """Every case of either side, once, in the order of their identities."""
    known = {reference.identity: reference for reference in references}
    of_case: dict[object, list[OpenedSlide]] = {}
    for slide in slides:
        of_case.setdefault(slide.identity, []).append(slide)
    answers = [slide.answer for slide in slides if slide.answer is not None]
    return tuple(
        _analysed(one, of_case.get(one.identity, []), known.get(one.identity), (patients, protocol))
        for one in join(answers, known.values())
    )


def _analysed(
    joined: JoinedCase,
    slides: Sequence[OpenedSlide],
    reference: Reference | None,
    about: tuple[Mapping[str, Patient], Document],
) -> AnalysedCase:
    patients, protocol = about
    patient = patients.get(joined.patient or "", Patient({}))
    why_not = joined.why_not
    if any(slide.off_protocol for slide in slides):
        why_not = WhyNot.OFF_PROTOCOL
    if not _is_eligible(slides, reference, patient, protocol):
        why_not = WhyNot.NOT_ELIGIBLE
    levels = {
        subgroup["name"]: level_of(subgroup, _value(subgroup["column"], patient, slides, reference))
        for subgroup in protocol.get("subgroup", ())
    }
    return AnalysedCase(replace(joined, why_not=why_not), tuple(slides), reference, levels)


def _is_eligible(
    slides: Sequence[OpenedSlide],
    reference: Reference | None,
    patient: Patient,
    protocol: Document,
) -> bool:
    """By what is known: what nobody says excludes no case."""
    eligible = protocol["eligible"]
    if reference is not None and reference.received is not None:
        day = reference.received.date().isoformat()
        if not protocol["opens"] <= day <= protocol["closes"]:
            return False
    if (age := patient.columns.get("age")) and int(age) < eligible.get("age_min", 0):
        return False
    if slides and len(slides) < eligible.get("min_slides", 1):
        return False
    return all(_is_slide_eligible(slide, eligible) for slide in slides)


def _is_slide_eligible(slide: OpenedSlide, eligible: Document) -> bool:
    least, greatest = eligible.get("mpp", (0.0, np.inf))
    vendors = eligible.get("vendor")
    of_vendor = vendors is None or slide.failed or slide.source["vendor"] in vendors
    return bool(of_vendor and least <= slide.inputs.get("mpp", least) <= greatest)


def _value(
    column: str, patient: Patient, slides: Sequence[OpenedSlide], reference: Reference | None
) -> str:
    if column in _OF_PATIENT:
        return patient.columns.get(column, "")
    if column in _OF_REFERENCE:
        return str(getattr(reference, column, ""))
    found = {slide.source.get(column, "") for slide in slides}
    return found.pop() if len(found) == 1 else ""


def _whose(one: JoinedCase) -> tuple[str, str, str]:
    if one.patient:
        return one.identity.trust, "patient", one.patient
    return one.identity.trust, "case", f"{one.identity.issuer}\0{one.identity.accession}"


@dataclass(frozen=True, eq=False)
class CaseTable:
    """Cases of the primary result, or some of them, as columns."""

    cases: tuple[AnalysedCase, ...]

    def where(self, chosen: Sequence[bool] | Bools) -> "CaseTable":
        return CaseTable(
            tuple(one for one, wanted in zip(self.cases, chosen, strict=True) if wanted)
        )

    @cached_property
    def truth(self) -> Bools:
        return np.array([one.joined.truth is Truth.CONDITION for one in self.cases], bool)

    @cached_property
    def expedited(self) -> Bools:
        return self._at(Level.EXPEDITE)

    @cached_property
    def failed(self) -> Bools:
        return self._at(Level.NOT_ASSESSED)

    @cached_property
    def place(self) -> NDArray[np.float64]:
        """In the list: behind all others where it was not assessed."""
        return np.array([place_in_list(one.joined.answer) for one in self.cases], np.float64)

    @cached_property
    def patient(self) -> NDArray[np.int64]:
        """A number for each; of whom nothing is known, each is another one."""
        names = [_whose(one.joined) for one in self.cases]
        numbers = {name: number for number, name in enumerate(sorted(set(names)))}
        return np.array([numbers[name] for name in names], np.int64)

    @property
    def clustered(self) -> Cases:
        return Cases(self.truth, self.patient)

    def _at(self, level: Level) -> Bools:
        return np.array([one.joined.answer.level is level for one in self.cases], bool)


def primary(cases: Sequence[AnalysedCase]) -> CaseTable:
    return CaseTable(tuple(one for one in cases if one.counts))
