"""What a slide of stored tiles keeps of what it decoded, and what it makes of tiles that are not
there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tiles.memory import MemoryLevel, Place, memory_slide, noise
from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.core.values import SlideInfo
from wsi_ai.errors import TileUnreadable
from wsi_ai.slides.readers.stored import StoredSlide

TILE, SIDES = 64, (4, 2, 1)
"""Tiles along each side of three levels, each half as fine as the one before."""
GLASS, TISSUE = 244, 120
At = tuple[int, int, int]
EVERY: list[At] = [
    (n, col, row) for n, side in enumerate(SIDES) for col in range(side) for row in range(side)
]


def test_a_region_is_decoded_once_until_stored_tiles_are_taken() -> None:
    level = MemoryLevel(noise(256, 256), Size(64, 64))
    slide = memory_slide(level)
    for _ in range(3):
        slide.read(0, 0, 0, 128, 64)
    assert level.asked == [(0, 0), (1, 0)]
    slide.encoded_level(0)
    slide.read(0, 0, 0, 64, 64)
    assert level.asked == [(0, 0), (1, 0), (0, 0)]


def pyramid(emptied: set[At], grey: int) -> StoredSlide:
    levels = []
    for n, side in enumerate(SIDES):
        pixels = np.full((side * TILE, side * TILE, 3), grey, np.uint8)
        gone: set[Place] = {(col, row) for at, col, row in emptied if at == n}
        levels.append(MemoryLevel(pixels, Size(TILE, TILE), unscanned=frozenset(gone)))
    info = SlideInfo("memory", levels[0].size, Spacing(0.5, 0.5), (1.0, 2.0, 4.0), "beef" * 16)
    return StoredSlide(info, levels, lambda: None)


def shares_a_place(one: At, other: At) -> bool:
    fine, coarse = sorted((one, other))
    step = SIDES[fine[0]] // SIDES[coarse[0]]
    return (fine[1] // step, fine[2] // step) == coarse[1:]


@given(st.sets(st.sampled_from(EVERY)))
def test_an_emptied_tile_is_white_only_where_no_other_level_has_its_tissue(
    emptied: set[At],
) -> None:
    slide = pyramid(emptied, TISSUE)
    for at in emptied:
        elsewhere = [o for o in EVERY if o[0] != at[0] and shares_a_place(at, o)]
        level = slide.encoded_level(at[0])
        if any(other not in emptied for other in elsewhere):
            with pytest.raises(TileUnreadable, match="another level has one"):
                level.encoded(*at[1:])
        else:
            assert level.encoded(*at[1:]) is None


@given(st.sets(st.sampled_from([at for at in EVERY if at[0] == 0])))
def test_a_tile_of_the_finest_level_that_is_glass_on_a_coarser_one_was_left_out(
    emptied: set[At],
) -> None:
    level = pyramid(emptied, GLASS).encoded_level(0)
    assert all(level.encoded(*at[1:]) is None for at in emptied)
