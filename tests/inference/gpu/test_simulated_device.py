"""The checker is checked: what the simulated device promises to those who test with it."""

import numpy as np
import pytest

from wsi_ai.testing.simulated_device import SimulatedDevice


def test_the_same_seed_gives_the_same_schedule() -> None:
    def trace(seed: int) -> list[tuple[str, int]]:
        seen = list[tuple[str, int]]()
        device = SimulatedDevice(seed)
        streams = [device.stream(name) for name in "ab"]
        for number in range(20):
            stream = streams[number % 2]
            device.launch(lambda n=number, s=stream: seen.append((s.name, n)), stream, [], [])
        for stream in streams:
            stream.close()
        return seen

    assert trace(5) == trace(5)
    assert len({tuple(trace(seed)) for seed in range(20)}) > 5


def test_a_wait_latches_what_was_recorded_when_it_was_called() -> None:
    device = SimulatedDevice(0)
    buffer = device.alloc((1,), np.float32)
    a, b, event = device.stream("a"), device.stream("b"), device.event()
    b.wait(event)  # never recorded: nothing
    device.launch(lambda out: out.fill(1), a, [], [buffer])
    event.record(a)  # too late for the wait above
    device.launch(lambda out: out.fill(2), b, [], [buffer])
    assert len(device.checker.races) == 1
    assert "write by kernel in b at test_simulated_device.py" in device.checker.races[0]
    for stream in (a, b):
        stream.close()


def test_a_stream_opened_before_an_allocation_is_a_race() -> None:
    device = SimulatedDevice(0)
    stream, buffer = device.stream("early"), device.alloc((1,), np.float32)
    device.launch(lambda out: out.fill(1), stream, [], [buffer])
    assert "its memory's earlier use" in device.checker.races[0]


def test_the_host_may_not_touch_device_memory() -> None:
    device = SimulatedDevice(0)
    buffer = device.alloc((1,), np.float32)
    with pytest.raises(TypeError, match="not in host memory"), device.host(buffer, write=True):
        pass


def test_a_view_that_outlives_its_block_shows() -> None:
    device = SimulatedDevice(0)
    buffer = device.alloc_pinned((1,), np.float32)
    with device.host(buffer, write=True) as array:
        array[:] = 1
    assert np.isnan(array).all()
