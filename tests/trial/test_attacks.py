"""Somebody has an open bundle, knows the rule, and tries to learn of single patients.

``WSI_AI_TRIAL_TABLES=1000`` attacks as many bundles.
"""

import os
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.trial.disclosure.test_door import conclusions
from tests.trial.sums import drawn_sums
from wsi_ai.trial.disclosure.published import render
from wsi_ai.trial.disclosure.rule import SmallNumbers
from wsi_ai.trial.disclosure.site import (
    FALSE_POSITIVES,
    SENSITIVITY,
    name_of,
    publish_sums,
    system,
    unexpected_entry,
)
from wsi_ai.trial.evidence.estimates import Estimate
from wsi_ai.trial.evidence.shares import Share, wilson
from wsi_ai.trial.sums import Histogram, SiteSums

NHS = SmallNumbers()
TABLES = int(os.environ.get("WSI_AI_TRIAL_TABLES", "8"))
SUMS = [
    drawn_sums(seed, cases=20 + 37 * seed % 500, levels=("white", "mixed", "Z")[: 2 + seed % 2])
    for seed in range(TABLES)
]


@cache
def shown_at(number: int) -> dict[str, Any]:
    return {name: entry.as_json() for name, entry in publish_sums(SUMS[number], NHS).items()}


def test_adding_and_subtracting_tells_of_small_numbers_only_that_they_are_small() -> None:
    attacked = learnt = by_rule = 0
    for number, sums in enumerate(SUMS):
        whole, entries = system(sums), shown_at(number)
        hidden = np.array([entries[name_of(key)] == "*" for key in whole.keys])
        small = (whole.values > 0) & (whole.values < 8)
        assert (hidden | ~small).all()
        for item in np.flatnonzero(small):
            floor = max(1, conclusions(whole, whole.values > 0, item)[0]) + 1e-6
            low, high = conclusions(whole, hidden, item)
            learnt += low > floor or high < 7 - 1e-6
            low, high = conclusions(whole, small, item)
            by_rule += low > floor or high < 7 - 1e-6
            attacked += 1
    print(f"{attacked} small numbers; learnt by the rule alone {by_rule}, from bundles {learnt}")
    assert by_rule > attacked / 10  # or the attack is too weak to say anything
    assert learnt == 0


@pytest.mark.parametrize("number", range(TABLES))
def test_rates_say_no_more_than_the_counts_beside_them(number: int) -> None:
    """Recovery from rates: whoever has the shown counts can compute every rate there is."""
    entries = shown_at(number)
    for rate, truth in ((SENSITIVITY, "with_condition"), (FALSE_POSITIVES, "without")):
        hits, cases = entries[f"all/expedite/{truth}"], entries[f"all/total/{truth}"]
        percent = entries[rate]["percent"]
        if "*" in (hits, cases) or cases == "0":
            assert percent is None
            continue
        found = wilson(Share(int(hits), int(cases)))
        assert isinstance(found, Estimate)
        assert percent == round(100 * found.value, 0 if int(cases) < 200 else 1)


@pytest.mark.parametrize("sums", SUMS[:4])
def test_whoever_knows_a_slides_score_does_not_find_out_whether_it_took_part(
    sums: SiteSums,
) -> None:
    """Membership: scores by bin, months, scanners and reasons leave no trace."""
    turned = Histogram(sums.histogram.with_condition[::-1], sums.histogram.without[::-1])
    reasons = tuple(replace(reason, code="other") for reason in sums.reasons)
    other = replace(sums, histogram=turned, reasons=reasons, months=(), mix=())
    assert render(publish_sums(other, NHS)) == render(publish_sums(sums, NHS))


@pytest.mark.parametrize("number", range(TABLES))
def test_the_region_takes_what_the_door_lets_out(number: int) -> None:
    sums = SUMS[number]
    levels = {subgroup.name: subgroup.levels for subgroup in sums.subgroups}
    assert unexpected_entry(shown_at(number), levels, NHS) is None


def test_an_area_is_shown_only_where_both_kinds_of_cases_are() -> None:
    """Else it would say of a hidden number that it is 8 or more."""
    for number in range(TABLES):
        entries = shown_at(number)
        kinds = [entries["all/total/with_condition"], entries["all/total/without"]]
        assert "*" not in kinds or entries["auroc"]["value"] is None
