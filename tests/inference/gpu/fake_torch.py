"""A stand-in for torch whose device is the simulated one: what ``gpu/cuda.py`` asks of it, and
memory that comes back from the cache while the current stream still uses it."""

import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.inference.gpu.ring_scenarios import features
from wsi_ai.testing.happens_before import HOST, SimBuffer
from wsi_ai.testing.simulated_device import SimulatedDevice, poison


class FakeTensor:
    def __init__(self, torch: "FakeTorch", buffer: SimBuffer) -> None:
        self.torch, self.buffer = torch, buffer

    def __len__(self) -> int:
        return len(self.buffer.data)

    def __getitem__(self, rows: slice) -> "FakeTensor":
        assert rows == slice(None, len(self)), "only whole batches here"
        return self

    def copy_(self, source: "FakeTensor", *, non_blocking: bool) -> None:
        assert non_blocking
        self.torch.sim.copy_async(self.buffer, source.buffer, self.torch.current.sim)

    def is_pinned(self) -> bool:
        return self.buffer.pinned

    def numpy(self) -> Any:
        assert self.buffer.pinned
        checker = self.torch.sim.checker
        checker.writes(self.buffer, HOST, checker.host, "host access")
        return self.buffer.data


class Pageable:
    """A tensor over memory that nobody pinned."""

    def is_pinned(self) -> bool:
        return False


class FakeStream:
    def __init__(self, torch: "FakeTorch", name: str) -> None:
        self.torch, self.sim = torch, torch.sim.stream(name)

    def wait_event(self, event: "FakeEvent") -> None:
        self.sim.wait(event.sim)

    def wait_stream(self, other: "FakeStream") -> None:
        event = FakeEvent(self.torch)
        event.record(other)
        self.wait_event(event)

    def synchronize(self) -> None:
        event = FakeEvent(self.torch)
        event.record(self)
        event.synchronize()


class FakeEvent:
    def __init__(self, torch: "FakeTorch") -> None:
        self.torch, self.sim = torch, torch.sim.event()

    def record(self, stream: FakeStream | None = None) -> None:
        self.sim.record((stream or self.torch.current).sim)

    def synchronize(self) -> None:
        self.sim.synchronize()


class FakeTorch(types.ModuleType):
    def __init__(self, sim: SimulatedDevice) -> None:
        super().__init__("torch")
        self.sim, self._opened = sim, 0
        self.default = self.current = FakeStream(self, "default")
        self.cuda = types.SimpleNamespace(
            Stream=self._stream,
            Event=lambda blocking: FakeEvent(self),
            stream=self._use,
            current_stream=lambda device: self.current,
        )
        self.utils = types.SimpleNamespace(
            dlpack=types.SimpleNamespace(from_dlpack=self._from_dlpack)
        )
        self.Tensor = FakeTensor
        self.OutOfMemoryError = MemoryError
        self.dtype = object

    def device(self, kind: str, index: int) -> Any:
        return types.SimpleNamespace(type=kind, index=index)

    def empty(
        self, shape: Any, *, dtype: Any, device: Any = None, pin_memory: bool = False
    ) -> FakeTensor:
        buffer = (self.sim.alloc_pinned if pin_memory else self.sim.alloc)(shape, dtype)
        if not pin_memory:  # recycled: its earlier owner's kernel has yet to run
            buffer.reads.clear()
            self.sim.launch(poison, self.current.sim, [], [buffer])
        return FakeTensor(self, buffer)

    def _from_dlpack(self, array: Any) -> Any:
        """Whole pinned memory is known again, and counts as written just now."""
        for buffer in self.sim.buffers:
            if buffer.pinned and array.base is buffer.data and array.shape == buffer.data.shape:
                self.sim.checker.writes(buffer, HOST, self.sim.checker.host, "host write")
                return FakeTensor(self, buffer)
        return Pageable()

    def from_numpy(self, array: Any) -> Any:
        return array

    def features(self, pixels: FakeTensor, output: FakeTensor) -> None:
        self.sim.launch(features, self.current.sim, [pixels.buffer], [output.buffer])

    def _stream(self, device: Any) -> FakeStream:
        self._opened += 1
        return FakeStream(self, f"side {self._opened}")

    @contextmanager
    def _use(self, stream: FakeStream) -> Iterator[None]:
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before
