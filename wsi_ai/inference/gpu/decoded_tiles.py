"""The reading stage on a device: stored tiles are decoded into a pool there, and every batch is cut
out of it by one launch, so that no pixel passes through host memory.

    decode stream: what was in the slots is drawn ─ decode ─ table ─ ready
    upload stream, the ring's: ready ─ cut ─ drawn

The host waits for nothing but a table that it filled three batches ago.  What the device's decoder
declines, the host's decodes, tile by tile, into the same slots.  Checked on the simulated device;
``source`` says when it is taken.
"""

import logging
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.contracts import EncodedLevel, LevelInBlocks
from wsi_ai.core.values import Encoding, TileBatch, TilePlan
from wsi_ai.errors import DeviceError, OutOfDeviceMemory, TileUnreadable
from wsi_ai.inference.gpu.cutting import NOTHING, Form, Ints, cells_under, cut_plan
from wsi_ai.inference.gpu.device import B, Cut, Device, Event
from wsi_ai.inference.gpu.drawing import drawn, open_drawing, uploaded
from wsi_ai.inference.gpu.slots import Flags, Needs, Slots, Taken, needs_of, offsets, parts
from wsi_ai.tiles.reading.host import placement
from wsi_ai.tiles.reading.schedule import Placement, StoredGrid

log = logging.getLogger(__name__)
POOL_BYTES = 1 << 30
"""Of stored tiles on the device, for each slide that is read at a time."""
_KEPT_BYTES = 96 << 20
"""Of these, for stored tiles that wait for a later batch."""
_TABLES, _STAGERS = 3, 4
_FETCHED_AT_A_TIME = 16
DecodeOnHost = Callable[[Encoding, bytes], NDArray[np.uint8]]
"""One stored tile to uint8 RGB (height, width, 3) in host memory.  Raises TileUnreadable."""
C = TypeVar("C", contravariant=True)
"""A buffer."""
Fetched = bytes | TileUnreadable | None


class Codec(Protocol[C]):
    """A device's decoder.  One thread at a time."""

    def __call__(self, encoded: Sequence[bytes], into: Sequence[C], stream: Any) -> Sequence[bool]:
        """Queue stored tiles' decoding, each to uint8 RGB in ``into``; false for what it declines.
        Raises DeviceError."""
        ...


class PoolTooLarge(DeviceError):
    """A batch needs more stored tiles at once than the pool may hold."""


@dataclass(frozen=True, slots=True, eq=False)
class DeviceTiles(Generic[B]):
    """Reads a plan into batches of ``Cut``, drawn in ``form``."""

    device: Device[B]
    on_host: DecodeOnHost
    form: Form
    batch_size: int
    threads: int
    pool_bytes: int = POOL_BYTES

    def batches(
        self, level: EncodedLevel, plan: TilePlan, start: int, codec: Codec[B]
    ) -> Generator[TileBatch, None, None]:
        """As a ``contracts.TileSource``.  A tile over one that cannot be decoded is left out.
        Raises PoolTooLarge or OutOfDeviceMemory before the first batch."""
        place = placement(plan, start, level.corner)
        grid = StoredGrid(level.size, level.encoding.tile)
        needs = needs_of(grid, place, self.batch_size)
        with ExitStack() as held:
            walk = _Walk(self, level, needs, codec, held)
            walk.open(grid, place, plan.spec.size_px)
            for number, part in parts(place, self.batch_size):
                began = time.perf_counter()
                kept, cut = walk.batch(number, part)
                index = start + number * self.batch_size + np.arange(len(part))
                for i in index[~kept].tolist():
                    log.warning("left out tile %d of %s", i, plan.slide.log_name)
                span = began, time.perf_counter()
                yield TileBatch(plan.slide.slide_id, index[kept], cut, read=span)


@dataclass(frozen=True, slots=True, eq=False)
class _Table(Generic[B]):
    pinned: B
    device: B
    uploaded: Event
    ready: Event
    drawn: Event


@dataclass(frozen=True, slots=True, eq=False)
class _Stager(Generic[B]):
    """For a tile that the host decoded."""

    pinned: B
    uploaded: Event


class _Walk(Generic[B]):
    """One plan on its way through the pool."""

    def __init__(
        self,
        tiles: DeviceTiles[B],
        level: EncodedLevel,
        needs: Needs,
        codec: Codec[B],
        held: ExitStack,
    ) -> None:
        self._tiles, self._device, self._codec, self._held = tiles, tiles.device, codec, held
        self._level, self._needs = level, needs
        self._blank = np.zeros(needs.level, np.bool_)
        self._lost = np.zeros(needs.level + 1, np.bool_)  # the last is NO_CELL's

    def open(self, grid: StoredGrid, place: Placement, side: int) -> None:
        """All memory is allocated here, and freed when all that used it has ended."""
        device, tiles, buffers = self._device, self._tiles, list[B]()
        plan = cut_plan(grid, place.size, side)
        size = self._pool_size(plan.tile_bytes)
        self._held.callback(_free_all, device, buffers)

        def own(buffer: B) -> B:
            buffers.append(buffer)
            return buffer

        self._pool = own(device.alloc((size, plan.tile_bytes), np.uint8))
        self._rows, self._slots = device.rows(self._pool), Slots(size, self._needs)
        self._drawing, constants = open_drawing(device, plan, tiles.form, tiles.batch_size, buffers)
        length = (self._drawing.table_length,)
        self._tables = [
            _Table(
                own(device.alloc_pinned(length, np.int64)), own(device.alloc(length, np.int64)),
                device.event(), device.event(), device.event(),
            )
            for _ in range(_TABLES)
        ]  # fmt: skip
        self._stagers = cycle(
            [
                _Stager(own(device.alloc_pinned((plan.tile_bytes,), np.uint8)), device.event())
                for _ in range(_STAGERS)
            ]
        )
        self._stream = device.stream("decode")
        self._held.callback(self._finish)
        uploaded(device, constants, self._drawing.constants, self._stream, buffers)
        self._readers = self._held.enter_context(ThreadPoolExecutor(tiles.threads, "stored"))

    def _pool_size(self, tile_bytes: int) -> int:
        """In stored tiles: room for the next batch while the last one is still drawn, and for those
        that wait for a later one."""
        most, kept = self._tiles.pool_bytes // tile_bytes, _KEPT_BYTES // tile_bytes
        if self._needs.most_at_once > most:
            raise PoolTooLarge(
                f"a batch needs {self._needs.most_at_once * tile_bytes >> 20} MiB of stored tiles"
                f" at once, and {self._tiles.pool_bytes >> 20} are given to them"
            )
        return min(most, 2 * self._needs.most_at_once + kept, self._needs.level)

    def _finish(self) -> None:
        """A broken device was reported by whoever met it."""
        for table in self._tables:
            with suppress(DeviceError):
                table.drawn.synchronize()
        self._stream.close()

    def batch(self, number: int, part: Placement) -> tuple[Flags, Cut[B]]:
        """Which of its tiles can be read, and how these are drawn."""
        table, side = self._tables[number % _TABLES], self._drawing.plan.side
        under = cells_under(self._drawing.plan.grid, part)
        taken = self._slots.take(number)
        self._stream.wait(table.drawn)  # and so for all batches before that one
        for reader in taken.readers():
            self._stream.wait(self._tables[reader % _TABLES].drawn)
        self._decode(taken)
        kept: Flags = np.logical_not(self._lost[under].any(axis=1))
        used = self._fill(table, under[kept], Placement(part.x[kept], part.y[kept], part.size))
        count = int(kept.sum())
        reads = [table.device, self._drawing.constants, *(self._rows[slot] for slot in used)]
        kernel = drawn(self._drawing, count, self._pool)
        return kept, Cut((count, side, side, 3), kernel, reads, table.ready, table.drawn)

    def _fill(self, table: _Table[B], under: Ints, part: Placement) -> list[int]:
        """Returns the slots that it names."""
        where = offsets(self._drawing.plan, under, self._slots, self._blank)
        table.uploaded.synchronize()
        with self._device.host(table.pinned, write=True) as array:
            self._drawing.table_of(where, part.x, part.y, array)
        self._device.copy_async(table.device, table.pinned, self._stream)
        table.uploaded.record(self._stream)
        table.ready.record(self._stream)
        slots: list[int] = (
            np.unique(where[where != NOTHING]) // self._drawing.plan.tile_bytes
        ).tolist()
        return slots

    def _decode(self, taken: Taken) -> None:
        """What was never scanned is white, and takes no decoding."""
        todo = list[tuple[int, int, bytes]]()
        each = zip(taken.cells.tolist(), taken.slots.tolist(), self._fetched(taken), strict=True)
        for cell, slot, data in each:
            if isinstance(data, bytes):
                todo.append((cell, slot, data))
            else:
                self._blank[cell], self._lost[cell] = data is None, data is not None
        for (cell, slot, data), done in zip(todo, self._by_device(todo), strict=True):
            if not done:
                self._by_host(cell, slot, data)

    def _by_device(self, todo: Sequence[tuple[int, int, bytes]]) -> Sequence[bool]:
        if not todo:
            return []
        try:
            encoded, into = [data for *_, data in todo], [self._rows[slot] for _, slot, _ in todo]
            return self._codec(encoded, into, self._stream)
        except OutOfDeviceMemory as error:
            log.warning("%d stored tiles are decoded on the processor: %s", len(todo), error)
            return [False] * len(todo)

    def _by_host(self, cell: int, slot: int, data: bytes) -> None:
        stager = next(self._stagers)
        try:
            pixels = self._tiles.on_host(self._level.encoding, data)
        except TileUnreadable:
            self._lost[cell] = True
            return
        stager.uploaded.synchronize()
        with self._device.host(stager.pinned, write=True) as array:
            array[...] = pixels.reshape(-1)
        self._device.copy_async(self._rows[slot], stager.pinned, self._stream)
        stager.uploaded.record(self._stream)

    def _fetched(self, taken: Taken) -> list[Fetched]:
        """As the file stores them, some at a time by each thread."""
        across = self._drawing.plan.grid.across
        places = [(cell % across, cell // across) for cell in taken.cells.tolist()]
        if isinstance(self._level, LevelInBlocks):
            return self._level.encoded_many(places)
        each = max(_FETCHED_AT_A_TIME, -(-len(places) // self._tiles.threads))
        if len(places) <= each:
            return self._fetch(places)
        chunks = [places[start : start + each] for start in range(0, len(places), each)]
        return [data for found in self._readers.map(self._fetch, chunks) for data in found]

    def _fetch(self, places: Sequence[tuple[int, int]]) -> list[Fetched]:
        return [self._encoded(col, row) for col, row in places]

    def _encoded(self, col: int, row: int) -> Fetched:
        try:
            return self._level.encoded(col, row)
        except TileUnreadable as error:
            return error


def _free_all(device: Device[B], buffers: Sequence[B]) -> None:
    for buffer in buffers:
        device.free(buffer)
