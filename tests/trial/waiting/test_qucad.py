"""The waits that the FDA's QuCAD publishes (user manual of 2023, listings 7 and 9)."""

import json
import os

import numpy as np
import pytest

from tests.trial.data_for_tests import FOLDER
from wsi_ai.trial.waiting.cases import Accuracy, Demand, Reading, draw_cases
from wsi_ai.trial.waiting.gain import Group, changes
from wsi_ai.trial.waiting.reading import Staff, waits_if_interrupted_s
from wsi_ai.trial.waiting.worklist import WITHOUT_FLAGS, Order

GROUPS = {
    "diseased": Group.CONDITION,
    "positive": Group.FLAGGED,
    "negative": Group.NOT_FLAGGED,
    "non-diseased": Group.NO_CONDITION,
}
SLOW = os.environ.get("WSI_AI_SLOW") == "1"


def mean_minutes(cases_each: int, seeds: int) -> dict[str, tuple[float, float, float]]:
    """Without, with, difference."""
    demand = Demand(60 * 0.8 * 2 / 9.5, 0.1, Reading(10.0), urgent=0.1)
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in GROUPS}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        cases = draw_cases(demand, Accuracy(0.9, 0.9), cases_each, rng)
        arms = [
            waits_if_interrupted_s(cases, Staff(2), order)
            for order in (WITHOUT_FLAGS, Order(flags_after_s=0))
        ]
        of = changes(cases, arms[0], arms[1], counted=slice(cases_each // 20, None))
        for name, group in GROUPS.items():
            without, with_flags = (
                arm.mean_s / 60 for arm in (of[group].without_flags, of[group].with_flags)
            )
            found[name].append((without, with_flags, with_flags - without))
    return {name: tuple(np.mean(runs, 0)) for name, runs in found.items()}


@pytest.mark.parametrize(
    ("cases_each", "seeds", "within"),
    [
        (15_000, 2, 0.25),
        pytest.param(
            400_000,
            4,
            0.05,
            marks=[pytest.mark.slow, pytest.mark.skipif(not SLOW, reason="takes minutes")],
        ),
    ],
)
def test_the_published_waits_come_out(cases_each: int, seeds: int, within: float) -> None:
    published = json.loads((FOLDER / "qucad_published.json").read_text())["published"]
    got = mean_minutes(cases_each, seeds)
    print(got)
    for name, expected in published.items():
        np.testing.assert_allclose(got[name], expected, rtol=within)
