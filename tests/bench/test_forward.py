"""The ways to a device and back, and which limits stand beside the network."""

from typing import Any

import pytest

from tests.inference.gpu.ring_scenarios import SHAPE, features
from wsi_ai.bench.forward import copy_tasks
from wsi_ai.bench.run import measure
from wsi_ai.inference.gpu.ring import Ring
from wsi_ai.inference.gpu.runtime import RingRuntime
from wsi_ai.testing.simulated_device import SimulatedDevice
from wsi_ai.testing.stand_ins import MEAN_CARD, MeanRuntime


class Whole:
    """What the tasks ask of a subject."""

    whole = range(100)


@pytest.fixture
def on_device() -> tuple[SimulatedDevice, Any]:
    device = SimulatedDevice(4)
    return device, RingRuntime(MEAN_CARD, "simulated", Ring(device, features, SHAPE))


def test_both_ways_are_stages_beside_a_large_block(on_device: tuple[SimulatedDevice, Any]) -> None:
    device, runtime = on_device
    subject: Any = Whole()
    left_out = list[str]()
    stages = [measure(task, 2) for task in copy_tasks(subject, runtime, left_out)]
    assert [stage.name for stage in stages] == ["host to device", "device to host"]
    for stage in stages:
        assert (stage.unit, stage.amount, stage.slide_amount) == ("tiles", SHAPE.tiles[0], 100)
        assert stage.limit is not None
        assert "64 MiB, pinned" in stage.limit.name
    assert left_out == []
    assert device.problems() == device.faults == []


def test_memory_goes_back_where_a_measurement_is_broken_off(
    on_device: tuple[SimulatedDevice, Any],
) -> None:
    device, runtime = on_device
    subject: Any = Whole()
    tasks: Any = copy_tasks(subject, runtime, [])
    next(tasks).run()
    tasks.close()
    assert device.problems() == []


def test_on_the_host_there_is_nothing_to_copy_and_that_is_said() -> None:
    subject: Any = Whole()
    left_out = list[str]()
    assert list(copy_tasks(subject, MeanRuntime(), left_out)) == []
    assert left_out == ["host to device, device to host: inference is on the host"]
