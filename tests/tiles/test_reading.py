import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_ai.core.cards import TileSpec
from wsi_ai.core.geometry import Box, Size, Spacing
from wsi_ai.core.values import TilePlan
from wsi_ai.testing import MEAN_CARD, PaintedSlide
from wsi_ai.tiles.planning import plan_tiles
from wsi_ai.tiles.reading import RegionTiles
from wsi_ai.tiles.reading.regions import read_tile

ALL = np.ones((8, 8), bool)


def plan_of(slide: PaintedSlide, spec: TileSpec = MEAN_CARD.tile) -> TilePlan:
    return plan_tiles(slide.info, ALL, spec)


@given(size=st.integers(1, 50), threads=st.integers(1, 4), start=st.integers(0, 200))
@settings(max_examples=20)
def test_every_tile_from_the_start_on_is_read_once_in_order(
    size: int, threads: int, start: int
) -> None:
    slide = PaintedSlide()
    batches = list(RegionTiles(size, threads)(slide, plan_of(slide), start))
    seen = [int(i) for batch in batches for i in batch.index]
    assert seen == list(range(start, 192))
    assert all(batch.index[0] == start + n * size for n, batch in enumerate(batches))


def test_a_tile_shows_the_place_that_its_cell_says() -> None:
    slide = PaintedSlide()
    plan = plan_of(slide)
    for batch in RegionTiles(7, 2)(slide, plan, 0):
        pixels = np.asarray(batch.pixels)
        np.testing.assert_array_equal(pixels[:, 32, 32, :2], plan.cells[batch.index])


def test_a_tile_that_cannot_be_read_is_left_out_and_never_white() -> None:
    slide = PaintedSlide(broken=(Box(130, 70, 10, 10),))
    batches = list(RegionTiles(64, 3)(slide, plan_of(slide), 0))
    read = {int(i) for batch in batches for i in batch.index}
    lost = set(range(192)) - read
    assert [plan_of(slide).cells[i].tolist() for i in lost] == [[1, 2]]
    assert len(batches) == 3


def test_a_batch_of_which_nothing_could_be_read_comes_empty_in_its_place() -> None:
    slide = PaintedSlide(broken=(Box(0, 0, 1024, 768),))
    batches = list(RegionTiles(100, 2)(slide, plan_of(slide), 0))
    assert [len(batch.index) for batch in batches] == [0, 0]


@pytest.mark.parametrize("mpp", [0.5, 0.73, 2.0, 11.0])
def test_resizing_averages_and_keeps_the_place(mpp: float) -> None:
    """A slope from left to right, at any scale and whether read whole or in pieces."""
    slide = PaintedSlide(
        Size(8192, 8192), Spacing(0.25, 0.25), (1.0,), lambda x, y: (x // 32, y // 32, x // 32)
    )
    plan = plan_of(slide, TileSpec(100, mpp, 100))
    tile = read_tile(slide, plan, 0).astype(float)
    places = (np.arange(100) + 0.5) * mpp / 0.25 / 32 - 0.5
    inside = places < 250
    assert np.abs(tile[50, inside, 0] - places[inside]).max() < 1.1
    assert np.abs(tile[inside, 50, 1] - places[inside]).max() < 1.1


def test_stopping_early_ends_the_threads() -> None:
    slide = PaintedSlide()
    tiles = RegionTiles(4, 2)(slide, plan_of(slide), 0)
    assert next(tiles).index.tolist() == [0, 1, 2, 3]
    tiles.close()
