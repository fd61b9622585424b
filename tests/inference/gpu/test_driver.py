"""What the CUDA driver says of itself, by a stand-in for its library."""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.models_for_tests import red_network, write_model
from wsi_ai.core.cards import RuntimeRequest
from wsi_ai.errors import DeviceError, NoDevice
from wsi_ai.inference.gpu.driver import check_driver, count_devices, open_driver
from wsi_ai.inference.registry import devices, open_runtime
from wsi_ai.models.manifest import load_card


class FakeDriver:
    def __init__(self, code: int = 0, version: int = 13000, devices: int = 1) -> None:
        self._code, self._version, self._devices = code, version, devices

    def cuInit(self, flags: int) -> int:
        return self._code

    def cuDriverGetVersion(self, out: Any) -> int:
        ctypes.cast(out, ctypes.POINTER(ctypes.c_int))[0] = self._version
        return 0

    def cuDeviceGetCount(self, out: Any) -> int:
        ctypes.cast(out, ctypes.POINTER(ctypes.c_int))[0] = self._devices
        return 0


def loads(driver: FakeDriver) -> Callable[[str], FakeDriver]:
    return lambda name: driver


def missing(name: str) -> FakeDriver:
    raise OSError(f"{name}: cannot open shared object file")


def test_no_driver_is_no_device() -> None:
    with pytest.raises(NoDevice, match="no CUDA driver here; give --device cpu"):
        open_driver(missing)


def test_a_driver_that_sees_no_device_is_no_device() -> None:
    with pytest.raises(NoDevice, match="sees no device"):
        open_driver(loads(FakeDriver(code=100)))


def test_a_driver_that_does_not_start_is_an_error_and_not_a_missing_device() -> None:
    with pytest.raises(DeviceError, match=r"error 803") as told:
        open_driver(loads(FakeDriver(code=803)))
    assert not isinstance(told.value, NoDevice)


@pytest.mark.parametrize(
    ("load", "count"),
    [
        (missing, 0),
        (loads(FakeDriver(code=100)), 0),
        (loads(FakeDriver(code=803, devices=2)), 0),
        (loads(FakeDriver(devices=2)), 2),
    ],
)
def test_devices_are_counted_where_the_driver_starts(
    load: Callable[[str], FakeDriver], count: int
) -> None:
    assert count_devices(load) == count


def test_a_driver_of_the_same_major_version_will_do() -> None:
    check_driver(FakeDriver(version=13000), "13.2", 0)


def test_a_driver_that_is_too_old_is_told_with_both_versions() -> None:
    with pytest.raises(DeviceError, match=r"knows CUDA 12\.4, and CUDA 13\.0 is needed"):
        check_driver(FakeDriver(version=12040), "13.0", 0)


def test_a_device_beyond_the_last_is_told_with_their_number() -> None:
    with pytest.raises(DeviceError, match="no device cuda:2; there are 2"):
        check_driver(FakeDriver(devices=2), "13.0", 2)


@pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="a driver is here")
def test_without_a_driver_auto_is_the_processor_and_cuda_is_an_error(tmp_path: Path) -> None:
    card = load_card(write_model(tmp_path / "m", red_network()))
    assert "/cpu/" in open_runtime(card, RuntimeRequest("auto")).description
    with pytest.raises(NoDevice, match="no CUDA driver"):
        open_runtime(card, RuntimeRequest("cuda:1"))


@pytest.mark.parametrize("device", ["tpu", "cuda:", "CUDA", "", "cuda:0,cuda:1"])
def test_a_device_of_no_known_name_is_refused_and_the_known_are_told(
    tmp_path: Path, device: str
) -> None:
    card = load_card(write_model(tmp_path / "m", red_network()))
    assert devices(card) == ["cpu", "cuda", "openvino"]
    with pytest.raises(NoDevice, match="one of: cpu, cuda, openvino"):
        open_runtime(card, RuntimeRequest(device))
