"""What leaves gives no small number away, whoever adds and subtracts."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from tests.conftest import ROOT
from wsi_ai.errors import TrialError
from wsi_ai.trial.disclosure.door import (
    hide,
    publish_area,
    publish_counts,
    publish_share,
)
from wsi_ai.trial.disclosure.published import Published, PublishedCount, render
from wsi_ai.trial.disclosure.rule import SmallNumbers
from wsi_ai.trial.disclosure.tables import Breakdown, Key, System
from wsi_ai.trial.evidence.auroc import Area

NHS = SmallNumbers()
TABLES = int(os.environ.get("WSI_AI_TRIAL_TABLES", "8"))


def drawn(seed: int) -> System:
    """Flag by truth, with some characteristic; small numbers are common."""
    rng = np.random.default_rng(seed)
    overall = rng.poisson(rng.choice([1, 4, 15, 60], (2, 2) if seed % 2 else (3, 2)))
    levels = int(rng.integers(2, 4))
    split = [rng.multinomial(n, rng.dirichlet(np.ones(levels))) for n in overall.ravel()]
    counts = np.moveaxis(np.array(split).reshape(*overall.shape, levels), -1, 0)
    names = tuple(f"level {k}" for k in range(levels))
    return System(overall, (Breakdown("sex", names, counts),) if seed % 3 else ())


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0"), (1, "*"), (7, "*"), (8, "10"), (12, "10"), (13, "15"), (17, "15"), (18, "20")],
)
def test_the_rule_is_that_of_hospital_statistics(count: int, shown: str) -> None:
    published = publish_counts(System(np.array([count, 500])), NHS).counts
    assert str(published[Key((0,))]) == shown


@given(st.integers(8, 10_000), st.integers(5, 16), st.integers(8, 20))
def test_the_counts_that_are_shown_alike_are_those_that_the_attacker_takes_for_possible(
    count: int, round_to: int, least: int
) -> None:
    rule = SmallNumbers(least, round_to)
    if rule.is_small(count):
        return
    shown = rule.rounded(count)
    low, high = rule.possible(shown)
    assert low <= count <= high
    for other in (low - 1, high + 1):
        assert rule.is_small(other) or rule.rounded(other) != shown


@pytest.mark.parametrize("wrong", [(7, 5), (8, 4), (8, 50)])
def test_a_protocol_may_ask_for_more_and_not_for_less(wrong: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"hidden|rounded to 0"):
        SmallNumbers(*wrong)


@settings(max_examples=TABLES)
@given(st.integers(0, 10**6))
def test_every_published_count_is_0_or_hidden_or_a_multiple_of_5_from_10_on(seed: int) -> None:
    system = drawn(seed)
    for key, count in publish_counts(system, NHS).counts.items():
        exact = int(system.values[system.number[key]])
        assert count.shown is None or (count.shown == 0) == (exact == 0)
        assert (
            count.shown is None
            or count.shown == 0
            or (count.shown >= 10 and count.shown % 5 == 0 and abs(count.shown - exact) <= 2)
        )


def conclusions(system: System, hidden: np.ndarray, item: int) -> tuple[float, float]:
    """An attacker of the test's own, by linear programming on what is shown."""
    rows, top, bottom = [], [], []
    for k, value in enumerate(system.values):
        rows.append(system.matrix[k])
        if hidden[k]:
            bottom.append(1.0)
            top.append(10_000.0)
        elif value == 0:
            bottom.append(0.0)
            top.append(0.0)
        else:
            shown = 5 * int((value + 2.5) // 5)
            bottom.append(max(8.0, shown - 2.0))
            top.append(shown + 2.0)
    a = np.array(rows, float)
    links = system.links if len(system.links) else None
    found = [
        optimize.linprog(
            sign * a[item],
            A_ub=np.vstack([a, -a]),
            b_ub=np.concatenate([top, -np.array(bottom)]),
            A_eq=links,
            b_eq=None if links is None else np.zeros(len(links)),
        ).fun
        for sign in (1, -1)
    ]
    return found[0], -found[1]


def success_rates(tables: int) -> dict[str, list[float]]:
    """Shares of small numbers of which more is learnt than that they are small, and of those that
    are found out: by the rule alone, and through the door.  What the zeros say is not counted."""
    narrowed, pinned = [0, 0], [0, 0]
    total = 0
    for seed in range(tables):
        system = drawn(seed)
        small = (system.values > 0) & (system.values < 8)
        arms = (small, hide(system, NHS))
        for item in np.flatnonzero(small):
            floor = max(1, conclusions(system, system.values > 0, item)[0]) + 1e-6
            for arm, hidden in enumerate(arms):
                low, high = conclusions(system, hidden, item)
                narrowed[arm] += low > floor or high < 7 - 1e-6
                pinned[arm] += high - low < 0.5
            total += 1
    rates = {"narrowed": [n / total for n in narrowed], "pinned": [n / total for n in pinned]}
    print(f"{total} small numbers in {tables} tables; rule alone, through the door: {rates}")
    return rates


def test_an_attacker_learns_of_small_numbers_only_that_they_are_small() -> None:
    rates = success_rates(TABLES)
    assert rates["narrowed"][0] > 0.2  # or the tables are too easy to say anything
    assert rates["narrowed"][1] == rates["pinned"][1] == 0


def test_nothing_is_pinned_in_any_table_of_two_by_two() -> None:
    """By trying every table there is, and not by programming."""
    every = [
        np.array(cells).reshape(2, 2) for cells in itertools.product((0, 1, 4, 9, 13), repeat=4)
    ]
    rng = np.random.default_rng(0)
    chosen = [every[k] for k in rng.choice(len(every), 40, replace=False)]
    grid = np.array(list(itertools.product(range(16), repeat=4)))
    totals = np.stack(
        [
            *grid.T,
            grid[:, 0] + grid[:, 1],
            grid[:, 2] + grid[:, 3],
            grid[:, 0] + grid[:, 2],
            grid[:, 1] + grid[:, 3],
            grid.sum(1),
        ],
        1,
    )
    order = [
        Key((0, 0)),
        Key((0, 1)),
        Key((1, 0)),
        Key((1, 1)),
        Key((0, None)),
        Key((1, None)),
        Key((None, 0)),
        Key((None, 1)),
        Key((None, None)),
    ]
    for table in chosen:
        counts = publish_counts(System(table), NHS).counts
        fits = np.ones(len(grid), bool)
        for k, key in enumerate(order):
            shown = counts[key].shown
            if shown is None:
                fits &= totals[:, k] >= 1
            elif shown == 0:
                fits &= totals[:, k] == 0
            else:
                fits &= (abs(totals[:, k] - shown) <= 2) & (totals[:, k] >= 8)
        for k, value in enumerate(table.ravel()):
            if 0 < value < 8:
                assert set(range(1, 8)) <= set(totals[fits, k].tolist())


def test_one_small_level_takes_the_next_smallest_with_it() -> None:
    """Else it is the difference to the total."""
    published = publish_counts(System(np.array([3, 20, 55, 90])), NHS).counts
    shown = [str(published[Key((k,))]) for k in (0, 1, 2, 3, None)]
    assert shown == ["*", "*", "55", "90", "170"]


def test_a_number_hidden_in_one_table_is_hidden_in_all() -> None:
    """The same number, as the total of two characteristics."""
    overall = np.array([40, 300])
    sex = Breakdown("sex", ("f", "m"), np.array([[38, 150], [2, 150]]))
    age = Breakdown("age", ("young", "old"), np.array([[20, 100], [20, 200]]))
    counts = publish_counts(System(overall, (sex, age)), NHS).counts
    assert counts[Key((0,), "sex", "m")].shown is None
    assert counts[Key((0,), "sex", "f")].shown is None
    assert str(counts[Key((0,))]) == "40"
    assert str(counts[Key((0,), "age", "old")]) == "20"


def test_tables_that_cannot_be_checked_are_not_published() -> None:
    """Counts beyond what the attacker reckons with."""
    with pytest.raises(TrialError, match="nothing of them is published"):
        publish_counts(System(np.array([[3, 40], [2_000_000, 0]])), NHS)


def test_levels_that_do_not_cover_every_case_are_refused() -> None:
    with pytest.raises(ValueError, match="add up"):
        System(np.array([4, 5]), (Breakdown("sex", ("f",), np.array([[4, 4]])),))
    with pytest.raises(ValueError, match="0 or more"):
        System(np.array([-1]))
    one = Breakdown("sex", ("f",), np.array([[4, 5]]))
    with pytest.raises(ValueError, match="once"):
        System(np.array([4, 5]), (one, one))


def test_a_share_is_that_of_the_published_counts() -> None:
    """50 of 51 as 98.04 % would give both away."""
    counts = publish_counts(System(np.array([50, 1])), NHS).counts
    hidden = publish_share(counts[Key((0,))], counts[Key((None,))])
    assert hidden.percent is None
    counts = publish_counts(System(np.array([92, 8])), NHS).counts
    share = publish_share(counts[Key((0,))], counts[Key((None,))])
    assert (share.percent, share.low, share.high) == (90, 83, 94)
    with pytest.raises(ValueError, match="hits are some"):
        publish_share(counts[Key((None,))], counts[Key((0,))])
    large = publish_counts(System(np.array([921, 81])), NHS).counts
    assert publish_share(large[Key((0,))], large[Key((None,))]).percent == 92.0


def test_an_area_of_few_cases_is_not_shown_and_others_have_few_decimals() -> None:
    assert publish_area(Area(0.9, 0.001, 7, 400), NHS).value is None
    assert publish_area(Area(0.87654, 0.001, 40, 100), NHS).value == 0.88
    assert publish_area(Area(0.87654, 0.0001, 400, 1000), NHS).value == 0.877
    assert publish_area(Area(1.0, 0.0, 40, 100), NHS).value is None


FORGOTTEN = """
from wsi_ai.trial.disclosure.published import PublishedCount, render
render({"misses": 3})
PublishedCount(3)
"""


def test_forgetting_to_suppress_is_a_type_error_and_an_error(tmp_path: Path) -> None:
    from mypy import api  # a second to load, for this test alone

    script = tmp_path / "sends.py"
    script.write_text(FORGOTTEN)
    as_checked = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir"]
    found, _, status = api.run([str(script), *as_checked, str(ROOT / ".mypy_cache")])
    assert status == 1
    lines = [line for line in found.splitlines() if ": error: " in line]
    assert [line.split(":")[1] for line in lines] == ["3", "4"], found
    with pytest.raises(TypeError, match="what is published is made by"):
        PublishedCount(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Published()  # type: ignore[abstract,call-arg]


def test_what_is_rendered_is_what_was_published() -> None:
    counts = publish_counts(System(np.array([3, 20, 55, 90])), NHS).counts
    assert render({"b": counts[Key((0,))], "a": counts[Key((2,))]}) == '{"a": "55", "b": "*"}'
