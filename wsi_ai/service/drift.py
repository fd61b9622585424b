"""Whether what a model says at one trust has moved: control limits, and no cause.  Pure.

A share (of slides to expedite, or not assessed) is held to the 3-sigma limits of a p chart, and a
median score to 3 standard errors of a median, with the spread from the median absolute deviation:
NIST/SEMATECH e-Handbook of Statistical Methods, 6.3.3.2 and 1.3.5.6 (1.4826 MAD for sigma); the
standard error of a median is 1.2533 sigma / sqrt(n).  About three comparisons in a thousand warn by
chance.  The scanner is not part of a flag: that a trust has more than one makes this less sharp.
"""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from wsi_ai.core.flags import Level

LEAST_NOW, LEAST_BEFORE = 30, 100
"""Number of slides; from fewer nothing follows."""
_LIMIT = 3.0
_LEAST_SPREAD = 0.005
"""Of scores that are shown with two digits."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer."""

    level: str
    score: float | None


@dataclass(frozen=True, slots=True)
class Moved:
    """What is now, what it was, and how far outside of what chance explains."""

    what: str
    now: float
    before: float
    sigmas: float


def moved(now: Sequence[Judged], before: Sequence[Judged]) -> Iterator[Moved]:
    """Of the answers of a model at a trust lately, and of those before."""
    if len(now) < LEAST_NOW or len(before) < LEAST_BEFORE:
        return
    rates: dict[str, Callable[[Judged], bool]] = {
        "share to expedite": lambda one: one.level == Level.EXPEDITE,
        "share not assessed": lambda one: one.level == Level.NOT_ASSESSED,
    }
    for what, is_one in rates.items():
        p_now = sum(map(is_one, now)) / len(now)
        p_before = sum(map(is_one, before)) / len(before)
        found = Moved(what, p_now, p_before, _of_share(p_now, p_before, len(now), len(before)))
        if abs(found.sigmas) > _LIMIT:
            yield found
    found_median = _of_scores(_scores(now), _scores(before))
    if found_median is not None and abs(found_median.sigmas) > _LIMIT:
        yield found_median


def _scores(answers: Sequence[Judged]) -> list[float]:
    return [one.score for one in answers if one.score is not None]


def _of_share(now: float, before: float, n_now: int, n_before: int) -> float:
    """A share that was 0 or 1 so far is taken for half a slide more than that."""
    p = min(max(before, 0.5 / n_before), 1 - 0.5 / n_before)
    return (now - before) / math.sqrt(p * (1 - p) * (1 / n_now + 1 / n_before))


def _of_scores(now: Sequence[float], before: Sequence[float]) -> Moved | None:
    if len(now) < LEAST_NOW or len(before) < LEAST_BEFORE:
        return None
    middle = statistics.median(before)
    spread = 1.4826 * statistics.median(abs(score - middle) for score in before)
    sigma = 1.2533 * max(spread, _LEAST_SPREAD) * math.sqrt(1 / len(now) + 1 / len(before))
    found = statistics.median(now)
    return Moved("median score", found, middle, (found - middle) / sigma)
