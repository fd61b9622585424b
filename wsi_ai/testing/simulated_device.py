"""A simulated accelerator: it runs late, in an adversarial order, and recognises races.

Two detectors, independent of each other:

* ``happens_before`` looks at the calls: which accesses are ordered by nothing?
* Execution: copies and kernels touch real arrays late, in two steps, begin and end, between which
  other streams and the host go on; what they will write is poisoned from begin to end.  It
  believes nothing that the program declares, so it also shows wrong data under correct ordering,
  a kernel touching what it did not declare, a stale pad, a view kept too long.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from wsi_ai.errors import DeviceError
from wsi_ai.testing.happens_before import (
    DEFAULT,
    HOST,
    Access,
    Clock,
    HappensBefore,
    SimBuffer,
    join,
)
from wsi_ai.testing.schedulers import FAILURES, Op, Scheduler, SteppedScheduler


def poison(array: NDArray[Any]) -> None:
    """Fill with values that no correct program shows: NaN, or the byte pattern 0xA5."""
    if np.issubdtype(array.dtype, np.floating):
        array.fill(np.nan)
    else:
        array.view(np.uint8).fill(0xA5)


Module = Callable[..., None]
"""See ``gpu.device.Module``."""
Compiler = Callable[[str, Sequence[str]], Module]
"""From source and options."""


@dataclass(frozen=True, slots=True)
class SimPixels:
    """Tiles on the simulated device: what a ``TileBatch`` holds there."""

    buffer: SimBuffer

    @property
    def shape(self) -> tuple[int, ...]:
        return self.buffer.data.shape

    def __dlpack__(self, *, stream: Any = None) -> Any:
        raise BufferError("these pixels are on the simulated device")

    def __dlpack_device__(self) -> tuple[Any, int]:
        return 2, 0  # as if it were CUDA's


class SimStream:
    """See ``gpu.device.Stream``."""

    def __init__(self, device: "SimulatedDevice", name: str, actor: int) -> None:
        self.name, self.actor, self.closed = name, actor, False
        self._device = device
        self.clock: Clock = {}
        self.frontier: list[Op] = []
        """What the next op must come after: the last op, and all that was waited for."""

    def wait(self, event: "SimEvent") -> None:
        self._device.scheduler.tick()
        self.frontier = self.frontier + event.ops
        join(self.clock, event.clock)

    def close(self) -> None:
        self._device.scheduler.wait(self.frontier)
        join(self._device.checker.host, self.clock)
        self.closed = True
        self._device.scheduler.close(self.name)
        self._device.streams.remove(self)


class SimEvent:
    """See ``gpu.device.Event``."""

    def __init__(self, device: "SimulatedDevice") -> None:
        self._device = device
        self.ops: list[Op] = []
        self.clock: Clock = {}

    def record(self, stream: SimStream) -> None:
        self._device.scheduler.tick()
        self.ops, self.clock = list(stream.frontier), dict(stream.clock)
        join(self.clock, self._device.checker.host)

    def synchronize(self) -> None:
        self._device.scheduler.wait(self.ops)
        join(self._device.checker.host, self.clock)
        self._device.raise_failure(self.ops)
        self._device.scheduler.tick()


@dataclass(frozen=True, slots=True)
class _Work:
    kind: str
    begin: Callable[[], None]
    end: Callable[[], None]
    reads: Sequence[SimBuffer]
    writes: Sequence[SimBuffer]


class SimulatedDevice:
    """See ``gpu.device.Device``.  Read ``problems()`` and ``faults`` at the end of a test.

    With ``sticky_errors`` the first failure breaks the device, as a kernel's fault does on CUDA:
    every later call that can fail raises it, even one about work that had ended well.
    ``compiler`` makes a function of CUDA C one of the host's; without it there is none.
    """

    def __init__(
        self,
        seed: int = 0,
        scheduler: Scheduler | None = None,
        *,
        sticky_errors: bool = False,
        compiler: Compiler | None = None,
    ) -> None:
        self.scheduler: Scheduler = scheduler or SteppedScheduler(seed)
        self.checker = HappensBefore()
        self.buffers: list[SimBuffer] = []
        self.streams: list[SimStream] = []
        self.shared: list[SimBuffer] = []
        self.faults: list[str] = []
        """The faults that execution itself showed."""
        self._default: Clock = {DEFAULT: 0}
        self._random = random.Random(~seed)
        self._sticky, self._failures = sticky_errors, list[Exception]()
        self._compiler = compiler
        self._actors = 0

    def problems(self) -> list[str]:
        """Races and leaks.  What only execution shows is in ``faults`` and in the data."""
        leaks = [f"not freed: {buffer.name}" for buffer in self.buffers]
        return self.checker.races + leaks + [f"not closed: {s.name}" for s in self.streams]

    def alloc_pinned(self, shape: Sequence[int], dtype: DTypeLike) -> SimBuffer:
        return self._alloc("pinned", np.empty(tuple(shape), dtype))

    def alloc_shared(self, shape: Sequence[int]) -> NDArray[np.uint8]:
        """Not watched while the host fills it; when it is handed over, all counts as written at
        that time."""
        self.shared.append(SimBuffer(f"shared {len(self.shared)}", np.empty(shape, np.uint8), True))
        return self.shared[-1].data

    def alloc(self, shape: Sequence[int], dtype: DTypeLike) -> SimBuffer:
        """A cached block, still in use in the default stream by its earlier owner."""
        buffer = self._alloc("device", np.empty(tuple(shape), dtype))
        self._default[DEFAULT] += 1
        buffer.reads[DEFAULT] = Access(DEFAULT, self._default[DEFAULT], "its memory's earlier use")
        return buffer

    def _alloc(self, where: str, data: NDArray[Any]) -> SimBuffer:
        poison(data)
        buffer = SimBuffer(f"{where} buffer {len(self.buffers)}", data, where == "pinned")
        self.buffers.append(buffer)
        return buffer

    def rows(self, buffer: SimBuffer) -> list[SimBuffer]:
        """Watched one by one."""
        for number, row in enumerate(buffer.data):
            part = SimBuffer(f"{buffer.name}[{number}]", row, buffer.pinned)
            part.reads.update(buffer.reads)
            buffer.rows.append(part)
        return buffer.rows

    def free(self, buffer: SimBuffer) -> None:
        for part in (*buffer.rows, buffer):
            part.reads.pop(DEFAULT, None)  # given back unused, to the stream it came from
            self.checker.writes(part, HOST, self.checker.host, "free")
            part.freed = True
        self.buffers.remove(buffer)
        poison(buffer.data)

    @contextmanager
    def host(self, buffer: SimBuffer, *, write: bool) -> Iterator[NDArray[Any]]:
        """Hands out a copy, poisoned at the end: a view that outlives the block shows."""
        if not buffer.pinned:
            raise TypeError(f"{buffer.name} is not in host memory")
        self.scheduler.tick()
        access = self.checker.writes if write else self.checker.reads
        access(buffer, HOST, self.checker.host, "host write" if write else "host read")
        array = buffer.data.copy()
        try:
            yield array
        finally:
            if write:
                np.copyto(buffer.data, array)
            poison(array)
            self.scheduler.tick()

    def resident(self, pixels: Any) -> SimBuffer | None:
        """Shared memory where it is handed over whole; a part of it is staged like any other."""
        if isinstance(pixels, SimPixels):
            return pixels.buffer
        for buffer in self.shared:
            if pixels.base is buffer.data and pixels.shape == buffer.data.shape:
                self.checker.writes(buffer, HOST, self.checker.host, "host write")
                return buffer
        return None

    def stream(self, name: str) -> SimStream:
        self._actors += 1
        stream = SimStream(self, name, self._actors)
        join(stream.clock, self._default)
        self.streams.append(stream)
        self.scheduler.open(name)
        return stream

    def event(self) -> SimEvent:
        return SimEvent(self)

    def copy_async(self, dst: SimBuffer, src: SimBuffer, stream: SimStream) -> None:
        """Reads half of the source early, half late, so that an overwritten source tears."""
        rows, half, first = len(src.data), len(src.data) // 2, list[NDArray[Any]]()
        if dst.data[:rows].shape != src.data.shape or dst.data.dtype != src.data.dtype:
            raise TypeError(f"cannot copy {src.name} to {dst.name}: shape or type differs")

        def begin() -> None:
            poison(dst.data[:rows])
            first.append(src.data[:half].copy())

        def end() -> None:
            dst.data[half:rows] = src.data[half:]
            dst.data[:half] = first[0]

        self._submit(stream, _Work(f"copy in {stream.name}", begin, end, [src], [dst]))

    def launch(
        self,
        fn: Callable[..., None],
        stream: SimStream,
        reads: Sequence[SimBuffer],
        writes: Sequence[SimBuffer],
    ) -> None:
        early, inputs = self._random.random() < 0.5, list[NDArray[Any]]()

        def read() -> None:
            inputs.extend(buffer.data.copy() for buffer in reads)

        def begin() -> None:
            if early:
                read()
            for buffer in writes:
                if buffer not in reads:
                    poison(buffer.data)

        def end() -> None:
            if not early:
                read()
            fn(*inputs, *(buffer.data for buffer in writes))

        self._submit(stream, _Work(f"kernel in {stream.name}", begin, end, reads, writes))

    def module(self, source: str, name: str, options: Sequence[str]) -> Module:
        if self._compiler is None:
            raise DeviceError(f"the simulated device was given no compiler for {name}")
        return self._compiler(source, options)

    def _submit(self, stream: SimStream, work: _Work) -> None:
        if stream.closed:
            raise RuntimeError(f"stream {stream.name} is closed")
        self.raise_failure([])
        join(stream.clock, self.checker.host)
        for buffer in work.reads:
            self.checker.reads(buffer, stream.actor, stream.clock, f"read by {work.kind}")
        for buffer in work.writes:
            self.checker.writes(buffer, stream.actor, stream.clock, f"write by {work.kind}")
        begin, end = self._guarded(work, work.begin), self._guarded(work, work.end)
        op = Op(begin, end, stream.frontier)
        stream.frontier = [op]
        self.scheduler.submit(stream.name, op)
        self.scheduler.tick()

    def _guarded(self, work: _Work, part: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            used = (*work.reads, *work.writes)
            self.faults.extend(f"{b.name}: {work.kind} after it was freed" for b in used if b.freed)
            try:
                part()
            except FAILURES as error:
                self._failures.append(error)
                raise

        return run

    def raise_failure(self, ops: Sequence[Op]) -> None:
        """The error of the named work; with sticky errors, the first error of all."""
        failures = self._failures if self._sticky else [op.error for op in ops if op.error]
        if failures:
            raise DeviceError(f"{type(failures[0]).__name__}: {failures[0]}") from failures[0]
