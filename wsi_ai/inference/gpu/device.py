"""What the ring may ask of an accelerator: ordered streams, events, asynchronous copies, kernels.

``cuda.CudaDevice`` is one; ``wsi_ai.testing.simulated_device`` is another, which runs late and in
an adversarial order, and knows what is a race.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from wsi_ai.core.values import Pixels

B = TypeVar("B")
"""A buffer: opaque to the ring."""
Kernel = Callable[..., None]
"""Called with the arrays that it reads, then those that it writes, as the device holds them."""

Module = Callable[[tuple[int, ...], tuple[int, ...], tuple[Any, ...]], None]
"""A compiled function of the device's: grid, block and arguments.  Among these may stand arrays as
the device holds them, buffers, and numbers of numpy's types.  Called inside ``launch``."""


class Stream(Protocol):
    """A queue that the device runs in order, at its own pace."""

    def wait(self, event: Any, /) -> None:
        """Later work in this stream runs after what ``event`` had recorded by now.  Nothing, where
        it had recorded nothing."""
        ...

    def close(self) -> None:
        """Block until the queued work has ended, failed or not, and give the stream back."""
        ...


class Event(Protocol):
    """A marker in a stream of the same device."""

    def record(self, stream: Any, /) -> None: ...

    def synchronize(self) -> None:
        """Block the host until the recorded work has ended.  Raises DeviceError if it failed."""
        ...


class Device(Protocol[B]):
    """The host touches pinned buffers only, and only inside ``host``; shared ones as it likes.

    A stream runs after what was queued on the device before ``stream`` was called (weights put
    there, earlier uses of recycled memory): so allocate first.  Copies and launches raise
    DeviceError at once or at a later ``synchronize``.
    """

    def alloc_pinned(self, shape: Sequence[int], dtype: DTypeLike) -> B: ...

    def alloc_shared(self, shape: Sequence[int]) -> NDArray[np.uint8]:
        """Pinned memory for those who fill batches: ``resident`` knows it again.  It lives as long
        as the array."""
        ...

    def alloc(self, shape: Sequence[int], dtype: DTypeLike) -> B: ...

    def rows(self, buffer: B) -> Sequence[B]:
        """Its rows as buffers of their own, for as long as it lives: who uses them does not use
        the whole, but to free it."""
        ...

    def free(self, buffer: B) -> None: ...

    def host(self, buffer: B, *, write: bool) -> AbstractContextManager[NDArray[Any]]: ...

    def resident(self, pixels: Pixels) -> B | None:
        """The buffer of pixels that a copy can take from where they are: on this device, or in
        memory of ``alloc_shared``; ``None`` for others."""
        ...

    def stream(self, name: str) -> Stream: ...

    def event(self) -> Event: ...

    def copy_async(self, dst: B, src: B, stream: Any) -> None:
        """All of ``src`` to the first rows of ``dst``."""
        ...

    def launch(self, fn: Kernel, stream: Any, reads: Sequence[B], writes: Sequence[B]) -> None: ...

    def module(self, source: str, name: str, options: Sequence[str]) -> Module:
        """A function of CUDA C, compiled once.  Raises DeviceError."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Cut(Generic[B]):
    """Pixels of a batch that are yet to be drawn: by whoever takes it, where it wants them."""

    shape: tuple[int, int, int, int]
    """(tiles, height, width, 3), as if they lay there as RGB."""
    kernel: Kernel
    """Called with what ``reads`` holds, then with memory for a whole batch; tiles that are not
    there come out black."""
    reads: Sequence[B]
    ready: Event
    """What is read is there."""
    drawn: Event
    """To be recorded once the kernel is queued: only then is what it reads overwritten."""

    def __dlpack__(self, *, stream: Any = None) -> Any:
        raise BufferError("these pixels are yet to be drawn")

    def __dlpack_device__(self) -> tuple[Any, int]:
        raise BufferError("these pixels are yet to be drawn")
