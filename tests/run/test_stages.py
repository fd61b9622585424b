"""The assembly line: order, overlap, bounds, and ends."""

import threading
import time
from collections.abc import Callable

import pytest

from wsi_ai.run.stages import through_stages


def never() -> None:
    raise AssertionError("the line was stopped")


def test_items_pass_all_stages_and_come_back_in_order() -> None:
    stages = (lambda x: [*x, 1], lambda x: [*x, 2], lambda x: [*x, 3])
    out = list(through_stages([[n] for n in range(7)], stages, never))
    assert out == [[n, 1, 2, 3] for n in range(7)]


def test_stages_work_side_by_side_on_neighbouring_items() -> None:
    """Two stages that wait for each other on neighbouring items: alone, neither would end."""
    meet = threading.Barrier(2, timeout=10)

    def first(n: int) -> int:
        if n > 0:
            meet.wait()
        return n

    def second(n: int) -> int:
        if n < 3:
            meet.wait()
        return n

    assert list(through_stages(range(4), (first, second), never)) == [0, 1, 2, 3]


def test_no_more_items_are_under_way_than_there_are_stages() -> None:
    taken = []

    def items() -> object:
        for n in range(20):
            taken.append(n)
            yield n

    line = through_stages(items(), (lambda n: n, lambda n: n, lambda n: n), never)
    for n, got in enumerate(line):
        assert got == n
        assert len(taken) - n <= 3


def test_only_the_next_item_is_made_ready_while_one_is_in_the_stage_before_the_last() -> None:
    """The middle stage waits for a third item to be begun, in vain."""
    begun, third = list[int](), threading.Event()

    def first(n: int) -> int:
        begun.append(n)
        if n == 2:
            third.set()
        return n

    def middle(n: int) -> int:
        assert n or not third.wait(0.2)
        return n

    assert list(through_stages(range(4), (first, middle, lambda n: n), never)) == [0, 1, 2, 3]
    assert begun == [0, 1, 2, 3]


def telling(event: threading.Event, item: int) -> Callable[[int], int]:
    """A stage that sets the event when the item comes to it."""

    def stage(n: int) -> int:
        if n == item:
            event.set()
        return n

    return stage


def waiting(event: threading.Event, item: int) -> Callable[[int], int]:
    """A stage from which the item leaves when the event is set, or as -1 where that never is."""
    return lambda n: n if n != item or event.wait(10) else -1


def test_an_item_that_passes_the_middle_stage_lets_the_next_be_made_ready_beside_it() -> None:
    """Item 0 leaves the middle stage only when item 2 has been made ready."""
    third = threading.Event()
    stages = (telling(third, 2), waiting(third, 0), lambda n: n)
    line = through_stages(range(4), stages, never, passes=lambda n: n == 1)
    assert list(line) == [0, 1, 2, 3]


def test_behind_one_that_passes_the_next_is_made_ready_while_another_is_in_the_last_stage() -> None:
    """Item 0 leaves the last stage, and item 1 the middle one, only when item 3 was made ready."""
    fourth = threading.Event()
    stages = (telling(fourth, 3), waiting(fourth, 1), waiting(fourth, 0))
    line = through_stages(range(5), stages, never, passes=lambda n: n == 2)
    assert list(line) == [0, 1, 2, 3, 4]


def test_no_more_than_one_of_those_that_pass_is_let_by() -> None:
    begun, seen, release = list[int](), list[int](), threading.Event()

    def first(n: int) -> int:
        begun.append(n)
        return n

    def middle(n: int) -> int:
        release.wait(10)
        return n

    def look() -> None:
        seen.extend(begun)
        release.set()

    threading.Timer(0.3, look).start()
    line = through_stages(range(9), (first, middle, lambda n: n), never, passes=lambda n: n > 0)
    assert list(line) == list(range(9))
    assert seen == [0, 1, 2, 3]


def test_who_gives_up_stops_what_is_under_way() -> None:
    stopped = threading.Event()

    def slow(n: int) -> int:
        stopped.wait(10)
        return n

    line = through_stages(range(100), (lambda n: n, slow), stopped.set)
    threading.Timer(0.05, stopped.set).start()
    assert next(line) == 0
    stopped.clear()
    start = time.monotonic()
    line.close()
    assert stopped.is_set()
    assert time.monotonic() - start < 5


def test_an_error_of_a_stage_reaches_the_caller_and_stops_the_line() -> None:
    stopped = threading.Event()

    def fail(n: int) -> int:
        return 1 // (n - 2)

    line = through_stages(range(9), (lambda n: n, fail), stopped.set)
    assert [next(line), next(line)] == [-1, -1]
    with pytest.raises(ZeroDivisionError):
        next(line)
    assert stopped.is_set()


def test_items_that_are_over_after_the_first_stage_do_not_hold_up_the_next() -> None:
    """Item 0 ends only when item 9 has been taken up: the eight between them are over."""
    last_begun = threading.Event()

    def first(n: int) -> int:
        if n == 9:
            last_begun.set()
        return n

    def second(n: int) -> int:
        return n if n or last_begun.wait(10) else -1

    line = through_stages(range(10), (first, second), never, over=lambda n: 0 < n < 9)
    assert list(line) == list(range(10))
