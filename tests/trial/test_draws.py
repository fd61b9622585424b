"""The accuracy with which a list is simulated is what a pool says, and as unsure."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.trial.data_for_tests import known
from tests.trial.regions import Region
from wsi_ai.trial.lists import load_list
from wsi_ai.trial.region.draws import draw_accuracies
from wsi_ai.trial.region.result import result_of
from wsi_ai.trial.region.sites import Sites
from wsi_ai.trial.tutorial.plan import LIST
from wsi_ai.trial.waiting.gain import Group
from wsi_ai.trial.waiting.scenario import simulate, simulate_each

REGION = Region(sites=6)
SITES = Sites(REGION.protocol, 2, tuple(REGION.sums(n, 2) for n in REGION.names), (), (), ())


def test_drawn_accuracies_lie_around_the_mean_over_sites() -> None:
    result = result_of(SITES)
    drawn = draw_accuracies(result, 400, 1)
    sensitivity = np.array([one.sensitivity for one in drawn])
    pooled = known(result.bivariate)
    assert abs(np.median(sensitivity) - pooled.sensitivity.value) < 0.03
    assert sensitivity.std() > 0.005
    assert draw_accuracies(result, 400, 1) == drawn
    assert draw_accuracies(result, 400, 2) != drawn


def test_with_few_sites_they_are_drawn_from_all_cases_together() -> None:
    result = result_of(replace(SITES, exact=SITES.exact[:2]))
    drawn = draw_accuracies(result, 200, 1)
    total = result.specificity.total
    mean = np.mean([one.specificity for one in drawn])
    assert abs(mean - total.hits / total.cases) < 0.02


def test_what_is_not_known_of_the_accuracy_is_in_the_intervals_of_the_waits(
    tmp_path: Path,
) -> None:
    place = tmp_path / "list.toml"
    place.write_text(
        LIST.replace("weeks = 6", "weeks = 1").replace("backlog = 600", "backlog = 60")
    )
    scenario = replace(load_list(place), runs=6)
    same = simulate_each(scenario, [scenario.accuracy] * 6)
    assert same == simulate(scenario)
    apart = [replace(scenario.accuracy, sensitivity=s) for s in (0.1, 0.9) * 3]
    found = known(simulate_each(scenario, apart)[Group.CONDITION].change_h)
    usual = known(same[Group.CONDITION].change_h)
    assert found.high - found.low > 2 * (usual.high - usual.low)
