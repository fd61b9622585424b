"""``device.Device`` over ``torch.cuda``; its buffers are tensors.

Checked over a stand-in for torch whose device is the simulated one; it has not met a GPU yet.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray

from wsi_ai.core.values import Pixels
from wsi_ai.errors import DeviceError, NoDevice, OutOfDeviceMemory, first_line
from wsi_ai.inference.gpu.device import Kernel
from wsi_ai.inference.gpu.driver import check_driver, open_driver

_DLPACK_HOST, _DLPACK_CUDA = (1, 0), 2
"""``kDLCPU``, whose only device is 0, and ``kDLCUDA`` in dlpack.h."""


@contextmanager
def device_errors(doing: str) -> Iterator[None]:
    """Torch's errors as DeviceError.  Those of the device are RuntimeErrors, and may be about work
    that was queued a little earlier."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise OutOfDeviceMemory(f"{doing}: out of memory on the device") from error
        raise DeviceError(f"{doing} failed on the device: {first_line(error)}") from error


def open_device(name: str) -> "CudaDevice":
    """``cuda``, ``cuda:1``, or ``auto`` for the first.  Raises DeviceError."""
    if torch.version.cuda is None:
        raise NoDevice("this torch has no CUDA; install another with: pip install 'wsi-ai[cuda]'")
    index = int(name.partition(":")[2] or 0)
    check_driver(open_driver(), torch.version.cuda, index)
    torch.backends.cudnn.allow_tf32 = False  # what is called fp32 here is fp32
    return CudaDevice(index)


class CudaEvent:
    """See ``device.Event``."""

    def __init__(self, event: torch.cuda.Event) -> None:
        self.raw = event

    def record(self, stream: "CudaStream") -> None:
        self.raw.record(stream.raw)  # without an argument: the current stream, a silent bug

    def synchronize(self) -> None:
        with device_errors("waiting"):
            self.raw.synchronize()


class CudaStream:
    """See ``device.Stream``."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self.raw = stream

    def wait(self, event: CudaEvent) -> None:
        self.raw.wait_event(event.raw)

    def close(self) -> None:
        """Torch's streams belong to a pool and are never destroyed."""
        with suppress(RuntimeError):  # a broken context, which was told of already
            self.raw.synchronize()


class CudaDevice:
    """One CUDA device.  A stream of a name is always the same one, for a session may hold it."""

    def __init__(self, index: int = 0) -> None:
        self.torch_device = torch.device("cuda", index)
        self._streams: dict[str, torch.cuda.Stream] = {}

    def alloc_pinned(self, shape: Sequence[int], dtype: DTypeLike) -> torch.Tensor:
        """A cached block comes back only once the copies that used it have ended."""
        with device_errors("pinning memory"):
            return torch.empty(tuple(shape), dtype=_torch_dtype(dtype), pin_memory=True)

    def alloc_shared(self, shape: Sequence[int]) -> NDArray[np.uint8]:
        """The array keeps its tensor."""
        shared: NDArray[np.uint8] = self.alloc_pinned(shape, np.uint8).numpy()
        return shared

    def alloc(self, shape: Sequence[int], dtype: DTypeLike) -> torch.Tensor:
        """A cached block comes back while the current stream may still use it: see ``stream``."""
        with device_errors("allocating"):
            return torch.empty(tuple(shape), dtype=_torch_dtype(dtype), device=self.torch_device)

    def free(self, buffer: torch.Tensor) -> None:
        """Nothing: memory goes back with its last reference.  Every stream was closed before, so
        nothing is in flight, and no ``record_stream`` is needed."""

    @contextmanager
    def host(self, buffer: torch.Tensor, *, write: bool) -> Iterator[NDArray[Any]]:
        """The memory itself: nothing checks, nothing expires."""
        yield buffer.numpy()

    def resident(self, pixels: Pixels) -> torch.Tensor | None:
        """See ``device.Device.resident``.  The owner has synchronised what wrote the pixels."""
        kind, index = pixels.__dlpack_device__()
        if (int(kind), index) not in (_DLPACK_HOST, (_DLPACK_CUDA, self.torch_device.index)):
            return None
        there: torch.Tensor = torch.utils.dlpack.from_dlpack(pixels)
        return there if int(kind) == _DLPACK_CUDA or there.is_pinned() else None

    def stream(self, name: str) -> CudaStream:
        """Ordered after the current stream: torch's own streams do not wait for it by themselves,
        neither for weights put on the device nor for earlier uses of memory from the cache."""
        if name not in self._streams:
            self._streams[name] = torch.cuda.Stream(self.torch_device)
        stream = self._streams[name]
        stream.wait_stream(torch.cuda.current_stream(self.torch_device))
        return CudaStream(stream)

    def event(self) -> CudaEvent:
        """The host sleeps on it instead of spinning: the processors have tiles to decode."""
        return CudaEvent(torch.cuda.Event(blocking=True))

    def copy_async(self, dst: torch.Tensor, src: torch.Tensor, stream: CudaStream) -> None:
        with device_errors("copying"), torch.cuda.stream(stream.raw):
            dst[: len(src)].copy_(src, non_blocking=True)

    def launch(
        self,
        fn: Kernel,
        stream: CudaStream,
        reads: Sequence[torch.Tensor],
        writes: Sequence[torch.Tensor],
    ) -> None:
        """``fn`` writes into ``writes``.  What it allocates is allocated, used and freed in this
        one stream; a tensor that it let out to another would need ``record_stream``."""
        with device_errors("inference"), torch.cuda.stream(stream.raw):
            fn(*reads, *writes)


def _torch_dtype(dtype: DTypeLike) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype)).dtype
