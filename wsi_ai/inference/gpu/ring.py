"""Stream batches of tiles through a device: a ring of input slots, a ring of result slots.

    host stages ─ upload ─ compute: the kernel ─ download ─ host collects

Input slots are few, for pixels are large; result slots more: so many batches are in flight.
What keeps a buffer from being overwritten too early:

* pinned input: the host waits for ``uploaded``; the same for pixels that are taken from where
  they came, on the device or in shared memory
* device input: the upload waits for ``consumed``
* what a ``Cut`` is drawn from: its owner waits for ``drawn``
* result pair: collected, after ``downloaded``, before its reuse; so it needs no wait of its own
"""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.values import Predictions, TileBatch
from wsi_ai.errors import WsiAiError
from wsi_ai.inference.gpu.cutting import Form
from wsi_ai.inference.gpu.device import B, Cut, Device, Event, Kernel, Stream
from wsi_ai.inference.gpu.drawing import LayOut, lay_out, uploaded


@dataclass(frozen=True, slots=True)
class RingShape:
    """What one batch looks like, and how many there are of each buffer."""

    tiles: tuple[int, int, int, int]
    """(batch, height, width, 3), uint8."""
    outputs: tuple[int, ...]
    """(batch, ...), float32."""
    slots: int = 2
    results: int = 4
    form: Form = field(default_factory=Form)
    """How tiles lie in an input slot, for the kernel."""

    def __post_init__(self) -> None:
        if min(*self.tiles, *self.outputs, self.slots, self.results) < 1:
            raise ValueError(f"nothing of a ring may be empty, got {self}")


@dataclass(frozen=True, slots=True)
class _Input(Generic[B]):
    pinned: B
    device: B
    uploaded: Event
    consumed: Event
    laid: LayOut[B] | None


@dataclass(frozen=True, slots=True)
class _Result(Generic[B]):
    device: B
    pinned: B
    downloaded: Event


@dataclass(frozen=True, slots=True)
class _Pending(Generic[B]):
    slide_id: str
    index: NDArray[np.int64]
    result: _Result[B]


_Opened = tuple[list[_Input[B]], list[_Result[B]], list[Stream]]


@dataclass(frozen=True, slots=True)
class Ring(Generic[B]):
    """``kernel(pixels, outputs)`` reads tiles and writes outputs of ``shape``, on the device; it
    is given ``recolour`` as well where a batch has one."""

    device: Device[B]
    kernel: Kernel
    shape: RingShape

    def predict(self, batches: Iterable[TileBatch]) -> Iterator[Predictions]:
        """The kernel's outputs as scores, in order, one a batch; a short batch is padded.

        Where a batch fails, those before it are yielded first.  What the iterator of batches
        raises passes at once, and up to ``shape.results`` finished batches are dropped.
        """
        with self._opened() as (inputs, results, streams):
            pending = deque[_Pending[B]]()
            for number, batch in enumerate(batches):
                if len(pending) == len(results):
                    yield self._collect(pending.popleft())
                result = results[number % len(results)]
                try:
                    self._enqueue(batch, inputs[number % len(inputs)], result, *streams)
                except WsiAiError:
                    yield from self._drain(pending)
                    raise
                pending.append(_Pending(batch.slide_id, batch.index.copy(), result))
            yield from self._drain(pending)

    @contextmanager
    def _opened(self) -> Iterator[_Opened[B]]:
        device, form = self.device, self.shape.form
        buffers, streams = list[B](), list[Stream]()

        def held(buffer: B) -> B:
            buffers.append(buffer)
            return buffer

        try:
            inputs, results = list[_Input[B]](), list[_Result[B]]()
            laid, tables = lay_out(device, self.shape.tiles, form, buffers)
            for _ in range(self.shape.slots):
                pinned = held(device.alloc_pinned(self.shape.tiles, np.uint8))
                there = held(device.alloc(form.shape(self.shape.tiles), form.stored_dtype))
                inputs.append(_Input(pinned, there, device.event(), device.event(), laid))
            for _ in range(self.shape.results):
                there = held(device.alloc(self.shape.outputs, np.float32))
                pinned = held(device.alloc_pinned(self.shape.outputs, np.float32))
                results.append(_Result(there, pinned, device.event()))
            for name in ("upload", "compute", "download"):
                streams.append(device.stream(name))
            for array, where in tables:
                uploaded(device, array, where, streams[0], buffers)
            yield inputs, results, streams
        finally:
            for stream in streams:
                stream.close()
            for buffer in buffers:
                device.free(buffer)

    def _enqueue(
        self,
        batch: TileBatch,
        slot: _Input[B],
        result: _Result[B],
        upload: Stream,
        compute: Stream,
        download: Stream,
    ) -> None:
        self._check(batch)
        resident = None if isinstance(batch.pixels, Cut) else self.device.resident(batch.pixels)
        source = self._stage(batch, slot) if resident is None else resident
        upload.wait(slot.consumed)
        self._fill(slot, source, upload)
        slot.uploaded.record(upload)
        compute.wait(slot.uploaded)
        self.device.launch(self._kernel(batch), compute, [slot.device], [result.device])
        slot.consumed.record(compute)
        download.wait(slot.consumed)
        self.device.copy_async(result.pinned, result.device, download)
        result.downloaded.record(download)
        if resident is not None:  # its owner overwrites it once the next batch is taken
            slot.uploaded.synchronize()

    def _fill(self, slot: _Input[B], source: B | Cut[B], upload: Stream) -> None:
        if isinstance(source, Cut):
            self._draw(slot, source, upload)
        elif slot.laid is None:
            self.device.copy_async(slot.device, source, upload)
        else:
            self.device.copy_async(slot.laid.rgb, source, upload)
            self.device.launch(slot.laid.kernel, upload, slot.laid.reads, [slot.device])

    def _draw(self, slot: _Input[B], cut: Cut[B], upload: Stream) -> None:
        upload.wait(cut.ready)
        self.device.launch(cut.kernel, upload, cut.reads, [slot.device])
        cut.drawn.record(upload)

    def _kernel(self, batch: TileBatch) -> Kernel:
        return partial(self.kernel, recolour=batch.recolour) if batch.recolour else self.kernel

    def _check(self, batch: TileBatch) -> None:
        count, *tile = batch.pixels.shape
        if count > self.shape.tiles[0] or tuple(tile) != self.shape.tiles[1:]:
            raise ValueError(f"tiles of {batch.pixels.shape} do not fit into {self.shape.tiles}")

    def _stage(self, batch: TileBatch, slot: _Input[B]) -> B | Cut[B]:
        if isinstance(batch.pixels, Cut):
            return batch.pixels
        pixels = np.from_dlpack(batch.pixels)
        slot.uploaded.synchronize()
        with self.device.host(slot.pinned, write=True) as array:
            array[: len(pixels)] = pixels
            array[len(pixels) :] = 0
        return slot.pinned

    def _drain(self, pending: deque[_Pending[B]]) -> Iterator[Predictions]:
        while pending:
            yield self._collect(pending.popleft())

    def _collect(self, done: _Pending[B]) -> Predictions:
        done.result.downloaded.synchronize()
        with self.device.host(done.result.pinned, write=False) as array:
            return Predictions(done.slide_id, done.index, array[: len(done.index)].copy())
