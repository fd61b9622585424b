"""Has what comes in, or what goes out, changed since the trial began?  Week by week."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.flags import Level
from wsi_ai.trial.analysis.accuracy import Found
from wsi_ai.trial.analysis.cases import AnalysedCase
from wsi_ai.trial.evidence.comparisons import holm
from wsi_ai.trial.evidence.drift import (
    BernoulliCusum,
    Cusum,
    Ewma,
    TwoSamples,
    binned,
    decile_edges,
    stability_index,
    two_samples,
)
from wsi_ai.trial.opened import OpenedSlide
from wsi_ai.trial.reference import Truth

BASELINE = 50
"""The first slides of the trial, in the order of sealing."""
LEAST = 8
"""A week with fewer slides is no point of a chart."""
LOOK, ACT = 0.1, 0.25
"""Of the stability index."""
_INPUTS = ("mpp", "focus", "pen", "tissue")
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Week:
    """Slides sealed in one, as ``2027-W05``."""

    name: str
    slides: list[OpenedSlide]


def drift(slides: Sequence[OpenedSlide], cases: Sequence[AnalysedCase]) -> Found:
    """Numbers of the charts; ``null`` where a week or the baseline is too small."""
    baseline, weeks = slides[:BASELINE], _weeks(slides[BASELINE:])
    if len(slides) <= BASELINE:
        return {"baseline": len(slides), "why": "too few slides for a baseline", "weeks": []}
    kept = [week for week in weeks if len(week.slides) >= LEAST]
    values: dict[str, Callable[[OpenedSlide], float | None]] = {
        "score": _score,
        **{name: partial(_input, name) for name in _INPUTS},
    }
    found = [_week(week) for week in kept]
    for name, of in values.items():
        _compare(name, _column(baseline, of), [_column(w.slides, of) for w in kept], found)
    return {
        "baseline": len(baseline),
        "weeks": found,
        "charts": {
            level.value: _charts(baseline, kept, level)
            for level in (Level.EXPEDITE, Level.NOT_ASSESSED)
        },
        "misses": _misses(cases),
        "mix": [_mix(week) for week in kept],
    }


def _weeks(slides: Sequence[OpenedSlide]) -> list[_Week]:
    found: dict[str, list[OpenedSlide]] = {}
    for slide in slides:
        year, week, _ = datetime.fromisoformat(slide.sealed_at).isocalendar()
        found.setdefault(f"{year}-W{week:02d}", []).append(slide)
    return [_Week(name, found[name]) for name in sorted(found)]


def _rate(slides: Sequence[OpenedSlide], level: Level) -> float:
    hits = sum(slide.answer is not None and slide.answer.level is level for slide in slides)
    return hits / len(slides)


def _week(week: _Week) -> Found:
    return {
        "week": week.name,
        "slides": len(week.slides),
        "expedite": _rate(week.slides, Level.EXPEDITE),
        "not_assessed": _rate(week.slides, Level.NOT_ASSESSED),
        "stability": {},
        "ks_p_holm": {},
    }


def _score(slide: OpenedSlide) -> float | None:
    return slide.answer.score if slide.answer else None


def _input(name: str, slide: OpenedSlide) -> float | None:
    return slide.inputs.get(name)


def _column(slides: Sequence[OpenedSlide], of: Callable[[OpenedSlide], float | None]) -> Floats:
    found = [of(slide) for slide in slides]
    return np.array([value for value in found if value is not None], np.float64)


def _compare(name: str, baseline: Floats, weeks: list[Floats], found: list[Found]) -> None:
    """Each week with the baseline; p values of the weeks adjusted after Holm."""
    tests = [two_samples(baseline, week) for week in weeks]
    known = [test.p for test in tests if isinstance(test, TwoSamples)]
    adjusted = iter(holm(known))
    for week, values, test in zip(found, weeks, tests, strict=True):
        enough = min(len(baseline), len(values)) >= LEAST
        index = _index(baseline, values) if enough else None
        week["stability"][name] = index
        p = next(adjusted) if isinstance(test, TwoSamples) else None
        week["ks_p_holm"][name] = p if enough else None


def _index(baseline: Floats, week: Floats) -> float:
    edges = decile_edges(baseline)
    return stability_index(binned(baseline, edges), binned(week, edges))


def _charts(baseline: Sequence[OpenedSlide], weeks: Sequence[_Week], level: Level) -> Found:
    """Weekly rates in standard deviations of the baseline's rate."""
    rate = _rate(baseline, level)
    if not 0 < rate < 1:
        return {"baseline": rate, "why": "the baseline has no such flag, or only such"}
    points = [
        (_rate(week.slides, level) - rate) / (rate * (1 - rate) / len(week.slides)) ** 0.5
        for week in weeks
    ]
    up, down, ewma = Cusum(), Cusum(), Ewma()
    rising, falling = list(up.path(points)), list(down.path([-point for point in points]))
    smooth = list(ewma.path(points))
    return {
        "baseline": rate,
        "cusum_up": rising,
        "cusum_down": falling,
        "cusum_limit": up.limit,
        "ewma": smooth,
        "ewma_limit": ewma.bound,
        "alarms": [
            week.name
            for week, one, other, mean in zip(weeks, rising, falling, smooth, strict=True)
            if max(one, other) > up.limit or abs(mean) > ewma.bound
        ],
    }


def _misses(cases: Sequence[AnalysedCase]) -> Found:
    """Case by case, among those with the condition; the usual rate is the trial's own first."""
    ill = [
        one for one in cases if one.counts and one.joined.truth is Truth.CONDITION and one.slides
    ]
    ill.sort(key=lambda one: (one.slides[0].sealed_at, one.joined.identity))
    chart = BernoulliCusum(0.05, 0.10, 4.0)
    missed = [one.joined.answer.level is not Level.EXPEDITE for one in ill]
    path = list(chart.path(missed))
    return {
        "usual": chart.usual,
        "raised": chart.raised,
        "limit": chart.limit,
        "cases": len(missed),
        "highest": max(path, default=0.0),
        "alarm": any(at > chart.limit for at in path),
    }


def _mix(week: _Week) -> Found:
    counts: dict[str, dict[str, int]] = {}
    for slide in week.slides:
        for name, value in slide.source.items():
            of_kind = counts.setdefault(name, {})
            of_kind[value] = of_kind.get(value, 0) + 1
    return {"week": week.name, **counts}
