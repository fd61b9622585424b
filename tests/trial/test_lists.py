"""What a queue gains, from a description of it to the line that a lead reads."""

import re
from pathlib import Path

import numpy as np
import pytest
import tomlkit
from typer.testing import CliRunner

from tests.conftest import ROOT
from wsi_ai.cli import app
from wsi_ai.errors import TrialError
from wsi_ai.trial.evidence.estimates import Estimate
from wsi_ai.trial.lists import load_list
from wsi_ai.trial.waiting.cases import draw_cases
from wsi_ai.trial.waiting.gain import Group
from wsi_ai.trial.waiting.reading import waits_s
from wsi_ai.trial.waiting.scenario import Gain, Scenario, simulate
from wsi_ai.trial.waiting.worklist import WITHOUT_FLAGS

LIST = """
[flags]
sensitivity = 0.95
specificity = 0.85
not_assessed = 0.03
after_min = 20

[readers]
number = 1
from_hour = 9
to_hour = 17

[cases]
per_week = 170
with_condition = 0.12
reading_min = 11
reading_condition_min = 18
urgent = 0.10
reading_urgent_min = 12
releases_h = [8, 12, 16]

[runs]
weeks = 4
number = 4
"""


def written(folder: Path, **changes: dict[str, object]) -> Path:
    table = tomlkit.parse(LIST)
    for name, fields in changes.items():
        table[name].update(fields)  # type: ignore[union-attr]
    path = folder / "list.toml"
    path.write_text(tomlkit.dumps(table))
    return path


def test_the_example_of_the_page_is_a_list() -> None:
    scenario = load_list(ROOT / "configs" / "trial-list.toml")
    assert (scenario.demand.backlog, scenario.staff.readers) == (800, 4)
    assert 0.9 < scenario.load < 1


def means(gain: Gain) -> tuple[float, float]:
    found = gain.without_flags.mean_h, gain.with_flags.mean_h
    assert isinstance(found[0], Estimate)
    assert isinstance(found[1], Estimate)
    return found[0].value, found[1].value


def test_cancers_gain_and_those_that_were_missed_pay(tmp_path: Path) -> None:
    found = simulate(load_list(written(tmp_path, cases={"backlog": 100})))
    before, after = means(found[Group.CONDITION])
    assert after < before
    before, after = means(found[Group.MISSED])
    assert after > before
    change = found[Group.CONDITION].change_h
    assert isinstance(change, Estimate)
    assert change.high < 0


def test_flags_on_all_cases_gain_nothing(tmp_path: Path) -> None:
    all_flagged = {"sensitivity": 1.0, "specificity": 0.0, "not_assessed": 0.0, "after_min": 0}
    found = simulate(load_list(written(tmp_path, flags=all_flagged)))
    for gain in found.values():
        assert gain.change_h == Estimate(0.0, 0.0, 0.0)


def test_the_same_seed_gives_the_same_waits(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert simulate(load_list(path)) == simulate(load_list(path))


def test_who_waited_before_the_first_week_is_drawn_and_not_counted(tmp_path: Path) -> None:
    scenario = load_list(written(tmp_path, cases={"backlog": 100}))
    assert scenario.order.flags_after_s == 20 * 60
    waits = []
    for number in range(scenario.runs):
        rng = np.random.default_rng([scenario.seed, number])
        cases = draw_cases(scenario.demand, scenario.accuracy, scenario.cases_a_run, rng)
        ill = cases.condition & (np.arange(len(cases)) >= 100)
        waits.append(waits_s(cases, scenario.staff, WITHOUT_FLAGS)[ill].mean() / 3600)
    found = means(simulate(scenario)[Group.CONDITION])[0]
    assert found == pytest.approx(np.mean(waits))


def test_another_seed_gives_other_waits(tmp_path: Path) -> None:
    one, other = (load_list(written(tmp_path, runs={"seed": seed})) for seed in (1, 2))
    assert simulate(one) != simulate(other)


def test_the_load_is_work_by_hours(tmp_path: Path) -> None:
    """170 cases of 12 minutes and more, in 40 hours."""
    scenario = load_list(written(tmp_path))
    minutes = 0.10 * 12 + 0.90 * (0.12 * 18 + 0.88 * 11)
    assert scenario.load == pytest.approx(170 * minutes / (40 * 60), rel=1e-3)
    assert scenario.cases_a_run == 680


def test_the_gain_and_its_price_stand_in_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["trial", "simulate", str(written(tmp_path))])
    assert done.exit_code == 0, done.output
    last = done.output.splitlines()[-1]
    assert re.search(r"with the condition wait .* not flagged .* of the others", last)
    assert "GROWS" not in done.output


def test_a_list_that_readers_never_get_through_is_called_that(tmp_path: Path) -> None:
    crowded = written(tmp_path, cases={"per_week": 400}, runs={"weeks": 1, "number": 2})
    done = CliRunner().invoke(app, ["trial", "simulate", str(crowded)])
    assert "GROWS WITHOUT END" in done.output


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"readers": {"to_hour": 9}}, r"readers\.to_hour"),
        ({"readers": {"number": 0}}, r"readers\.number"),
        ({"flags": {"sensitivity": 1.2}}, r"flags\.sensitivity"),
        ({"cases": {"releases_h": [24]}}, r"cases\.releases_h"),
        ({"cases": {"per_day": 3}}, "no such field"),
        ({"runs": {"number": 1}}, r"runs\.number"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused_by_its_field(
    tmp_path: Path, changes: dict[str, dict[str, object]], field: str
) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(TrialError, match=field):
        load_list(path)
    assert CliRunner().invoke(app, ["trial", "simulate", str(path)]).exit_code == 2


def test_a_scenario_without_flags_compares_nothing(tmp_path: Path) -> None:
    made = load_list(written(tmp_path))
    with pytest.raises(ValueError, match="has flags"):
        Scenario(made.demand, made.accuracy, made.staff, WITHOUT_FLAGS, 4, 4, 0)
