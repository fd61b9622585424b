"""A level of stored tiles through ``DeviceTiles`` and the ring, on the simulated device, whose
kernel is ``cut.cu`` built by g++."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.inference.gpu.cut_scenarios import painted, shrunk
from tests.inference.gpu.host_kernel import Launch, build, compiled
from tests.tiles.memory import MemoryLevel, memory_slide
from wsi_ai.core.cards import TileSpec
from wsi_ai.core.geometry import Size
from wsi_ai.core.values import Codec as CodecName
from wsi_ai.core.values import Encoding, TilePlan
from wsi_ai.errors import DeviceError, TileUnreadable
from wsi_ai.inference.gpu import decoded_tiles
from wsi_ai.inference.gpu.cutting import Form, source
from wsi_ai.inference.gpu.device import Stream
from wsi_ai.inference.gpu.ring import Ring, RingShape
from wsi_ai.testing.happens_before import SimBuffer
from wsi_ai.testing.schedulers import ThreadScheduler
from wsi_ai.testing.simulated_device import SimulatedDevice
from wsi_ai.tiles.planning import plan_tiles
from wsi_ai.tiles.reading.host import placement

STORED = Size(24, 20)
BATCH = 4


def device(
    seed: int = 0, *, threads: bool = False, kind: type[SimulatedDevice] = SimulatedDevice
) -> SimulatedDevice:
    scheduler = ThreadScheduler(seed) if threads else None
    library = build(source())

    def compiler(text: str, options: Sequence[str]) -> Launch:
        return compiled(text, options, library=library)

    return kind(seed, scheduler, compiler=compiler)


@dataclass
class StandInCodec:
    """Stored bytes are the pixels; some it declines."""

    device: SimulatedDevice
    declines: frozenset[bytes] = frozenset()
    decoded: int = 0
    batches: list[int] = field(default_factory=list)

    def __call__(
        self, encoded: Sequence[bytes], into: Sequence[SimBuffer], stream: Stream
    ) -> list[bool]:
        self.batches.append(len(encoded))
        done = [data not in self.declines for data in encoded]
        for data, row, ours in zip(encoded, into, done, strict=True):
            if ours:
                pixels = np.frombuffer(data, np.uint8)
                self.device.launch(partial(_write, pixels), stream, [], [row])
                self.decoded += 1
        return done


def _write(pixels: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    out[...] = pixels


def unpacked(encoding: Encoding, data: bytes) -> NDArray[np.uint8]:
    """The host's decoder of the same."""
    if data[:4] == b"\x01\x02\x03\x04":
        raise TileUnreadable("broken on purpose")
    return np.frombuffer(data, np.uint8).reshape(encoding.tile.height, encoding.tile.width, 3)


def level(width: int = 150, height: int = 130, **kwargs: Any) -> MemoryLevel:
    pixels = np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)
    made = MemoryLevel(pixels, STORED, **kwargs)
    made.encoding = Encoding(CodecName.JPEG, STORED)
    return made


def plan_for(stored: MemoryLevel, side: int = 16, scale: float = 1.0, stride: int = 13) -> TilePlan:
    spec = TileSpec(side, 0.5 * scale, stride)
    return plan_tiles(memory_slide(stored).info, np.ones((4, 4), np.bool_), spec)


def features(pixels: NDArray[Any], outputs: NDArray[np.float32]) -> None:
    outputs[:] = pixels.reshape(len(pixels), -1).astype(np.float32)


def ring_shape(side: int, form: Form) -> RingShape:
    return RingShape((BATCH, side, side, 3), (BATCH, side * side * 3), form=form)


def wanted(stored: MemoryLevel, plan: TilePlan) -> NDArray[np.uint8]:
    """By the plain definition."""
    place = placement(plan, 0, stored.corner)
    shown = stored.pixels.copy()
    for col, row in stored.unscanned:
        shown[row * STORED.height :, col * STORED.width :][: STORED.height, : STORED.width] = 255
    corners = zip(place.x.tolist(), place.y.tolist(), strict=True)
    return np.stack(
        [shrunk(painted(shown, x, y, place.size), plan.spec.size_px) for x, y in corners]
    )


@dataclass
class Trial:
    """One plan through a source and a ring, which may be broken ones."""

    stored: MemoryLevel
    plan: TilePlan
    seed: int = 0
    threads: bool = False
    ring: Any = Ring
    tiles: Any = decoded_tiles.DeviceTiles
    form: Form = field(default_factory=Form)
    pool_bytes: int = 1 << 30

    def run(self, codec: Any = StandInCodec) -> tuple[SimulatedDevice, NDArray[Any], Any]:
        """The device, what was predicted by index, and the codec."""
        sim, side = device(self.seed, threads=self.threads), self.plan.spec.size_px
        source = self.tiles(sim, unpacked, self.form, BATCH, 2, self.pool_bytes)
        decoder = codec(sim)
        scores = np.full((len(self.plan), side * side * 3), np.nan, np.float32)
        batches: Any = source.batches(self.stored, self.plan, 0, decoder)
        try:
            for got in self.ring(sim, features, ring_shape(side, self.form)).predict(batches):
                scores[got.index] = got.scores
        finally:
            batches.close()
        return sim, scores, decoder

    def problems(self) -> list[str]:
        """What either detector sees, and what is wrong with the pixels."""
        try:
            sim, scores, _ = self.run()
        except (
            DeviceError,
            ArithmeticError,
            LookupError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as e:
            return [f"{type(e).__name__}: {e}"]
        right = wanted(self.stored, self.plan).reshape(len(self.plan), -1)
        wrong = [] if np.array_equal(scores, right.astype(np.float32)) else ["pixels differ"]
        return [*sim.problems(), *sim.faults, *wrong]


def repeated(plan: TilePlan, times: int) -> TilePlan:
    """The same few tiles again and again: batches for which nothing is to be decoded."""
    return replace(plan, cells=np.tile(plan.cells[:BATCH], (times, 1)))


def walks() -> Iterator[tuple[str, MemoryLevel, TilePlan]]:
    stored = level()
    yield "as it is", stored, plan_for(stored)
    yield "half the scale", stored, plan_for(stored, 16, 2.0, 13)
    yield "a broken scale", stored, plan_for(stored, 16, 1.87, 13)
    yield "the same tiles again", stored, repeated(plan_for(stored), 12)
