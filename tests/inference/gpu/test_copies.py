"""The ways to a device and back, apart from the network, on the simulated device."""

from typing import Any

import numpy as np
import pytest

from tests.inference.gpu.ring_scenarios import SHAPE, features
from wsi_ai.core.contracts import RuntimeOnDevice
from wsi_ai.errors import DeviceError
from wsi_ai.inference.gpu.copies import open_copies
from wsi_ai.inference.gpu.ring import Ring
from wsi_ai.inference.gpu.runtime import RingRuntime
from wsi_ai.testing.simulated_device import SimulatedDevice
from wsi_ai.testing.stand_ins import MEAN_CARD

BLOCK = (4, 1000)


@pytest.mark.parametrize("seed", range(5))
def test_a_copy_has_ended_when_it_returns_and_nothing_is_left_behind(seed: int) -> None:
    device = SimulatedDevice(seed)
    with open_copies(device, SHAPE, BLOCK) as copies:
        tiles_there = device.buffers[1]
        for copy in (copies.to_device, copies.to_host, copies.large_to_device):
            copy.run()
        assert (tiles_there.data == 1).all()
        large, large_there = device.buffers[4:6]
        assert (large_there.data == 1).all()
        with device.host(large, write=True) as array:
            array[...] = 7
        copies.large_to_host.run()
        assert (large.data == 1).all()
    assert device.problems() == device.faults == []


def test_bytes_are_those_of_a_batch_and_of_its_outputs() -> None:
    with open_copies(SimulatedDevice(1), SHAPE, BLOCK) as copies:
        assert copies.to_device.byte_count == np.prod(SHAPE.tiles)
        assert copies.to_host.byte_count == 4 * np.prod(SHAPE.outputs)
        assert copies.large_to_host.byte_count == np.prod(BLOCK)


def test_a_runtime_that_has_a_ring_lends_its_copies() -> None:
    device = SimulatedDevice(2)
    runtime: Any = RingRuntime(MEAN_CARD, "simulated", Ring(device, features, SHAPE))
    assert isinstance(runtime, RuntimeOnDevice)
    with runtime.copies() as copies:
        copies.to_device.run()
    assert device.problems() == []


def test_a_device_that_cannot_copy_is_an_error_and_not_a_figure() -> None:
    device = SimulatedDevice(3, sticky_errors=True)

    def broken(*_: Any) -> None:
        raise ValueError("full")

    def break_it() -> None:
        buffer, stream = device.alloc((1,), np.uint8), device.stream("compute")
        device.launch(broken, stream, [], [buffer])
        stream.close()
        device.free(buffer)

    with open_copies(device, SHAPE, BLOCK) as copies:
        break_it()
        with pytest.raises(DeviceError):
            copies.to_device.run()
