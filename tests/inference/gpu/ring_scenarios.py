"""What the ring is put through on the simulated device: full runs, early ends, broken inputs."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.values import Predictions, TileBatch
from wsi_ai.errors import DeviceError
from wsi_ai.inference.gpu.device import Cut
from wsi_ai.inference.gpu.ring import Ring, RingShape
from wsi_ai.testing.schedulers import SteppedScheduler, ThreadScheduler
from wsi_ai.testing.simulated_device import SimPixels, SimulatedDevice, poison

TILE = (2, 2, 3)
SHAPE = RingShape((3, *TILE), (3, 2))
Tiles = list[NDArray[np.uint8]]


def features(pixels: NDArray[np.uint8], output: NDArray[np.float32]) -> None:
    """A value for each tile, and one that shows every byte of the batch, padding included."""
    weights = np.arange(1, 1 + pixels[0].size)
    output[:, 0] = pixels.reshape(len(pixels), -1) @ weights
    output[:, 1] = pixels.sum()


def tiles(sizes: list[int], seed: int = 0) -> Tiles:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (size, *TILE), np.uint8) for size in sizes]


def arena(data: Tiles) -> Iterator[TileBatch]:
    """Batches in one reused memory, spoilt as soon as the next is taken."""
    pixels = np.empty((max(map(len, data), default=0), *TILE), np.uint8)
    index, start = np.empty(len(pixels), np.int64), 0
    for batch in data:
        count = len(batch)
        pixels[:count], index[:count] = batch, np.arange(start, start + count)
        yield TileBatch("slide", index[:count], pixels[:count])
        start += count
        poison(pixels)
        poison(index)


def shared(device: SimulatedDevice, data: Tiles) -> Iterator[TileBatch]:
    """The same in one reused memory that the device shares."""
    pixels, start = device.alloc_shared((SHAPE.tiles[0], *TILE)), 0
    for batch in data:
        pixels[: len(batch)] = batch
        yield TileBatch("slide", np.arange(start, start + len(batch)), pixels[: len(batch)])
        start += len(batch)
        poison(pixels)


def decoded(device: SimulatedDevice, data: Tiles) -> Iterator[TileBatch]:
    """The same in one reused memory on the device, filled by a stream of the source's own."""
    buffers = {n: device.alloc((n, *TILE), np.uint8) for n in set(map(len, data))}
    stream, ready, start = device.stream("decode"), device.event(), 0
    try:
        for batch in data:
            buffer = buffers[len(batch)]
            device.launch(lambda out, b=batch: np.copyto(out, b), stream, [], [buffer])
            ready.record(stream)
            ready.synchronize()
            index = np.arange(start, start + len(batch))
            yield TileBatch("slide", index, SimPixels(buffer))
            start += len(batch)
            device.launch(poison, stream, [], [buffer])
    finally:
        stream.close()
        for buffer in buffers.values():
            device.free(buffer)


def cut(device: SimulatedDevice, data: Tiles) -> Iterator[TileBatch]:
    """The same, yet to be drawn, out of two memories that a stream of the source's own fills."""
    memory = [device.alloc((SHAPE.tiles[0], *TILE), np.uint8) for _ in range(2)]
    events = [(device.event(), device.event()) for _ in memory]
    stream, start = device.stream("decode"), 0

    def draw(count: int, pixels: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
        out[:count], out[count:] = pixels[:count], 0

    def fill(batch: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
        out[: len(batch)] = batch

    try:
        for number, batch in enumerate(data):
            stored, (ready, drawn) = memory[number % 2], events[number % 2]
            stream.wait(drawn)
            device.launch(partial(fill, batch), stream, [], [stored])
            ready.record(stream)
            count = len(batch)
            pixels = Cut((count, *TILE), partial(draw, count), [stored], ready, drawn)
            yield TileBatch("slide", np.arange(start, start + count), pixels)
            start += count
    finally:
        for _, drawn in events:
            with suppress(DeviceError):  # of a broken ring's
                drawn.synchronize()
        stream.close()
        for stored in memory:
            device.free(stored)


def wrong(results: list[Predictions], data: Tiles, columns: int = 2) -> list[str]:
    """What differs from the features of the padded batches, in their first ``columns``."""
    found, start = list[str](), 0
    for number, (result, batch) in enumerate(zip(results, data, strict=False)):
        padded = np.zeros(SHAPE.tiles, np.uint8)
        padded[: len(batch)] = batch
        expected = np.empty(SHAPE.outputs, np.float32)
        features(padded, expected)
        if not np.array_equal(result.index, np.arange(start, start + len(batch))):
            found.append(f"batch {number}: index {result.index}")
        if not np.array_equal(result.scores[:, :columns], expected[: len(batch), :columns]):
            found.append(f"batch {number}: scores differ")
        start += len(batch)
    return found


def take(predictions: Iterator[Predictions], into: list[Predictions]) -> None:
    """Keeps what came before an error."""
    into.extend(predictions)


def closed_early(predictions: Any) -> list[Predictions]:
    got = [next(predictions), next(predictions)]
    predictions.close()
    return got


def interrupted(predictions: Iterator[Predictions]) -> list[Predictions]:
    got = list[Predictions]()
    with suppress(KeyError):
        take(predictions, got)
    return got


def broken(data: Tiles) -> Iterator[TileBatch]:
    yield from arena(data)
    raise KeyError("the reader failed")


@dataclass
class Verdict:
    checker: list[str] = field(default_factory=list)
    """Races and leaks."""
    execution: list[str] = field(default_factory=list)
    """Wrong data, wrong errors."""


@dataclass
class Judge:
    """Runs a ring, whole or broken, through every scenario."""

    ring: Any = Ring
    shape: RingShape = SHAPE
    threads: bool = False
    verdict: Verdict = field(default_factory=Verdict)

    def judge(self, seed: int) -> Verdict:
        """A full run with a tail, one closed early, one whose input fails, one in shared memory,
        one on the device, one that the ring draws."""
        data = tiles([3] * 9 + [2], seed)
        kept = max(0, 6 - self.shape.results)
        self.verdict = Verdict()
        self._run(seed, list, data, lambda device: arena(data))
        self._run(seed, closed_early, data[:2], lambda device: arena(data))
        self._run(seed, interrupted, data[:kept], lambda device: broken(data[:6]))
        self._run(seed, list, data, lambda device: shared(device, data))
        self._run(seed, list, data, lambda device: decoded(device, data), columns=1)
        self._run(seed, list, data, lambda device: cut(device, data))
        return self.verdict

    def _run(
        self,
        seed: int,
        consume: Callable[[Any], list[Predictions]],
        expected: Tiles,
        source: Callable[[SimulatedDevice], Iterator[TileBatch]],
        columns: int = 2,
    ) -> None:
        scheduler = ThreadScheduler(seed) if self.threads else SteppedScheduler(seed)
        device, verdict = SimulatedDevice(seed, scheduler), self.verdict
        batches = source(device)
        try:
            got = consume(self.ring(device, features, self.shape).predict(batches))
            verdict.execution += wrong(got, expected, columns)
            if len(got) != len(expected):
                verdict.execution.append(f"{len(got)} results, not {len(expected)}")
        except Exception as error:  # noqa: BLE001 - a mutant may raise anything
            verdict.execution.append(f"{type(error).__name__}: {error}")
        batches.close()  # type: ignore[attr-defined]
        verdict.checker += device.problems()
        for stream in list(device.streams):  # of a mutant that leaves them open
            stream.close()
        verdict.execution += device.faults
