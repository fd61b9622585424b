"""Who waits for whom, on streams whose speeds are known."""

from collections.abc import Iterator

import pytest

from wsi_ai.core.timing import Flow, Stage, Stopwatch, Timing, busy_s, of_run, of_slide
from wsi_ai.run.run_record import added_up

SPANS = (("opening", 1.0, 2.0), ("plan", 2.0, 3.0), ("queue", 3.0, 5.0))


def timing(inference: tuple[float, float], flow: Flow, *after: tuple[str, float, float]) -> Timing:
    return Timing((*SPANS, ("inference", *inference), *after), flow)


def test_the_stage_that_is_busy_longest_is_the_limit_and_its_share_the_efficiency() -> None:
    flow = Flow(start_s=3.0, end_s=13.0, busy_s=6.0, asked_s=5.0, busy_before_s=1.5, waited_s=1.0)
    one = timing((5.0, 14.0), flow, ("queue", 14.0, 15.0), ("writing", 15.0, 17.0))
    assert busy_s(one) == {
        Stage.LOOKING: 2.0, Stage.READING: 6.0, Stage.INFERENCE: 8.0, Stage.WRITING: 2.0,
    }  # fmt: skip
    run = of_run([one])
    assert (run.wall_s, run.limit, run.share) == (16.0, Stage.INFERENCE, 0.5)
    slide = of_slide(one)
    assert slide is not None
    assert slide.busy_s == {Stage.READING: 4.5, Stage.INFERENCE: 8.0}
    assert slide.share == pytest.approx(8 / 9)


def test_a_run_of_one_device_adds_its_slides_up_and_of_two_their_times() -> None:
    flow = Flow(3.0, 14.0, 2.0, asked_s=5.0)
    first = timing((5.0, 14.0), flow)
    second = timing((14.0, 21.0), Flow(13.0, 21.0, 1.0, asked_s=14.0))
    run = of_run([first, second])
    assert (run.wall_s, run.busy_s[Stage.INFERENCE], run.share) == (20.0, 16.0, 0.8)
    both = added_up([run, of_run([first])])
    assert both.busy_s[Stage.INFERENCE] == 25.0
    assert both.share == pytest.approx(25 / 33)


def test_a_slide_that_was_not_inferred_has_no_efficiency_and_an_empty_run_none_at_all() -> None:
    assert of_slide(Timing(SPANS, None)) is None
    assert of_run([]).share == 0.0


def watched(read_s: float, infer_s: float, depth: int = 4) -> Timing:
    """Of 20 items, read into so many buffers by a reader of its own.  Nobody waits: the clock is
    set to when each thing would happen."""
    now = [0.0]
    clock = Stopwatch(0.0, lambda: now[0])
    clock.began()
    for span in clock.waits(read_ahead(read_s, depth, now)):
        clock.made(span)
        now[0] += infer_s
    clock.lap("inference")
    return clock.timing()


def read_ahead(read_s: float, depth: int, now: list[float]) -> Iterator[tuple[float, float]]:
    """Begins an item as soon as the one before is read and a buffer was given back."""
    ended, given_back = 0.0, [0.0] * depth
    for n in range(20):
        begin = max(ended, given_back[n])
        ended = begin + read_s
        now[0] = max(now[0], ended)
        yield begin, ended
        given_back.append(now[0])


def test_where_reading_is_slower_inference_waits_and_reading_is_the_limit() -> None:
    timing = watched(read_s=4, infer_s=1)
    found = of_slide(timing)
    assert found is not None
    assert found.busy_s == {Stage.READING: 80, Stage.INFERENCE: 20}
    assert (found.limit, found.wall_s) == (Stage.READING, 81)
    assert timing.tiles is not None
    assert (timing.tiles.waited_s, len(timing.tiles.waits), timing.tiles.stands) == (61, 20, ())
    assert timing.batch_s == 4


def test_where_inference_is_slower_reading_stands_still_and_inference_is_the_limit() -> None:
    timing = watched(read_s=1, infer_s=4)
    found = of_slide(timing)
    assert found is not None
    assert found.busy_s == {Stage.READING: 20, Stage.INFERENCE: 80}
    assert (found.limit, found.wall_s) == (Stage.INFERENCE, 81)
    assert timing.tiles is not None
    assert timing.tiles.waits == ((0, 1),)
    assert timing.tiles.stands[0] == (4, 5)
    assert sum(end - start for start, end in timing.tiles.stands) == timing.tiles.end_s - 20
    assert timing.batch_s == 4
