"""Who gets which slide next, without a process."""

from collections import deque
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from wsi_ai.run.fleet.dispatch import Dispatch


def dispatch(slides: int, slots: int = 2) -> Dispatch:
    return Dispatch(deque(range(slides)), set(range(slots)))


def end_and_start_anew(queue: Dispatch, slot: int) -> list[int]:
    _, given_up = queue.ended(slot)
    queue.slots.add(slot)
    return list(given_up)


def test_a_slide_that_is_tried_again_runs_elsewhere_and_alone() -> None:
    queue = dispatch(6)
    assert [queue.next_for(0), queue.next_for(0), queue.next_for(1)] == [0, 1, 2]
    assert end_and_start_anew(queue, 0) == []
    assert queue.next_for(1) is None, "it first has to be done with what it holds"
    queue.done(1, 2)
    assert queue.next_for(1) == 0
    assert queue.next_for(1) is None, "nothing beside a slide that may bring the worker down"
    assert queue.next_for(0) == 3, "its own go to the other"
    queue.done(1, 0)
    assert queue.next_for(1) == 1


def test_where_there_is_no_other_device_it_is_tried_again_on_the_same() -> None:
    queue = dispatch(1, slots=1)
    assert queue.next_for(0) == 0
    assert end_and_start_anew(queue, 0) == []
    assert queue.next_for(0) == 0
    assert end_and_start_anew(queue, 0) == [0]
    assert queue.over


def test_a_slide_that_a_worker_had_taken_to_try_again_is_free_when_it_ends() -> None:
    queue = dispatch(3, slots=3)
    assert [queue.next_for(slot) for slot in (0, 1, 2)] == [0, 1, 2]
    end_and_start_anew(queue, 0)
    assert queue.next_for(1) is None
    queue.ended(1)
    queue.done(2, 2)
    assert queue.next_for(2) == 0


@given(st.integers(1, 8), st.integers(1, 20), st.integers(0, 1 << 32))
def test_a_worker_that_goes_away_in_order_costs_no_slide_a_try(
    slides: int, departures: int, seed: int
) -> None:
    """However many go, as where a batch system's time is up: every slide is done in the end."""
    queue, random, done = dispatch(slides, slots=1), Random(seed), set[int]()
    for slot in range(departures):
        for _ in range(random.randint(1, 2)):
            queue.next_for(slot)
        queue.left(slot)
        queue.slots = {slot + 1}
    while (number := queue.next_for(departures)) is not None:
        queue.done(departures, number)
        done.add(number)
    assert queue.over
    assert done == set(range(slides))


@given(st.integers(1, 12), st.integers(1, 3), st.integers(0, 1 << 32))
def test_every_slide_is_done_or_given_up_once_and_never_alone_beside_another(
    slides: int, slots: int, seed: int
) -> None:
    """Workers ask, finish and end in any order."""
    queue, held, ended = dispatch(slides, slots), {n: set[int]() for n in range(slots)}, list[int]()
    tries: dict[int, int] = {}
    random = Random(seed)
    for _ in range(2000):
        slot = random.randrange(slots)
        what = random.choice(["ask", "ask", "ask", "done", "done", "end"])
        if what == "ask" and len(held[slot]) < 3 and (n := queue.next_for(slot)) is not None:
            held[slot].add(n)
            tries[n] = tries.get(n, 0) + 1
            assert not any(tries[n] > 1 for n in held[slot]) or len(held[slot]) == 1
        elif what == "done" and held[slot]:
            ended.append(held[slot].pop())
            queue.done(slot, ended[-1])
        elif what == "end" and held[slot]:
            ended += end_and_start_anew(queue, slot)
            held[slot].clear()
        if queue.over:
            break
    assert queue.over
    assert sorted(ended) == list(range(slides))
    assert max(tries.values()) <= 2
