"""Every wait is the same by another program, and what must hold in any queue holds."""

import itertools
from collections.abc import Generator

import numpy as np
import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from tests.trial.data_for_tests import LAW, known
from tests.trial.waiting.event_loop import finishing, interrupting, ranks
from tests.trial.waiting.hand_made import cases_at, nine_to_five
from wsi_ai.trial.waiting.cases import Accuracy, Cases, Demand, Reading, Seconds, draw_cases
from wsi_ai.trial.waiting.closed_forms import mean_wait, mean_waits, mean_waits_if_interrupted
from wsi_ai.trial.waiting.gain import Group, changes, over_replicates
from wsi_ai.trial.waiting.reading import Staff, waits_if_interrupted_s, waits_s
from wsi_ai.trial.waiting.week import HOUR_S, Hours, weekdays
from wsi_ai.trial.waiting.worklist import WITHOUT_FLAGS, Order

WITH_FLAGS = Order(flags_after_s=0)


@st.composite
def a_list(draw: st.DrawFn, *, most: int = 12) -> Cases:
    """Few cases, close together, so that much happens in the same second."""
    number = draw(st.integers(1, most))
    times = st.lists(st.integers(0, 12), min_size=number, max_size=number)
    flags = st.lists(st.booleans(), min_size=number, max_size=number)
    column = [np.array(draw(flags), bool) for _ in range(3)]
    arrival = np.sort(np.array(draw(times), np.int64))
    return Cases(arrival, np.array(draw(times), np.int64) + 1, column[0], column[1], column[2])


@LAW
@given(a_list(), st.integers(1, 3), st.integers(0, 6), st.none() | st.integers(0, 9))
def test_each_wait_is_that_of_another_program(
    cases: Cases, readers: int, late_s: int, promise_s: int | None
) -> None:
    staff, order = Staff(readers), Order(late_s, promise_s)
    np.testing.assert_array_equal(waits_s(cases, staff, order), finishing(cases, staff, order))


@LAW
@given(a_list(), st.integers(1, 3))
def test_each_wait_is_that_of_another_program_where_cases_interrupt(
    cases: Cases, readers: int
) -> None:
    got = waits_if_interrupted_s(cases, Staff(readers), WITH_FLAGS)
    np.testing.assert_array_equal(got, interrupting(cases, readers, WITH_FLAGS))


DEMAND = Demand(10.0, 0.2, Reading(10.0), urgent=0.1, releases_h=(8, 12.5), on_weekends=False)


@pytest.mark.parametrize("readers", [1, 3])
def test_each_wait_of_weeks_with_hours_and_releases_is_that_of_another_program(
    readers: int,
) -> None:
    rng = np.random.default_rng(readers)
    cases = draw_cases(DEMAND, Accuracy(0.9, 0.8, 0.1), 1500, rng)
    staff, order = nine_to_five(readers), Order(1200, promise_s=5 * 24 * HOUR_S)
    np.testing.assert_array_equal(waits_s(cases, staff, order), finishing(cases, staff, order))


def by_resource(cases: Cases, order: Order, readers: int) -> Seconds:
    """By SimPy's own priority resource, where a case is a process."""
    env, begun = simpy.Environment(), np.zeros(len(cases), np.int64)
    room = simpy.PriorityResource(env, readers)

    def case(number: int, rank: int) -> Generator[simpy.Event, None, None]:
        yield env.timeout(int(cases.arrival_s[number]))
        with room.request(priority=rank * 1_000_000 + number) as turn:
            yield turn
            begun[number] = env.now
            yield env.timeout(int(cases.reading_s[number]))

    for number, rank in enumerate(ranks(cases, order)):
        env.process(case(number, rank))
    env.run()
    return begun - cases.arrival_s


@pytest.mark.parametrize("readers", [1, 2, 3])
def test_each_wait_is_that_of_a_priority_resource(readers: int) -> None:
    demand = Demand(5.0 * readers, 0.2, Reading(10.0), urgent=0.1)
    cases = draw_cases(demand, Accuracy(0.9, 0.8), 1500, np.random.default_rng(readers))
    own = waits_s(cases, Staff(readers), WITH_FLAGS)
    other = by_resource(cases, WITH_FLAGS, readers)
    apart = own != other  # in the same second SimPy hands over before it hears who has come
    assert apart.mean() < 0.02
    assert abs(float(own.mean() - other.mean())) < 2


@LAW
@given(a_list(), st.integers(1, 3))
def test_flags_on_all_cases_change_no_wait(cases: Cases, readers: int) -> None:
    every = Cases(
        cases.arrival_s, cases.reading_s, cases.condition, cases.urgent, np.ones(len(cases), bool)
    )
    for waits in (waits_s, waits_if_interrupted_s):
        np.testing.assert_array_equal(
            waits(every, Staff(readers), WITH_FLAGS), waits(every, Staff(readers), WITHOUT_FLAGS)
        )


@LAW
@given(a_list())
def test_flags_move_waiting_from_some_to_others_and_take_none_away(cases: Cases) -> None:
    """Of one reader: the sum of waits, weighted by reading times, is conserved."""
    arms = [waits_s(cases, Staff(1), order) for order in (WITHOUT_FLAGS, WITH_FLAGS)]
    assert len({int((wait * cases.reading_s).sum()) for wait in arms}) == 1


@LAW
@given(a_list(), st.integers(1, 3))
def test_no_case_waits_less_than_nothing_and_each_is_read_once(cases: Cases, readers: int) -> None:
    for waits in (waits_s, waits_if_interrupted_s):
        assert (waits(cases, Staff(readers), Order(3)) >= 0).all()


@LAW
@given(a_list(), st.integers(1, 3))
def test_with_a_promise_of_no_time_at_all_flags_move_nothing(cases: Cases, readers: int) -> None:
    """But among cases that came in the same second."""
    nobody = np.zeros(len(cases), bool)
    ordinary = Cases(cases.arrival_s, cases.reading_s, cases.condition, nobody, cases.flagged)
    waits = waits_s(ordinary, Staff(readers), Order(flags_after_s=0, promise_s=0))
    begun_s = {at: set[int]() for at in cases.arrival_s.tolist()}
    for at, wait in zip(cases.arrival_s.tolist(), waits.tolist(), strict=True):
        begun_s[at].add(at + wait)
    for earlier, later in itertools.pairwise(begun_s.values()):
        assert max(earlier) <= min(later)


def test_who_was_promised_a_turn_after_25_minutes_gets_it_before_the_flags() -> None:
    at = [9 * HOUR_S, 9 * HOUR_S, *(9 * HOUR_S + 300 * k for k in range(1, 6))]
    cases = cases_at(at, flagged=(0, 2, 3, 4, 5, 6))
    never = waits_s(cases, nine_to_five(1), WITH_FLAGS)
    promised = waits_s(cases, nine_to_five(1), Order(0, promise_s=1500))
    assert never[1] == 3600
    to_the_second = [waits_s(cases, nine_to_five(1), Order(0, promise_s=s)) for s in (600, 601)]
    assert [waits[1] for waits in to_the_second] == [600, 1200]
    assert promised[1] == 1800


def test_a_case_released_before_the_weekend_waits_for_monday_however_it_is_flagged() -> None:
    cases = cases_at([4 * 24 * HOUR_S + 16 * HOUR_S + 59 * 60] * 2, flagged=(1,))
    waits = waits_s(cases, nine_to_five(1), WITH_FLAGS)
    assert waits.tolist() == [60 + 64 * HOUR_S, 0]


@pytest.mark.parametrize("readers", [1, 2])
def test_long_runs_come_to_the_closed_forms(readers: int) -> None:
    """Within what eight runs leave to chance, and 3 %."""
    per_minute = 0.7 * readers / 10
    demand = Demand(60 * per_minute, 0.1, Reading(10.0))
    first, rest = 0.18 * per_minute, 0.82 * per_minute
    finish, resume = [], []
    for seed in range(8):
        cases = draw_cases(demand, Accuracy(0.9, 0.9), 6000, np.random.default_rng(seed))
        for found, waits in ((finish, waits_s), (resume, waits_if_interrupted_s)):
            minutes = waits(cases, Staff(readers), WITH_FLAGS) / 60
            found.append((minutes[cases.flagged].mean(), minutes[~cases.flagged].mean()))
    for runs, exact in (
        (finish, mean_waits(readers, (first, rest), 10)),
        (resume, mean_waits_if_interrupted(readers, first, rest, 10)),
    ):
        for arm, expected in zip(zip(*runs, strict=True), exact, strict=True):
            got = known(over_replicates(arm, alpha=0.001))
            assert got.low - 0.03 * expected < expected < got.high + 0.03 * expected


def test_flagged_cases_gain_and_missed_ones_pay_and_both_are_shown() -> None:
    demand = Demand(5.5, 0.2, Reading(10.0), backlog=50)
    cases = draw_cases(demand, Accuracy(0.8, 0.9, 0.1), 2000, np.random.default_rng(3))
    arms = [waits_s(cases, Staff(1), order) for order in (WITHOUT_FLAGS, WITH_FLAGS)]
    of = changes(cases, arms[0], arms[1], counted=slice(50, None))
    assert of[Group.FLAGGED].with_flags.mean_s < of[Group.FLAGGED].without_flags.mean_s
    for group in (Group.MISSED, Group.NOT_FLAGGED):
        assert of[group].with_flags.mean_s > of[group].without_flags.mean_s
        assert of[group].with_flags.p95_s > of[group].without_flags.p95_s
    assert Group.URGENT not in of
    assert of[Group.CONDITION].with_flags.cases + of[Group.NO_CONDITION].with_flags.cases == 2000


def test_a_backlog_waits_from_the_first_second_of_the_first_week() -> None:
    demand = Demand(1.0, 0.5, Reading(10.0), backlog=7)
    cases = draw_cases(demand, Accuracy(1.0, 1.0), 3, np.random.default_rng(0))
    assert (cases.arrival_s[:7] == 0).all()
    assert len(cases) == 10


def test_cases_that_were_not_assessed_are_not_flagged() -> None:
    demand = Demand(1.0, 0.5, Reading(10.0))
    cases = draw_cases(demand, Accuracy(1.0, 0.0, not_assessed=1.0), 100, np.random.default_rng(0))
    assert not cases.flagged.any()


def test_no_case_comes_on_a_weekend_or_between_releases_where_none_does() -> None:
    cases = draw_cases(DEMAND, Accuracy(0.9, 0.8), 3000, np.random.default_rng(1))
    hours = cases.arrival_s % (24 * HOUR_S) / HOUR_S
    assert set(hours.tolist()) == {8.0, 12.5}
    assert set((cases.arrival_s // (24 * HOUR_S) % 7).tolist()) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(
    "spans", [(), ((5, 5),), ((0, 9), (8, 12)), ((-1, 5),), ((0, 7 * 24 * HOUR_S + 1),)]
)
def test_hours_that_are_no_hours_are_refused(spans: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(ValueError, match="spans of one week"):
        Hours(spans)


@LAW
@given(st.integers(0, 10**7))
def test_the_next_opening_is_open_and_none_was_earlier(now_s: int) -> None:
    hours = weekdays(9, 17)
    opens = hours.next_open(now_s)
    assert opens >= now_s
    assert hours.next_open(opens) == opens
    assert opens == now_s or hours.next_open(opens - 1) == opens


def test_a_load_that_readers_cannot_keep_up_with_has_no_mean_wait() -> None:
    with pytest.raises(ValueError, match="never keep up"):
        mean_wait(2, 0.2, 10)
