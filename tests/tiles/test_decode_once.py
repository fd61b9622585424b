"""Decoding once gives what reading region by region gives, whatever the grids."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.tiles.memory import MemoryLevel, memory_slide, noise
from wsi_ai.core.cards import TileSpec
from wsi_ai.core.contracts import Slide
from wsi_ai.core.geometry import Size, Step
from wsi_ai.core.values import TileBatch, TilePlan
from wsi_ai.tiles.planning import spread_out
from wsi_ai.tiles.reading import HostTiles, Memory, RegionTiles

Read = list[tuple[NDArray[np.int64], NDArray[np.uint8]]]


def a_plan(slide: Slide, side: int, stride: float, read: int | None = None) -> TilePlan:
    """Every cell of the slide, blocks spread out."""
    size = slide.info.size
    rows, cols = int(-(-size.height // stride)), int(-(-size.width // stride))
    cells = np.argwhere(np.ones((rows, cols), bool)).astype(np.int32)
    spec = TileSpec(side, 0.5, max(1, round(stride)))
    read_px = Size(read or side, read or side)
    return TilePlan(
        slide.info, spec, 0, read_px, spread_out(cells, 8), (rows, cols), Step(stride, stride)
    )


def taken(batches: Iterator[TileBatch]) -> Read:
    """Copies; the batch is scribbled over, as its owner may."""
    read = []
    for batch in batches:
        pixels = np.asarray(batch.pixels)
        read.append((batch.index.copy(), pixels.copy()))
        pixels[...] = 99
    return read


def assert_alike(one: Read, other: Read) -> None:
    assert len(one) == len(other)
    for (index, pixels), (its_index, its_pixels) in zip(one, other, strict=True):
        np.testing.assert_array_equal(index, its_index)
        np.testing.assert_array_equal(pixels, its_pixels)


SMALL = Memory(0, 0, 3 * 64 * 64 * 3)
memories = st.builds(Memory, *(st.sampled_from([0, 20_000, 100_000, 1 << 26]) for _ in range(3)))
places = st.frozensets(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=3)


@example(  # a tile that begins where the slide ends, within the last stored tile
    tile=(16, 16), side=1, read=None, stride=50.6875, batch=1, start=0, threads=1,
    damaged=frozenset(), unscanned=frozenset(), corner=(0, 0), memory=Memory(),
)  # fmt: skip
@example(  # the same where that tile is damaged: nothing of the slide lies there
    tile=(41, 16), side=1, read=None, stride=80.875, batch=1, start=0, threads=1,
    damaged=frozenset([(4, 0)]), unscanned=frozenset(), corner=(40, 0), memory=Memory(0, 0, 0),
)  # fmt: skip
@settings(max_examples=60)
@given(
    tile=st.tuples(st.integers(16, 70), st.integers(16, 70)),
    side=st.integers(1, 90),
    read=st.none() | st.integers(1, 120),
    stride=st.floats(9.5, 90),
    batch=st.integers(1, 40),
    start=st.integers(0, 3),
    threads=st.integers(1, 4),
    damaged=places,
    unscanned=places,
    corner=st.just((0, 0)) | st.tuples(st.integers(0, 120), st.integers(0, 120)),
    memory=memories,
)
def test_it_reads_what_regions_read(
    tile: tuple[int, int],
    side: int,
    read: int | None,
    stride: float,
    batch: int,
    start: int,
    threads: int,
    damaged: frozenset[tuple[int, int]],
    unscanned: frozenset[tuple[int, int]],
    corner: tuple[int, int],
    memory: Memory,
) -> None:
    slide = memory_slide(MemoryLevel(noise(203, 151), Size(*tile), damaged, unscanned, corner))
    plan = a_plan(slide, side, stride, read)
    ours = taken(HostTiles(batch, threads, memory=memory)(slide, plan, start * batch))
    assert_alike(ours, taken(RegionTiles(batch, 1)(slide, plan, start * batch)))


@pytest.mark.parametrize("memory", [Memory(), Memory(batches=0)], ids=["plenty", "one batch"])
@pytest.mark.parametrize("stride", [64, 50, 41.7])
def test_every_stored_tile_is_decoded_once(stride: float, memory: Memory) -> None:
    level = MemoryLevel(noise(1000, 900), Size(64, 64))
    slide = memory_slide(level)
    taken(HostTiles(16, 2, memory=memory)(slide, a_plan(slide, 50, stride), 0))
    assert set(Counter(level.asked).values()) == {1}


def test_with_little_room_tiles_are_decoded_again_and_the_pixels_stay_right() -> None:
    level = MemoryLevel(noise(1000, 900), Size(64, 64))
    slide = memory_slide(level)
    plan = a_plan(slide, 50, 50)
    ours = taken(HostTiles(16, 2, memory=SMALL)(slide, plan, 0))
    assert len(level.asked) > len(set(level.asked))
    assert_alike(ours, taken(RegionTiles(16, 1)(slide, plan, 0)))


def test_chapters_join_without_a_gap() -> None:
    level = MemoryLevel(noise(1500, 1400), Size(64, 64))
    slide = memory_slide(level)
    plan = a_plan(slide, 20, 14)
    assert len(plan) > 8192
    assert_alike(
        taken(HostTiles(100, 2)(slide, plan, 0)), taken(RegionTiles(100, 2)(slide, plan, 0))
    )


def test_what_is_broken_is_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    slide = memory_slide(MemoryLevel(noise(256, 256), Size(64, 64), frozenset({(1, 1)})))
    read = taken(HostTiles(8, 2)(slide, a_plan(slide, 64, 64), 0))
    assert sorted(i for index, _ in read for i in index) == [i for i in range(16) if i != 5]
    assert "left out tile 5" in caplog.text
    assert "memory" not in caplog.text


def test_whoever_stops_early_leaves_no_thread_behind() -> None:
    slide = memory_slide(MemoryLevel(noise(1000, 900), Size(64, 64)))
    before = threading.active_count()
    batches = HostTiles(4, 3, memory=SMALL)(slide, a_plan(slide, 50, 50), 0)
    assert len(list(islice(batches, 2))) == 2
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


class Fails(MemoryLevel):
    def encoded(self, col: int, row: int) -> bytes | None:
        raise ZeroDivisionError("a bug in a reader")


def test_a_bug_in_a_reader_reaches_the_caller() -> None:
    slide = memory_slide(Fails(noise(300, 300), Size(64, 64)))
    with pytest.raises(ZeroDivisionError):
        taken(HostTiles(4, 2)(slide, a_plan(slide, 50, 50), 0))


class Jittery(MemoryLevel):
    """Its tiles come late, at random, so that threads overtake one another."""

    def encoded(self, col: int, row: int) -> bytes | None:
        time.sleep(float(np.random.default_rng(col * 99 + row + len(self.asked)).random()) * 0.002)
        return super().encoded(col, row)


def test_threads_that_overtake_one_another_do_not_mix_up_pixels() -> None:
    slide = memory_slide(Jittery(noise(700, 500), Size(64, 64)))
    plan = a_plan(slide, 50, 50)
    reference = taken(RegionTiles(5, 1)(slide, plan, 0))
    for bytes_of_batches in (0, 0, 5 * 50 * 50 * 3 * 6, 1 << 26):
        memory = Memory(batches=bytes_of_batches)
        assert_alike(taken(HostTiles(5, 4, memory=memory)(slide, plan, 0)), reference)


def test_the_runtime_may_own_the_buffers() -> None:
    given_out: list[NDArray[np.uint8]] = []

    def allocate(shape: tuple[int, ...]) -> NDArray[np.uint8]:
        given_out.append(np.zeros(shape, np.uint8))
        return given_out[-1]

    slide = memory_slide(MemoryLevel(noise(300, 300), Size(64, 64)))
    for batch in HostTiles(4, 2, allocate)(slide, a_plan(slide, 50, 50), 0):
        assert any(np.shares_memory(np.asarray(batch.pixels), buffer) for buffer in given_out)


def test_reading_that_stands_still_is_not_busy() -> None:
    """It may fill four buffers, and then waits for a caller who takes 20 ms a batch."""
    slide = memory_slide(MemoryLevel(noise(1000, 900), Size(64, 64)))
    began = time.perf_counter()
    spans = []
    for batch in HostTiles(16, 2)(slide, a_plan(slide, 50, 50), 0):
        assert batch.read is not None
        spans.append(batch.read)
        time.sleep(0.02)
    wall = time.perf_counter() - began
    assert len(spans) > 20
    assert all(start <= end for start, end in spans)
    assert all(before <= start + 1e-9 for (_, before), (start, _) in pairwise(spans))
    assert 0 < sum(end - start for start, end in spans) < 0.5 * wall
