"""Slides through OpenSlide, checked against tifffile, which shares no code with it."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile

from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.errors import SlideError, TileUnreadable, UnknownFormat
from wsi_ai.slides.readers.openslide import open_slide


def test_what_is_known_of_cmu_1(cmu: Path) -> None:
    with open_slide(cmu) as slide:
        assert slide.info.size == Size(2220, 2967)
        assert slide.info.spacing == Spacing(0.499, 0.499)
        assert slide.info.downsamples == (1.0,)
        assert slide.info.vendor == "aperio"
        assert slide.info.slide_id == "cmu-1-small-region"


def test_pixels_are_those_of_tifffile_in_place_and_colour(cmu: Path) -> None:
    whole = tifffile.imread(cmu, key=0)
    with open_slide(cmu) as slide:
        for x, y in ((0, 0), (100, 77), (1000, 1500)):
            got = slide.read(0, x, y, 300, 200)
            np.testing.assert_array_equal(got, whole[y : y + 200, x : x + 300])


def test_a_coarse_level_lies_where_the_fine_one_does(shared_data: Path) -> None:
    """The mean of level-0 blocks is close to the pixels of a stored level at the same place."""
    with open_slide(shared_data / "slides" / "tcga-cr-7395-01a-01-ts1.svs") as slide:
        coarse = slide.read(1, 1000, 800, 300, 200).astype(float)
        fine = slide.read(0, 1000, 800, 600, 400).astype(float)
    mean = fine.reshape(200, 2, 300, 2, 3).mean(axis=(1, 3))
    shifted = np.abs(mean[:, :-4] - coarse[:, 4:]).mean()
    assert np.abs(mean - coarse).mean() < 0.5 * shifted


def test_outside_of_the_slide_is_white(cmu: Path) -> None:
    with open_slide(cmu) as slide:
        assert (slide.read(0, -50, -50, 50, 50) == 255).all()
        assert (slide.read(0, 2220, 2967, 50, 50) == 255).all()
        assert (slide.read(0, 2210, 0, 20, 5)[:, 10:] == 255).all()


def test_a_damaged_tile_is_unreadable_and_its_neighbours_are_not(shared_data: Path) -> None:
    damaged = shared_data / "damaged" / "bad_corrupt_tiles_12_37_60.svs"
    whole = tifffile.imread(shared_data / "slides" / "cmu-1-small-region.svs", key=0)
    across, side = 10, 240
    with open_slide(damaged) as slide:

        def read(tile: int) -> np.ndarray | None:
            x, y = tile % across * side, tile // across * side
            try:
                return slide.read(0, x, y, side - 20, side)
            except TileUnreadable:
                return None

        with ThreadPoolExecutor(4) as pool:
            tiles = dict(zip(range(90), pool.map(read, range(90)), strict=True))
    assert [tile for tile, pixels in tiles.items() if pixels is None] == [12, 37, 60]
    for tile in (11, 13, 36, 61):
        x, y = tile % across * side, tile // across * side
        np.testing.assert_array_equal(tiles[tile], whole[y : y + side, x : x + side - 20])


def test_a_given_spacing_replaces_the_files(shared_data: Path) -> None:
    unmeasured = shared_data / "damaged" / "bad_no_mpp.svs"
    with open_slide(unmeasured) as slide:
        assert slide.info.spacing is None
    with open_slide(unmeasured, Spacing(0.25, 0.25)) as slide:
        assert slide.info.spacing == Spacing(0.25, 0.25)


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("broken.svs", UnknownFormat, "not a slide in a format"),
        ("bad_empty.svs", SlideError, "empty"),
        ("bad_truncated_8bytes.svs", UnknownFormat, "not stored in tiles"),
        ("bad_truncated_half.svs", UnknownFormat, "not stored in tiles"),
        ("no-such-file.svs", SlideError, "there is no such file"),
        ("", SlideError, "this is a folder"),
    ],
)
def test_what_is_no_slide_is_refused_and_the_reason_names_no_file(
    shared_data: Path, name: str, kind: type[SlideError], told: str
) -> None:
    with pytest.raises(kind) as refused:
        open_slide(shared_data / "damaged" / name)
    assert told in str(refused.value)
    assert ".svs" not in str(refused.value)


def test_the_fingerprint_is_the_contents_and_not_the_names(cmu: Path, tmp_path: Path) -> None:
    copy = shutil.copy(cmu, tmp_path / "other-name.svs")
    with copy.open("ab") as file:
        file.write(b"\0")
    with open_slide(cmu) as a, open_slide(Path(copy)) as b:
        assert a.info.fingerprint != b.info.fingerprint
    same = shutil.copy(cmu, tmp_path / "same.svs")
    with open_slide(cmu) as a, open_slide(Path(same)) as b:
        assert a.info.fingerprint == b.info.fingerprint
