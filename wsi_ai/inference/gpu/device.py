"""What the ring may ask of an accelerator: ordered streams, events, asynchronous copies.

``cuda.CudaDevice`` is one; ``wsi_ai.testing.simulated_device`` is another, which runs late and in
an adversarial order, and knows what is a race.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from wsi_ai.core.values import Pixels

B = TypeVar("B")
"""A buffer: opaque to the ring."""
Kernel = Callable[..., None]
"""Called with the arrays that it reads, then those that it writes, as the device holds them."""


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
