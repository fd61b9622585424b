"""From exact counts to published ones.

Small numbers are hidden; where one number of a line is hidden alone, the next smallest is too; then
an attacker is let loose on the result, and as long as there is a small number of which more can be
said than the rule itself says, one more number is hidden.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_ai.trial.disclosure.attack import Attacker
from wsi_ai.trial.disclosure.published import (
    PublishedArea,
    PublishedCount,
    PublishedShare,
    let_out,
)
from wsi_ai.trial.disclosure.rule import SmallNumbers
from wsi_ai.trial.disclosure.tables import Key, System
from wsi_ai.trial.evidence.auroc import Area, interval
from wsi_ai.trial.evidence.estimates import Estimate
from wsi_ai.trial.evidence.shares import Share, wilson

_WHOLE_PERCENT_BELOW = 200
_FEWEST_PAIRS = 10_000
"""For a third decimal of an AUROC."""
HIDDEN_SHARE = let_out(PublishedShare, percent=None, low=None, high=None)
HIDDEN_AREA = let_out(PublishedArea, value=None, low=None, high=None)


@dataclass(frozen=True, slots=True)
class Suppressed:
    """What was shown, and how much it cost."""

    counts: Mapping[Key, PublishedCount]
    small: int
    """Numbers hidden because they are small."""
    beside: int
    """Numbers hidden for the sake of others."""


def publish_counts(system: System, rule: SmallNumbers) -> Suppressed:
    small = np.array([rule.is_small(int(value)) for value in system.values], bool)
    hidden = hide(system, rule)
    counts = {
        key: let_out(
            PublishedCount,
            shown=None if hidden[item] else rule.rounded(int(system.values[item])),
        )
        for item, key in enumerate(system.keys)
    }
    return Suppressed(counts, int(small.sum()), int((hidden & ~small).sum()))


def publish_share(hits: PublishedCount, cases: PublishedCount) -> PublishedShare:
    """From what is published anyway, so that it says no more.  Raises ValueError where the hits are
    no part of the cases."""
    if hits.shown is None or cases.shown is None:
        return HIDDEN_SHARE
    found = wilson(Share(hits.shown, cases.shown))
    if not isinstance(found, Estimate):
        return HIDDEN_SHARE
    digits = 0 if cases.shown < _WHOLE_PERCENT_BELOW else 1
    percent, low, high = (round(100 * v, digits) for v in (found.value, found.low, found.high))
    return let_out(PublishedShare, percent=percent, low=low, high=high)


def publish_area(area: Area, rule: SmallNumbers) -> PublishedArea:
    """Of enough cases of both kinds, to two or three decimals."""
    found = interval(area)
    if min(area.positives, area.negatives) < rule.least or not isinstance(found, Estimate):
        return HIDDEN_AREA
    digits = 2 if area.pairs < _FEWEST_PAIRS else 3
    value, low, high = (round(v, digits) for v in (found.value, found.low, found.high))
    return let_out(PublishedArea, value=value, low=low, high=high)


def hide(system: System, rule: SmallNumbers) -> NDArray[np.bool_]:
    """Which items are not shown."""
    small = np.array([rule.is_small(int(value)) for value in system.values], bool)
    hidden = small.copy()
    _hide_neighbours(system, hidden)
    while (exposed := _exposed(system, rule, small, hidden)) is not None:
        hidden[_next_to_hide(system, hidden, exposed)] = True
        _hide_neighbours(system, hidden)
    return hidden


def _hide_neighbours(system: System, hidden: NDArray[np.bool_]) -> None:
    """Until no line has a hidden item alone; one beside zeros only has its total for company."""
    changed = True
    while changed:
        changed = False
        for line in system.lines:
            shown = [item for item in line if not hidden[item] and system.values[item]]
            if sum(bool(hidden[item]) for item in line) == 1 and shown:
                hidden[min(shown, key=lambda item: int(system.values[item]))] = True
                changed = True


def _exposed(
    system: System, rule: SmallNumbers, small: NDArray[np.bool_], hidden: NDArray[np.bool_]
) -> int | None:
    """A small number of which the table tells more than that it is small, and than its zeros do."""
    attacker = Attacker(system, rule, hidden)
    by_zeros = Attacker(system, rule, system.values > 0)
    for item in map(int, np.flatnonzero(small)):
        if attacker.can_be(item, 1, rule.least - 1):
            continue
        if not attacker.can_be(item, by_zeros.least(item), rule.least - 1):
            return item
    return None


def _next_to_hide(system: System, hidden: NDArray[np.bool_], exposed: int) -> int:
    """The smallest that is still shown: of its own lines and totals, or of all."""
    shown = ~hidden & (system.values > 0)
    mine = system.matrix[exposed] > 0
    touching = shown & (system.matrix[:, mine].sum(1) > 0)
    candidates = np.flatnonzero(touching if touching.any() else shown)
    return int(candidates[np.argmin(system.values[candidates])])
