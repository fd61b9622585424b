"""Is there a CUDA driver, and how new?  Asked before a library that would complain of its lack."""

import ctypes
from collections.abc import Callable
from typing import Any

from wsi_ai.errors import DeviceError, NoDevice

_NAME = "libcuda.so.1"
_NO_DEVICE = 100
"""``CUDA_ERROR_NO_DEVICE`` in cuda.h."""


Load = Callable[[str], Any]


def open_driver(load: Load = ctypes.CDLL) -> Any:
    """The driver's library, started.  Raises NoDevice where there is none or it sees no device,
    DeviceError where it does not start."""
    try:
        driver = load(_NAME)
    except OSError:
        raise NoDevice("no CUDA driver here; give --device cpu") from None
    code = driver.cuInit(0)
    if code == _NO_DEVICE:
        raise NoDevice("the CUDA driver sees no device; give --device cpu")
    if code:
        raise DeviceError(
            f"the CUDA driver does not start (error {code}); look at nvidia-smi, or give"
            " --device cpu"
        )
    return driver


def count_devices(load: Load = ctypes.CDLL) -> int:
    """How many there are; 0 where there is no driver, or it does not start."""
    try:
        driver = open_driver(load)
    except DeviceError:
        return 0
    devices = ctypes.c_int()
    driver.cuDeviceGetCount(ctypes.byref(devices))
    return devices.value


def check_driver(driver: Any, built_for: str, index: int) -> None:
    """Raises DeviceError where the driver is older than the CUDA version that a library was
    ``built_for``, or has no device of that index."""
    version, devices = ctypes.c_int(), ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(version))
    driver.cuDeviceGetCount(ctypes.byref(devices))
    major, minor = version.value // 1000, version.value % 1000 // 10
    if major < int(built_for.partition(".")[0]):
        raise DeviceError(
            f"the CUDA driver is too old: it knows CUDA {major}.{minor}, and CUDA {built_for} is"
            " needed; update it, or give --device cpu"
        )
    if index >= devices.value:
        raise DeviceError(f"no device cuda:{index}; there are {devices.value}, counted from cuda:0")
