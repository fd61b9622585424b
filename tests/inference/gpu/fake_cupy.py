"""A stand-in for CuPy whose device is the simulated one: what ``gpu/cuda.py`` asks of it, and
memory that comes back from the cache while the current stream still uses it."""

import types
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from tests.inference.gpu.ring_scenarios import features
from wsi_ai.testing.happens_before import HOST, SimBuffer
from wsi_ai.testing.simulated_device import SimulatedDevice, poison


class FakeArray:
    """An array on the device: no numpy function takes it."""

    def __init__(self, cupy: "FakeCupy", buffer: SimBuffer) -> None:
        self.cupy, self.buffer = cupy, buffer
        self.data = types.SimpleNamespace(ptr=buffer.data.ctypes.data)
        self.shape, self.dtype = buffer.data.shape, buffer.data.dtype
        self.nbytes = buffer.data.nbytes

    def __iter__(self) -> Iterator["FakeArray"]:
        return (FakeArray(self.cupy, row) for row in self.cupy.sim.rows(self.buffer))


class FakeStream:
    def __init__(self, cupy: "FakeCupy", name: str) -> None:
        self.cupy, self.sim = cupy, cupy.sim.stream(name)
        self.ptr = id(self)

    def wait_event(self, event: "FakeEvent") -> None:
        self.sim.wait(event.sim)

    def synchronize(self) -> None:
        event = FakeEvent(self.cupy)
        event.record(self)
        event.synchronize()

    def __enter__(self) -> None:
        self.cupy.entered.append(self)

    def __exit__(self, *error: object) -> None:
        self.cupy.entered.pop()


class FakeEvent:
    def __init__(self, cupy: "FakeCupy", **kwargs: bool) -> None:
        self.cupy, self.sim = cupy, cupy.sim.event()

    def record(self, stream: FakeStream | None = None) -> None:
        self.sim.record((stream or self.cupy.current).sim)

    def synchronize(self) -> None:
        self.sim.synchronize()


class FakeCupy(types.ModuleType):
    def __init__(self, sim: SimulatedDevice) -> None:
        super().__init__("cupy")
        self.sim, self._opened = sim, 0
        self.pinned: dict[int, SimBuffer] = {}
        self.default = FakeStream(self, "default")
        self.entered = [self.default]
        self.compiled: list[tuple[str, tuple[str, ...]]] = []
        self.ndarray = FakeArray
        runtime = types.SimpleNamespace(
            memcpyAsync=self._copy,
            pointerGetAttributes=lambda at: types.SimpleNamespace(type=int(at in self.pinned)),
            runtimeGetVersion=lambda: 13020,
            getDeviceProperties=lambda index: {"name": b"Simulated 1g"},
        )
        self.cuda = types.SimpleNamespace(
            Stream=self._stream,
            Event=partial(FakeEvent, self),
            Device=self._device,
            get_current_stream=lambda: self.current,
            alloc_pinned_memory=self._pin,
            runtime=runtime,
        )

    @property
    def current(self) -> FakeStream:
        return self.entered[-1]

    def empty(self, shape: Any, dtype: Any) -> FakeArray:
        buffer = self.sim.alloc(shape, dtype)
        buffer.reads.clear()  # recycled: its earlier owner's kernel has yet to run
        self.sim.launch(poison, self.current.sim, [], [buffer])
        return FakeArray(self, buffer)

    def RawModule(self, *, code: str, options: tuple[str, ...], backend: str) -> Any:
        assert backend == "nvrtc"
        self.compiled.append((code, options))
        return types.SimpleNamespace(get_function=lambda name: name)

    def features(self, pixels: FakeArray, output: FakeArray) -> None:
        self.sim.launch(features, self.current.sim, [pixels.buffer], [output.buffer])

    def touched(self, array: Any) -> None:
        """The host wrote all of this pinned memory: the adapter hands it out as it is."""
        buffer = self.pinned[array.ctypes.data]
        self.sim.checker.writes(buffer, HOST, self.sim.checker.host, "host access")

    def _pin(self, size: int) -> Any:
        buffer = self.sim.alloc_pinned((size,), np.uint8)
        self.pinned[buffer.data.ctypes.data] = buffer
        return buffer.data

    def _copy(self, dst: int, src: int, size: int, kind: int, stream: int) -> None:
        assert kind == 4
        to, where = self._at(dst), self._at(src)
        assert size == where.data.nbytes == to.data.nbytes, "only whole batches here"
        queue = next(s for s in [*self.streams, self.default] if s.ptr == stream)
        self.sim.launch(_copied, queue.sim, [where], [to])

    def _at(self, address: int) -> SimBuffer:
        if address in self.pinned:
            return self.pinned[address]
        known = [row for b in self.sim.buffers for row in (*b.rows, b)]
        return next(b for b in known if b.data.ctypes.data == address)

    def _stream(self, *, non_blocking: bool) -> FakeStream:
        assert non_blocking, "it would wait for the default stream, and that for it"
        self._opened += 1
        self.streams.append(FakeStream(self, f"side {self._opened}"))
        return self.streams[-1]

    @property
    def streams(self) -> list[FakeStream]:
        return self.__dict__.setdefault("_streams", [])

    @contextmanager
    def _device(self, index: int) -> Iterator[None]:
        assert index == 0
        yield


def _copied(source: Any, into: Any) -> None:
    into.reshape(-1).view(np.uint8)[:] = source.reshape(-1).view(np.uint8)
