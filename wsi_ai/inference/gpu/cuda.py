"""``device.Device`` over CuPy: device memory is an array of CuPy's, pinned memory one of numpy's.

Checked over a stand-in for CuPy whose device is the simulated one; it has not met a GPU yet.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import cupy
import numpy as np
from numpy.typing import DTypeLike, NDArray

from wsi_ai.core.values import Pixels
from wsi_ai.errors import DeviceError, OutOfDeviceMemory, first_line
from wsi_ai.inference.gpu.device import Kernel, Module
from wsi_ai.inference.gpu.driver import check_driver, open_driver

_DLPACK_HOST, _DLPACK_CUDA = (1, 0), 2
"""``kDLCPU``, whose only device is 0, and ``kDLCUDA`` in dlpack.h."""
_PINNED, _ANY_WAY = 1, 4
"""``cudaMemoryTypeHost`` and ``cudaMemcpyDefault`` in driver_types.h."""
_MEMORY = ("out of memory", "memoryallocation")
Buffer = Any
"""An array of CuPy's, or of numpy's in pinned memory."""


@contextmanager
def device_errors(doing: str) -> Iterator[None]:
    """CuPy's and PyTorch's errors as DeviceError.  They are RuntimeErrors but for CuPy's lack of
    memory, and may be about work that was queued a little earlier."""
    try:
        yield
    except MemoryError as error:
        raise OutOfDeviceMemory(f"{doing}: out of memory on the device") from error
    except RuntimeError as error:
        if any(words in str(error).lower() for words in _MEMORY):
            raise OutOfDeviceMemory(f"{doing}: out of memory on the device") from error
        raise DeviceError(f"{doing} failed on the device: {first_line(error)}") from error


def open_device(name: str) -> "CudaDevice":
    """``cuda``, ``cuda:1``, or ``auto`` for the first.  Raises DeviceError."""
    index = int(name.partition(":")[2] or 0)
    built_for = cupy.cuda.runtime.runtimeGetVersion()
    check_driver(open_driver(), f"{built_for // 1000}.{built_for % 1000 // 10}", index)
    return CudaDevice(index)


class CudaEvent:
    """See ``device.Event``."""

    def __init__(self, event: cupy.cuda.Event) -> None:
        self.raw = event

    def record(self, stream: "CudaStream") -> None:
        self.raw.record(stream.raw)  # without an argument: the current stream, a silent bug

    def synchronize(self) -> None:
        with device_errors("waiting"):
            self.raw.synchronize()


class CudaStream:
    """See ``device.Stream``."""

    def __init__(self, stream: cupy.cuda.Stream) -> None:
        self.raw = stream

    def wait(self, event: CudaEvent) -> None:
        self.raw.wait_event(event.raw)

    def close(self) -> None:
        """The stream itself stays: see ``CudaDevice.stream``."""
        with suppress(RuntimeError):  # a broken context, which was reported already
            self.raw.synchronize()


class CudaDevice:
    """One CUDA device.  A stream of a name is always the same one, for a session may hold it.

    CuPy's memory goes back to its cache with the last reference, and knows only the stream in which
    it was allocated: so it is allocated once, and let go when no stream uses it any more.
    """

    def __init__(self, index: int = 0) -> None:
        self.index = index
        self._streams: dict[str, cupy.cuda.Stream] = {}
        self._modules: dict[tuple[str, ...], Module] = {}

    def alloc_pinned(self, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        """The array keeps its memory."""
        count, kind = int(np.prod(shape)), np.dtype(dtype)
        with device_errors("pinning memory"), cupy.cuda.Device(self.index):
            memory = cupy.cuda.alloc_pinned_memory(max(1, count * kind.itemsize))
        return np.frombuffer(memory, kind, count).reshape(tuple(shape))

    def alloc_shared(self, shape: Sequence[int]) -> NDArray[np.uint8]:
        return self.alloc_pinned(shape, np.uint8)

    def alloc(self, shape: Sequence[int], dtype: DTypeLike) -> cupy.ndarray:
        with device_errors("allocating"), cupy.cuda.Device(self.index):
            return cupy.empty(tuple(shape), dtype)

    def rows(self, buffer: cupy.ndarray) -> list[cupy.ndarray]:
        return list(buffer)

    def free(self, buffer: Buffer) -> None:
        """Nothing: memory goes back with its last reference.  Every stream was closed before, so
        nothing is in flight."""

    @contextmanager
    def host(self, buffer: NDArray[Any], *, write: bool) -> Iterator[NDArray[Any]]:
        """The memory itself: nothing checks, nothing expires."""
        yield buffer

    def resident(self, pixels: Pixels) -> Buffer | None:
        """See ``device.Device.resident``.  The owner has synchronised what wrote the pixels."""
        kind, index = pixels.__dlpack_device__()
        if (int(kind), index) == (_DLPACK_CUDA, self.index):
            return cupy.from_dlpack(pixels)
        if (int(kind), index) != _DLPACK_HOST:
            return None
        here = np.from_dlpack(pixels)
        whole = here.size and here.flags.c_contiguous
        return here if whole and _is_pinned(here.ctypes.data) else None

    def stream(self, name: str) -> CudaStream:
        """Ordered after the current stream: it does not wait for it by itself, neither for weights
        put on the device nor for earlier uses of memory from the cache."""
        with device_errors("opening a stream"), cupy.cuda.Device(self.index):
            if name not in self._streams:
                self._streams[name] = cupy.cuda.Stream(non_blocking=True)
            stream, earlier = self._streams[name], cupy.cuda.Event(disable_timing=True)
            earlier.record(cupy.cuda.get_current_stream())
            stream.wait_event(earlier)
        return CudaStream(stream)

    def event(self) -> CudaEvent:
        """The host sleeps on it instead of spinning: the processors have tiles to decode."""
        with device_errors("opening an event"), cupy.cuda.Device(self.index):
            return CudaEvent(cupy.cuda.Event(block=True, disable_timing=True))

    def copy_async(self, dst: Buffer, src: Buffer, stream: CudaStream) -> None:
        if src.nbytes > dst.nbytes or src.dtype != dst.dtype or src.shape[1:] != dst.shape[1:]:
            raise TypeError(f"cannot copy {src.dtype} {src.shape} to {dst.dtype} {dst.shape}")
        with device_errors("copying"), cupy.cuda.Device(self.index):
            queue = stream.raw.ptr
            to, where = _address(dst), _address(src)
            cupy.cuda.runtime.memcpyAsync(to, where, src.nbytes, _ANY_WAY, queue)

    def launch(
        self, fn: Kernel, stream: CudaStream, reads: Sequence[Buffer], writes: Sequence[Buffer]
    ) -> None:
        """``fn`` writes into ``writes``.  What it allocates is allocated, used and freed in this
        one stream."""
        with device_errors("inference"), cupy.cuda.Device(self.index), stream.raw:
            fn(*reads, *writes)

    def module(self, source: str, name: str, options: Sequence[str]) -> Module:
        """By NVRTC; CuPy keeps it on the disk as well, by source, options and architecture."""
        key = (source, name, *options)
        if key not in self._modules:
            with device_errors("compiling"), cupy.cuda.Device(self.index):
                found = cupy.RawModule(code=source, options=tuple(options), backend="nvrtc")
                self._modules[key] = found.get_function(name)
        return self._modules[key]

    @property
    def name(self) -> str:
        """As its maker calls it; a slice of a device has a name of its own."""
        with device_errors("asking the device"):
            found: bytes = cupy.cuda.runtime.getDeviceProperties(self.index)["name"]
        return found.decode()

    @property
    def capability(self) -> tuple[int, int]:
        """Of its instructions, e.g. (9, 0)."""
        with device_errors("asking the device"):
            found = cupy.cuda.runtime.getDeviceProperties(self.index)
        return int(found["major"]), int(found["minor"])

    def empty_cache(self) -> None:
        """What is kept for later allocations goes back to the device."""
        with device_errors("freeing memory"), cupy.cuda.Device(self.index):
            cupy.get_default_memory_pool().free_all_blocks()


def _address(buffer: Buffer) -> int:
    return int(buffer.ctypes.data if isinstance(buffer, np.ndarray) else buffer.data.ptr)


def _is_pinned(address: int) -> bool:
    with device_errors("looking at memory"):
        return bool(cupy.cuda.runtime.pointerGetAttributes(address).type == _PINNED)
