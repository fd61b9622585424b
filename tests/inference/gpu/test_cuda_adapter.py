"""``gpu/cuda.py`` over a stand-in for CuPy: it synchronises as the ring says, and each of its own
synchronisations is needed."""

import re
import sys
import types
from functools import partial
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.inference.gpu.fake_cupy import FakeCupy
from tests.inference.gpu.ring_mutants import load
from tests.inference.gpu.ring_scenarios import SHAPE, arena, shared, tiles, wrong
from wsi_ai.errors import DeviceError, OutOfDeviceMemory
from wsi_ai.inference.gpu.ring import Ring
from wsi_ai.testing.simulated_device import SimulatedDevice

ADAPTER = (ROOT / "wsi_ai" / "inference" / "gpu" / "cuda.py").read_text("utf-8")
LAUNCH = 'with device_errors("inference"), cupy.cuda.Device(self.index), stream.raw:'


def opened(monkeypatch: pytest.MonkeyPatch, seed: int, adapter: str = ADAPTER) -> tuple[Any, Any]:
    fake = FakeCupy(SimulatedDevice(seed))
    monkeypatch.setitem(sys.modules, "cupy", fake)
    return fake, load(adapter, "cuda")


def watched(fake: Any, module: Any) -> Any:
    """The adapter; what the host touches is noted."""

    class Watched(module.CudaDevice):  # type: ignore[misc]
        def host(self, buffer: Any, *, write: bool) -> Any:
            fake.touched(buffer)
            return super().host(buffer, write=write)

        def resident(self, pixels: Any) -> Any:
            found = super().resident(pixels)
            if found is not None:
                fake.touched(found)
            return found

    return Watched()


def verdict(monkeypatch: pytest.MonkeyPatch, seed: int, adapter: str) -> list[str]:
    """Runs in a row, for streams and memory that are used again; the last from shared memory."""
    fake, module = opened(monkeypatch, seed, adapter)
    device, found = watched(fake, module), list[str]()
    for size, source in ((9, arena), (2, arena), (9, partial(shared, device))):
        data = tiles([3] * size + [1], seed)
        if source is not arena:
            data = data[:-1]  # only whole batches are known again here
        predicted = list(Ring(device, fake.features, SHAPE).predict(source(data)))
        found += wrong(predicted, data)
    fake.default.synchronize()
    return fake.sim.checker.races + fake.sim.faults + found


@pytest.mark.parametrize("seed", range(20))
def test_the_adapter_synchronises_as_the_ring_says(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert verdict(monkeypatch, seed, ADAPTER) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r"self\.raw\.record\(stream\.raw\)", "self.raw.record()"),
        (r"self\.raw\.wait_event\(event\.raw\)", "pass"),
        (r"self\.raw\.synchronize\(\)", "pass"),
        (r"stream\.wait_event\(earlier\)", "pass"),
        (r"queue = stream\.raw\.ptr", "queue = cupy.cuda.get_current_stream().ptr"),
        (re.escape(LAUNCH), 'with device_errors("inference"), cupy.cuda.Device(self.index):'),
    ],
)
def test_each_synchronisation_of_the_adapter_is_needed(
    old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, replaced = re.subn(old, new, ADAPTER)
    assert replaced
    assert any(verdict(monkeypatch, seed, source) for seed in range(5))


def test_shared_memory_is_copied_from_where_it_is_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, module = opened(monkeypatch, 0)
    device = module.CudaDevice()
    ours = device.alloc_shared((3, 2, 2, 3))
    known = device.resident(ours[:3])
    assert known.ctypes.data == ours.ctypes.data
    assert device.resident(np.zeros((3, 2, 2, 3), np.uint8)) is None
    assert device.resident(ours[:, :1]) is None, "no one copy takes it"


def test_a_kernel_is_compiled_once_for_each_source_and_options(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake, module = opened(monkeypatch, 0)
    device = module.CudaDevice()
    for options in (["-DA=1"], ["-DA=2"], ["-DA=1"]):
        assert device.module("source", "cut", options) == "cut"
    assert fake.compiled == [("source", ("-DA=1",)), ("source", ("-DA=2",))]


@pytest.mark.parametrize(
    ("raised", "expected", "told"),
    [
        (MemoryError("Out of memory allocating 1,000 bytes"), OutOfDeviceMemory, "out of memory"),
        (RuntimeError("cudaErrorMemoryAllocation: out of memory"), OutOfDeviceMemory, "allocating"),
        (RuntimeError("cudaErrorIllegalAddress: an illegal\nmore"), DeviceError, "illegal"),
    ],
)
def test_what_cupy_raises_is_told_in_one_line(
    raised: Exception, expected: type[Exception], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, module = opened(monkeypatch, 0)
    with pytest.raises(expected, match=told) as caught, module.device_errors("allocating"):
        raise raised
    assert "\n" not in str(caught.value)


def test_a_copy_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _, module = opened(monkeypatch, 0)
    device = module.CudaDevice()
    there, here = device.alloc((2, 3), np.uint8), np.zeros((3, 3), np.uint8)
    with pytest.raises(TypeError, match="cannot copy"):
        device.copy_async(there, here, device.stream("upload"))


class Driver:
    """What the CUDA driver says of itself."""

    def __init__(self, version: int, devices: int = 1) -> None:
        self.version, self.devices = version, devices

    def cuInit(self, flags: int) -> int:
        return 0

    def cuDriverGetVersion(self, out: Any) -> int:
        out._obj.value = self.version
        return 0

    def cuDeviceGetCount(self, out: Any) -> int:
        out._obj.value = self.devices
        return 0


@pytest.mark.parametrize(
    ("driver", "told"),
    [
        (Driver(12080), r"knows CUDA 12\.8, and CUDA 13\.2 is needed"),
        (Driver(13000), "no device cuda:1; there are 1"),
    ],
)
def test_a_device_that_is_not_there_is_told_before_cupy_is_asked(
    driver: Driver, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, module = opened(monkeypatch, 0)
    module.open_driver = lambda: driver
    with pytest.raises(DeviceError, match=told):
        module.open_device("cuda:1")
    assert isinstance(module, types.ModuleType)
