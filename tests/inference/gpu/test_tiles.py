"""Cutting on the device, on host tensors: the same pixels as reading region by region."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from wsi_ai.core.cards import TileSpec  # noqa: E402
from wsi_ai.core.geometry import Size, Spacing  # noqa: E402
from wsi_ai.core.values import Codec, Encoding, TilePlan  # noqa: E402
from wsi_ai.errors import TileUnreadable  # noqa: E402
from wsi_ai.inference.gpu.decoded_tiles import DeviceTiles  # noqa: E402
from wsi_ai.testing import PaintedSlide  # noqa: E402
from wsi_ai.tiles.planning import plan_tiles  # noqa: E402
from wsi_ai.tiles.reading import RegionTiles  # noqa: E402

STORED = Size(96, 80)


def paint(x: Any, y: Any) -> tuple[Any, Any, Any]:
    return x * 7 % 256, y * 5 % 256, (x + y) % 256


@dataclass
class Stored:
    """A painted slide's level, in raw tiles whose bytes are their pixels."""

    slide: PaintedSlide
    size: Size
    broken: tuple[tuple[int, int], ...] = ()
    corner: tuple[int, int] = (0, 0)
    asked: int = 0

    @property
    def encoding(self) -> Encoding:
        return Encoding(Codec.RAW, STORED)

    def encoded(self, col: int, row: int) -> bytes:
        self.asked += 1
        if (col, row) in self.broken:
            raise TileUnreadable("broken")
        x, y = self.corner[0] + col * STORED.width, self.corner[1] + row * STORED.height
        return self.slide.read(0, x, y, STORED.width, STORED.height).tobytes()


def unpacked(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8).reshape(STORED.height, STORED.width, 3).copy()


def decode(encoded: Sequence[bytes]) -> list[Any]:
    return [torch.from_numpy(unpacked(data)) for data in encoded]


def declines_all(encoded: Sequence[bytes]) -> list[None]:
    return [None] * len(encoded)


def batches(stored: Stored, plan: TilePlan, decoder: Any = decode, start: int = 0) -> Any:
    def on_host(encoding: Encoding, data: bytes) -> np.ndarray:
        return unpacked(data)

    tiles = DeviceTiles(5, decoder, on_host, torch.device("cpu"), lambda: None)
    return tiles.batches(stored, plan, start)


def planned(spec: TileSpec) -> tuple[PaintedSlide, Any]:
    slide = PaintedSlide(Size(700, 500), Spacing(0.5, 0.5), (1.0,), paint)
    return slide, plan_tiles(slide.info, np.ones((5, 7), np.bool_), spec)


@pytest.mark.parametrize("decoder", [decode, declines_all])
@pytest.mark.parametrize("stride", [64, 50])
def test_the_pixels_are_those_of_reading_by_region(stride: int, decoder: Any) -> None:
    slide, plan = planned(TileSpec(64, 0.5, stride))
    expected = list(RegionTiles(5, 1)(slide, plan, 0))
    got = list(batches(Stored(slide, slide.size), plan, decoder))
    assert [g.index.tolist() for g in got] == [e.index.tolist() for e in expected]
    for there, here in zip(got, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(there.pixels), np.asarray(here.pixels))


def test_around_what_is_stored_it_is_white() -> None:
    corner, size = (123, 45), Size(700, 500)

    def on_glass(x: Any, y: Any) -> tuple[Any, Any, Any]:
        white = (x < corner[0]) | (y < corner[1])
        return tuple(np.where(white, 255, channel) for channel in paint(x, y))  # type: ignore[return-value]

    slide = PaintedSlide(size, Spacing(0.5, 0.5), (1.0,), on_glass)
    plan = plan_tiles(slide.info, np.ones((5, 7), np.bool_), TileSpec(64, 0.5, 64))
    stored = Stored(slide, Size(size.width - 123, size.height - 45), corner=corner)
    expected = list(RegionTiles(5, 1)(slide, plan, 0))
    for there, here in zip(batches(stored, plan), expected, strict=True):
        np.testing.assert_array_equal(np.asarray(there.pixels), np.asarray(here.pixels))


def test_half_the_scale_is_the_mean_of_four_pixels() -> None:
    slide, plan = planned(TileSpec(32, 1.0, 32))
    batch = next(batches(Stored(slide, slide.size), plan))
    x, y = plan.origin(0)
    read = slide.read(0, x, y, 64, 64).astype(float)
    mean = read.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    assert np.abs(np.asarray(batch.pixels)[0] - mean).max() <= 0.5


def test_a_tile_over_a_broken_stored_tile_is_left_out_and_no_other() -> None:
    slide, plan = planned(TileSpec(64, 0.5, 64))
    stored = Stored(slide, slide.size, broken=((2, 1),))
    seen = np.concatenate([b.index for b in batches(stored, plan)])
    left, top = 2 * STORED.width, STORED.height
    for i in range(len(plan)):
        x, y = plan.origin(i)
        over = left - 64 < x < left + STORED.width and top - 64 < y < top + STORED.height
        assert (i in seen) != over, i


def test_a_batch_of_none_is_empty_and_reading_goes_on() -> None:
    slide, plan = planned(TileSpec(64, 0.5, 64))
    cells = tuple((col, row) for col in range(8) for row in range(7))
    got = list(batches(Stored(slide, slide.size, broken=cells), plan))
    assert [b.pixels.shape for b in got] == [(0, 64, 64, 3)] * len(got)


def test_it_starts_where_an_earlier_run_ended() -> None:
    slide, plan = planned(TileSpec(64, 0.5, 64))
    first = next(batches(Stored(slide, slide.size), plan, start=7))
    assert first.index.tolist() == [7, 8, 9, 10, 11]


def test_what_the_next_batch_needs_again_is_not_decoded_again() -> None:
    slide, plan = planned(TileSpec(64, 0.5, 64))
    stored = Stored(slide, slide.size)
    list(batches(stored, plan))
    once = -(-700 // STORED.width) * -(-500 // STORED.height)
    assert stored.asked < 2 * once
