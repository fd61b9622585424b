"""Cases whose waits can be worked out by hand."""

import numpy as np

from wsi_ai.trial.waiting.cases import Cases
from wsi_ai.trial.waiting.reading import Staff
from wsi_ai.trial.waiting.week import DAY_S, HOUR_S, weekdays


def nine_to_five(readers: int) -> Staff:
    return Staff(readers, weekdays(9, 17))


def cases_at(
    arrival_s: list[int], *, flagged: tuple[int, ...] = (), urgent: tuple[int, ...] = ()
) -> Cases:
    """Each takes ten minutes."""
    at = np.array(arrival_s, np.int64)
    numbers = np.arange(len(at))
    is_flagged = np.isin(numbers, flagged)
    return Cases(at, np.full(len(at), 600), is_flagged, np.isin(numbers, urgent), is_flagged)


def four_at_nine() -> Cases:
    """The third is flagged, the fourth is urgent."""
    return cases_at([9 * HOUR_S] * 4, flagged=(2,), urgent=(3,))


def friday_evening() -> Cases:
    return cases_at([4 * DAY_S + 18 * HOUR_S], flagged=(0,))


def three_at_five() -> Cases:
    """Five minutes before."""
    return cases_at([16 * HOUR_S + 55 * 60] * 3)
