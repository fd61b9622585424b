"""The ring on the simulated device: data, order, errors, laziness, overlap."""

import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.inference.gpu.ring_mutants import SOURCE, load
from tests.inference.gpu.ring_scenarios import (
    SHAPE,
    Tiles,
    arena,
    decoded,
    features,
    take,
    tiles,
    wrong,
)
from wsi_ai.core.values import Predictions, TileBatch
from wsi_ai.errors import DeviceError
from wsi_ai.inference.gpu.ring import Ring, RingShape
from wsi_ai.testing.happens_before import SimBuffer
from wsi_ai.testing.schedulers import ThreadScheduler
from wsi_ai.testing.simulated_device import SimulatedDevice

SEEDS = st.integers(0, 2**32)
SHAPES = st.builds(
    lambda slots, results: dataclasses.replace(SHAPE, slots=slots, results=results),
    st.integers(1, 4),
    st.integers(1, 7),
)


def ring(device: Any, kernel: Any = features, shape: RingShape = SHAPE) -> Ring[Any]:
    return Ring(device, kernel, shape)


@settings(max_examples=150, deadline=None)
@given(seed=SEEDS, sizes=st.lists(st.integers(0, 3), max_size=12), shape=SHAPES)
def test_every_schedule_gives_the_right_results_in_order(
    seed: int, sizes: list[int], shape: RingShape
) -> None:
    device, data = SimulatedDevice(seed), tiles(sizes, seed)
    got = list(ring(device, shape=shape).predict(arena(data)))
    assert len(got) == len(data)
    assert wrong(got, data) == []
    assert device.problems() == device.faults == []


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, sizes=st.lists(st.integers(1, 3), max_size=12), shape=SHAPES)
def test_pixels_on_the_device_never_pass_through_host_memory(
    seed: int, sizes: list[int], shape: RingShape
) -> None:
    device, data = SimulatedDevice(seed), tiles(sizes, seed)
    got = list(ring(device, shape=shape).predict(decoded(device, data)))
    assert len(got) == len(data)
    assert wrong(got, data, columns=1) == []
    assert device.problems() == device.faults == []


@pytest.mark.parametrize("seed", range(8))
def test_real_threads_give_the_right_results_in_order(seed: int) -> None:
    device, data = SimulatedDevice(seed, ThreadScheduler(seed)), tiles([3] * 9 + [1], seed)
    got = list(ring(device).predict(arena(data)))
    assert len(got) == len(data)
    assert wrong(got, data) == []
    assert device.problems() == device.faults == []


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, count=st.integers(0, 12), taken=st.integers(0, 12), shape=SHAPES)
def test_closing_early_waits_for_the_device_and_frees_all(
    seed: int, count: int, taken: int, shape: RingShape
) -> None:
    device, data = SimulatedDevice(seed), tiles([3] * count, seed)
    predictions: Any = ring(device, shape=shape).predict(arena(data))
    got = [p for p, _ in zip(predictions, range(taken), strict=False)]
    predictions.close()
    assert wrong(got, data) == []
    assert device.problems() == device.faults == []


def test_closing_early_joins_the_threads() -> None:
    before = set(threading.enumerate())
    device = SimulatedDevice(1, ThreadScheduler(1))
    predictions: Any = ring(device).predict(arena(tiles([3] * 9)))
    next(predictions)
    assert len(set(threading.enumerate()) - before) == 3
    predictions.close()
    assert set(threading.enumerate()) == before
    assert device.problems() == device.faults == []


def test_the_input_is_taken_no_further_than_the_ring_allows() -> None:
    taken = []

    def source() -> Iterator[TileBatch]:
        for batch in arena(tiles([3] * 20)):
            taken.append(batch)
            yield batch

    predictions: Any = ring(SimulatedDevice(0)).predict(source())
    next(predictions)
    assert len(taken) == 5  # four in flight, and the one in hand
    predictions.close()


def test_a_batch_that_does_not_fit_is_refused() -> None:
    device = SimulatedDevice(0)
    with pytest.raises(ValueError, match="do not fit"):
        list(ring(device).predict(arena(tiles([3, 3, 4, 3]))))
    assert device.problems() == device.faults == []


@pytest.mark.parametrize("wrong_size", [{"slots": 0}, {"results": 0}, {"tiles": (0, 2, 2, 3)}])
def test_a_ring_of_nothing_is_refused(wrong_size: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="empty"):
        dataclasses.replace(SHAPE, **wrong_size)


def test_running_out_of_memory_frees_what_was_allocated() -> None:
    class Small(SimulatedDevice):
        def alloc(self, shape: Sequence[int], dtype: Any) -> SimBuffer:
            if len(self.buffers) > 4:
                raise DeviceError("out of memory")
            return super().alloc(shape, dtype)

    device = Small(0)
    with pytest.raises(DeviceError):
        list(ring(device).predict(arena(tiles([3]))))
    assert device.problems() == []


def failing(data: Tiles, bad: int) -> Callable[..., None]:
    """Fails on one batch, known by its first tile."""

    def kernel(pixels: Any, output: Any) -> None:
        if np.array_equal(pixels[0], data[bad][0]):
            raise FloatingPointError("bad tile")
        features(pixels, output)

    return kernel


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, bad=st.integers(0, 9), shape=SHAPES)
def test_a_failing_kernel_fails_its_own_batch(seed: int, bad: int, shape: RingShape) -> None:
    _fails_its_own_batch(SimulatedDevice(seed), seed, bad, shape)


def test_a_failing_kernel_fails_its_own_batch_with_threads() -> None:
    _fails_its_own_batch(SimulatedDevice(3, ThreadScheduler(3)), 3, 5, SHAPE)


def _fails_its_own_batch(device: SimulatedDevice, seed: int, bad: int, shape: RingShape) -> None:
    data, got = tiles([3] * 10, seed), list[Predictions]()
    with pytest.raises(DeviceError, match="bad tile"):
        take(ring(device, failing(data, bad), shape).predict(arena(data)), got)
    assert len(got) == bad
    assert wrong(got, data) == []
    assert device.problems() == device.faults == []


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, bad=st.integers(0, 9), shape=SHAPES)
def test_a_fault_that_breaks_the_device_shows_no_later_than_its_batch(
    seed: int, bad: int, shape: RingShape
) -> None:
    """As on CUDA: the error may surface while an earlier batch in flight is collected."""
    data, got = tiles([3] * 10, seed), list[Predictions]()
    device = SimulatedDevice(seed, sticky_errors=True)
    with pytest.raises(DeviceError, match="bad tile"):
        take(ring(device, failing(data, bad), shape).predict(arena(data)), got)
    assert bad - shape.results < len(got) <= bad
    assert wrong(got, data) == []
    assert device.problems() == device.faults == []


class Traced(SimulatedDevice):
    """Remembers between which clocks each stream's work ran."""

    def __init__(self) -> None:
        super().__init__(0)
        self.log: dict[str, list[tuple[int, dict[int, int], int]]] = {}

    def _submit(self, stream: Any, work: Any) -> None:
        super()._submit(stream, work)
        when = stream.clock[stream.actor]
        self.log.setdefault(stream.name, []).append((stream.actor, dict(stream.clock), when))

    def concurrent(self, one: str, i: int, other: str, j: int) -> bool:
        (a, a_clock, a_time), (b, b_clock, b_time) = self.log[one][i], self.log[other][j]
        return a_clock.get(b, 0) < b_time and b_clock.get(a, 0) < a_time


@pytest.mark.parametrize("slowed", [False, True])
def test_a_copy_may_overlap_the_kernel_before_it(*, slowed: bool) -> None:
    """Waiting too much is a mistake as well: shown on the ring, and on one that is slowed down."""
    device, made = Traced(), Ring
    if slowed:
        old = "        result.downloaded.record(download)\n"
        assert old in SOURCE
        made = load(
            SOURCE.replace(old, f"{old}        result.downloaded.synchronize()\n"), "slow"
        ).Ring
    list(made(device, features, SHAPE).predict(arena(tiles([3] * 9))))
    overlap = [
        device.concurrent("upload", n + 1, "compute", n)
        and device.concurrent("compute", n + 1, "download", n)
        for n in range(8)
    ]
    assert overlap == [not slowed] * 8


def test_the_ring_stays_small_enough_to_read() -> None:
    assert len(SOURCE.splitlines()) <= 200
