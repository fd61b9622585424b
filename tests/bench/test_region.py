"""The queue's simulation, held to what is known exactly, and a region by it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_ai.bench.line import Arrival, waits_s
from wsi_ai.bench.region import Region, Stages, Trust, simulate
from wsi_ai.trial.waiting.closed_forms import mean_wait, mean_waits

EVEN = Trust(1.0, (1 / 24,) * 24)
STAGES = Stages((2.0, 4.0), (8.0, 12.0), (1.0, 3.0))


def poisson(
    rate: float, count: int, busy: object, urgent: float = 0.0, seed: int = 1
) -> list[Arrival]:
    rng = np.random.default_rng(seed)
    at = np.cumsum(rng.exponential(1 / rate, count))
    first = rng.random(count) < urgent
    lasts = rng.exponential(1.0, count) if busy == "exponential" else np.ones(count)
    return [
        Arrival(float(t), float(t), float(b), bool(u))
        for t, b, u in zip(at, lasts, first, strict=True)
    ]


@pytest.mark.parametrize(("workers", "load"), [(1, 0.7), (3, 0.8)])
def test_the_mean_wait_is_erlangs(workers: int, load: float) -> None:
    arrivals = poisson(load * workers, 20_000, "exponential")
    found = float(np.mean(waits_s(arrivals, workers)[2_000:]))
    assert found == pytest.approx(mean_wait(workers, load * workers, 1.0), rel=0.12)


def test_slides_that_all_take_the_same_wait_half_as_long_with_one_worker() -> None:
    """Pollaczek and Khinchine: the mean wait of M/D/1 is half that of M/M/1."""
    found = float(np.mean(waits_s(poisson(0.7, 20_000, "same"), 1)[2_000:]))
    assert found == pytest.approx(mean_wait(1, 0.7, 1.0) / 2, rel=0.1)


def test_urgent_slides_wait_as_cobham_has_it() -> None:
    arrivals = poisson(1.6, 20_000, "exponential", urgent=0.3)
    waits, urgent = np.array(waits_s(arrivals, 2)), np.array([a.urgent for a in arrivals])
    first, rest = mean_waits(2, (0.3 * 1.6, 0.7 * 1.6), 1.0)
    assert float(waits[urgent].mean()) == pytest.approx(first, rel=0.1)
    assert float(waits[~urgent].mean()) == pytest.approx(rest, rel=0.15)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9), st.booleans()), max_size=25))
def test_with_a_worker_for_each_slide_none_waits(found: list[tuple[int, int, bool]]) -> None:
    arrivals = [Arrival(t, t + 5, busy, urgent) for t, busy, urgent in sorted(found)]
    assert waits_s(arrivals, max(1, len(arrivals))) == [0.0] * len(arrivals)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=15), st.integers(1, 3))
def test_no_slide_that_came_later_of_the_same_urgency_begins_sooner(
    times: list[int], workers: int
) -> None:
    arrivals = [Arrival(t, t + 60, 7.0) for t in sorted(times)]
    begun = [a.at_s + w for a, w in zip(arrivals, waits_s(arrivals, workers), strict=True)]
    assert begun == sorted(begun)


def test_among_the_others_the_earliest_due_goes_first() -> None:
    held = Arrival(0, 0, 10)
    waits = waits_s(
        [held, Arrival(1, 100, 5), Arrival(2, 50, 5), Arrival(3, 900, 5, urgent=True)], 1
    )
    assert waits == [0, 19, 13, 7]


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 4), st.integers(0, 99))
def test_one_worker_more_never_makes_the_region_slower(workers: int, seed: int) -> None:
    region = Region([EVEN], 500, urgent=0.1)
    few, more = (simulate(region, STAGES, n, 1, seed) for n in (workers, workers + 1))
    assert more.others.p95 <= few.others.p95 + 1e-9
    assert more.urgent.p50 <= few.urgent.p50 + 1e-9


def test_a_flag_takes_what_its_stages_take_where_nobody_waits() -> None:
    region = Region([EVEN], 50, urgent=0.0, before_s=60, after_s=0)
    found = simulate(region, Stages((2.0,), (8.0,), (1.0,)), 50, 2, seed=1)
    assert found.others.p50 == found.others.p95 == pytest.approx(71 / 60)
    assert np.isnan(found.urgent.p50)


def test_stage_costs_come_from_a_runs_record() -> None:
    spans = [
        ("opening", 0, 1),
        ("quality", 1, 3),
        ("queue", 3, 9),
        ("inference", 9, 14),
        ("writing", 14, 15),
    ]
    slide = {"spans": [{"stage": s, "start_s": a, "end_s": b} for s, a, b in spans]}
    found = Stages.of({"slides": [slide, {"spans": []}]})
    assert found == Stages((3.0,), (5.0,), (1.0,))
    assert (found.busy_s(), found.through_s()) == ([5.0], [9.0])
    assert found.with_inference(1.0).inference == (1.0,)
    with pytest.raises(ValueError, match="no slide"):
        Stages.of({"slides": []})


def test_shares_that_are_no_whole_are_refused() -> None:
    with pytest.raises(ValueError, match="between them"):
        Region([replace(EVEN, share=0.5)], 100, urgent=0.1)
    with pytest.raises(ValueError, match="each hour"):
        Trust(1.0, (1 / 12,) * 12)
    with pytest.raises(ValueError, match="1 worker"):
        waits_s([], 0)
    with pytest.raises(ValueError, match="order"):
        waits_s([Arrival(5, 5, 1), Arrival(1, 1, 1)], 1)
