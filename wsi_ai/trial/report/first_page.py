"""What a pathologist reads first, in at most 150 words."""

from collections.abc import Iterator
from dataclasses import dataclass

from wsi_ai.core.wording import counted
from wsi_ai.trial.evidence.estimates import Estimate
from wsi_ai.trial.evidence.gaps import TooFewToSay, Worse
from wsi_ai.trial.region.equity import Characteristic, LevelResult
from wsi_ai.trial.region.rates import OverSites
from wsi_ai.trial.region.result import Result
from wsi_ai.trial.region.sites import Sites
from wsi_ai.trial.report.words import minus, percent
from wsi_ai.trial.waiting.gain import Group
from wsi_ai.trial.waiting.scenario import Gain

MOST_WORDS = 150
_MOST_GROUPS = 3


@dataclass(frozen=True, slots=True)
class Line:
    """A question that a reader has, and its answer."""

    question: str
    answer: str
    alarming: bool = False


def first_page(sites: Sites, result: Result, gains: dict[Group, Gain] | None) -> tuple[Line, ...]:
    return tuple(_lines(sites, result, gains))


def words(lines: tuple[Line, ...]) -> int:
    return sum(len(f"{line.question} {line.answer}".split()) for line in lines)


def _lines(sites: Sites, result: Result, gains: dict[Group, Gain] | None) -> Iterator[Line]:
    document, claim = sites.protocol.document, result.claim
    condition = document["target"]["condition"]
    number = counted(len(sites.exact), "site")
    if sites.shown:
        number += f", and {len(sites.shown)} with rounded counts beside it"
    yield Line(
        "Asked",
        f"Do flags find more than {percent(claim.goal, 0)} of cases with {condition}? {number}."
        if claim.measure == "sensitivity"
        else f"Is {claim.measure} above {percent(claim.goal, 0)}, for {condition}? {number}.",
    )
    yield Line("Answer", _answer(result), not claim.met)
    yield Line("Not assessed", _not_assessed(result))
    yield _for_whom(result.characteristics)
    if left := len(sites.left_out):
        yield Line("Left out", f"{counted(left, 'bundle')}: named below.", True)
    if sites.unblinded:
        yield Line("UNBLINDED", "Some flags were read before the reference was locked.", True)
    yield Line("Would change", _change(gains))
    yield Line(
        "Does not show",
        "what readers do with flags, nor other scanners or groups. Silence never means benign.",
    )


def _answer(result: Result) -> str:
    claim = result.claim
    if not isinstance(claim.estimate, Estimate):
        return "Not estimable."
    found = claim.estimate
    verdict = "Yes" if claim.met else "Not shown"
    rest = ""
    over = result.sensitivity.over_sites
    if claim.measure == "sensitivity" and isinstance(over, OverSites):
        further = over.further_bootstrap
        if isinstance(further, Estimate):
            rest = f" A further site: {100 * further.low:.0f} to {100 * further.high:.0f} %."
    ends = f"{100 * found.low:.1f} to {100 * found.high:.1f}"
    return f"{verdict}: {percent(found.value)} ({ends}).{rest}"


def _not_assessed(result: Result) -> str:
    failed, specificity = result.not_assessed.total, result.specificity.estimate
    found = percent(failed.hits / failed.cases) if failed.cases else "not estimable"
    false = (
        f" {percent(1 - specificity.value)} of the others are flagged."
        if isinstance(specificity, Estimate)
        else ""
    )
    return f"{found} of cases wait their turn without an answer.{false}"


def _for_whom(characteristics: tuple[Characteristic, ...]) -> Line:
    worse = [name for name, level in _levels(characteristics) if _any(level, Worse)]
    few = sum(_any(level, TooFewToSay) for _, level in _levels(characteristics))
    if worse:
        shown = ", ".join(worse[:_MOST_GROUPS])
        more = f" and {len(worse) - _MOST_GROUPS} more" if len(worse) > _MOST_GROUPS else ""
        return Line("Worse for", f"{shown}{more}. Too few to say for {few} groups.", True)
    return Line("Worse for", f"no group for certain; too few to say for {few} groups.")


def _levels(characteristics: tuple[Characteristic, ...]) -> Iterator[tuple[str, LevelResult]]:
    for characteristic in characteristics:
        for level in characteristic.levels:
            if level.gaps:
                yield f"{characteristic.name} {level.level}", level


def _any(level: LevelResult, kind: type) -> bool:
    return any(isinstance(gap.verdict, kind) for gap in level.gaps)


def _change(gains: dict[Group, Gain] | None) -> str:
    if gains is None:
        return "not simulated yet: give the report a reading list."
    found = [
        f"{name} {minus(f'{gain.change_h.value:+.0f}')} h"
        for name, group in _WAITING
        if (gain := gains.get(group)) and isinstance(gain.change_h, Estimate)
    ]
    return f"mean wait: {', '.join(found)}." if found else "not estimable."


_WAITING = (
    ("with the condition", Group.CONDITION),
    ("missed", Group.MISSED),
    ("others", Group.NO_CONDITION),
)
