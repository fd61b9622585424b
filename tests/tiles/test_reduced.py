"""Shrinking while decoding: the same pixels as shrinking later, unless a card asks for the DCT."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tiles.memory import MemoryLevel, memory_slide, noise
from tests.tiles.test_decode_once import a_plan, assert_alike, taken
from wsi_ai.core.cards import Resampling, TileSpec
from wsi_ai.core.contracts import Slide
from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.core.values import TilePlan
from wsi_ai.errors import TileUnreadable
from wsi_ai.results.record import plan_digest
from wsi_ai.slides.readers.tiff.reader import open_slide
from wsi_ai.tiles.planning import plan_tiles
from wsi_ai.tiles.reading import HostTiles, RegionTiles
from wsi_ai.tiles.reading.host import placement
from wsi_ai.tiles.reading.reduced import in_codec_fetcher, reduced_level

Image = NDArray[np.uint8]


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_averaged_as_it_is_decoded_it_is_what_regions_read(factor: int) -> None:
    """Rims that are no multiple of anything, tiles lost and never scanned included."""
    level = MemoryLevel(
        noise(701, 503), Size(48, 36), frozenset({(3, 2)}), frozenset({(0, 1)}), corner=(12, 24)
    )
    slide = memory_slide(level)
    plan = a_plan(slide, 20, 24, 20 * factor)
    seen = reduced_level(level, placement(plan, 0, level.corner), plan.spec)
    assert seen.grid.tile == Size(48 // factor, 36 // factor)
    assert seen.placement.size == Size(20, 20)
    assert_alike(taken(HostTiles(8, 2)(slide, plan, 0)), taken(RegionTiles(8, 2)(slide, plan, 0)))


@pytest.mark.parametrize(
    ("tile", "stride", "read"), [((48, 37), 24, 40), ((48, 36), 25, 40), ((48, 36), 24, 41)]
)
def test_off_the_coarser_grid_nothing_is_reduced(
    tile: tuple[int, int], stride: int, read: int
) -> None:
    level = MemoryLevel(noise(300, 200), Size(*tile))
    plan = a_plan(memory_slide(level), 20, stride, read)
    assert reduced_level(level, placement(plan, 0, (0, 0)), plan.spec).grid.tile == Size(*tile)


def plan_at(slide: Slide, scale: float, resampling: Resampling) -> TilePlan:
    """The whole slide at so many times its scale, taken to be 0.5 um/px."""
    info = dataclasses.replace(slide.info, spacing=Spacing(0.5, 0.5), downsamples=(1.0,))
    spec = TileSpec(120, 0.5 * scale, 120, resampling=resampling)
    return plan_tiles(info, np.ones((1, 1), np.bool_), spec)


def read(slide: Slide, scale: float, resampling: Resampling) -> Image:
    batches = HostTiles(16, 2)(slide, plan_at(slide, scale, resampling), 0)
    return np.concatenate([np.asarray(batch.pixels).copy() for batch in batches])


@pytest.mark.parametrize(
    ("name", "least_db", "most_db"),
    [("cmu-1-small-region.svs", 36, 62), ("cmu1_generic_pyramid.tif", 30, 36)],
    ids=["colours whole", "colours halved both ways"],
)
@pytest.mark.parametrize("scale", [2.0, 3.0, 4.0, 8.0])
def test_by_the_dct_tissue_is_near_its_averages(
    shared_data: Path, name: str, scale: float, least_db: float, most_db: float
) -> None:
    """Nearer where the JPEG holds its colours whole: the decoder does not smooth what it takes from
    a coarser grid.  At an eighth, only the means of blocks are left, which are averages."""
    with open_slide(shared_data / "slides" / name) as slide:
        exact, faster = (read(slide, scale, how) for how in Resampling)
    squares = np.square(exact.astype(float) - faster).mean()
    assert squares > 0
    assert least_db < 10 * np.log10(255**2 / squares) < most_db


@pytest.mark.parametrize("name", ["tcga-cr-7395-01a-01-ts1.svs"])
def test_other_codecs_ignore_it(shared_data: Path, name: str) -> None:
    with open_slide(shared_data / "slides" / name) as slide:
        exact, same = (read(slide, 8.0, how) for how in Resampling)
    np.testing.assert_array_equal(exact, same)


def test_a_journal_does_not_mix_the_two(cmu: Path) -> None:
    with open_slide(cmu) as slide:
        exact, faster = (plan_digest(plan_at(slide, 2.0, how)) for how in Resampling)
    assert exact != faster


def test_a_tile_of_another_size_is_not_taken_for_a_shrunk_one(cmu: Path) -> None:
    """simplejpeg takes a wish for a scale as a hint."""
    with open_slide(cmu) as slide:
        level = slide.encoded_level(0)
        for side in (60, 240):
            with pytest.raises(TileUnreadable):
                in_codec_fetcher(level, 2)(0, 0, np.empty((side, side, 3), np.uint8))
