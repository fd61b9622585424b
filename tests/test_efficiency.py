"""Who waits for whom, on streams whose speeds are known."""

import time
from collections.abc import Iterator

import pytest

from wsi_ai.efficiency import Stage, busy_s, of_run, of_slide
from wsi_ai.runs import together
from wsi_ai.stopwatch import Flow, Stopwatch, Timing

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
    both = together([run, of_run([first])])
    assert both.busy_s[Stage.INFERENCE] == 25.0
    assert both.share == pytest.approx(25 / 33)


def test_a_slide_that_was_not_inferred_has_no_efficiency_and_an_empty_run_none_at_all() -> None:
    assert of_slide(Timing(SPANS, None)) is None
    assert of_run([]).share == 0.0


def watched(read_s: float, infer_s: float, depth: int) -> Timing:
    """Of 20 items, read by a thread of its own into so many buffers."""
    clock = Stopwatch(time.perf_counter())
    clock.began()
    for span in clock.waits(read_ahead(read_s, depth)):
        clock.made(span)
        time.sleep(infer_s)
    clock.lap("inference")
    return clock.timing()


def read_ahead(read_s: float, depth: int) -> Iterator[tuple[float, float]]:
    """As a reader with ``depth`` buffers would: the clock says what is ready, nothing is done."""
    at = time.perf_counter()
    spans: list[tuple[float, float]] = []
    taken: list[float] = []
    for n in range(20):
        room = taken[n - depth] if n >= depth else at
        begin = max(room, spans[-1][1] if spans else at)
        spans.append((begin, begin + read_s))
        time.sleep(max(0.0, spans[-1][1] - time.perf_counter()))
        yield spans[-1]
        taken.append(time.perf_counter())


def test_where_reading_is_slower_inference_waits_and_reading_is_the_limit() -> None:
    found = of_slide(watched(read_s=0.02, infer_s=0.005, depth=4))
    assert found is not None
    assert found.limit is Stage.READING
    assert found.share > 0.7
    assert found.busy_s[Stage.INFERENCE] < 0.7 * found.wall_s


def test_where_inference_is_slower_reading_stands_still_and_inference_is_the_limit() -> None:
    timing = watched(read_s=0.005, infer_s=0.02, depth=4)
    found = of_slide(timing)
    assert found is not None
    assert found.limit is Stage.INFERENCE
    assert found.share > 0.7
    assert found.busy_s[Stage.READING] < 0.7 * found.wall_s
    assert timing.tiles is not None
    assert timing.tiles.stands


def test_the_time_from_batch_to_batch_is_the_median() -> None:
    timing = watched(read_s=0.0, infer_s=0.02, depth=4)
    assert timing.batch_s is not None
    assert 0.02 <= timing.batch_s < 0.1
