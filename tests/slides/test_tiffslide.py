"""Slides that lie elsewhere, and what tiffslide must not be asked for."""

from pathlib import Path

import fsspec
import imagecodecs
import numpy as np
import pytest
import tifffile

from tests.tiles.memory import noise
from wsi_ai.errors import SlideError
from wsi_ai.slides.registry import open_slide


def test_an_address_is_read_through_tiffslide_and_shows_the_same(cmu: Path) -> None:
    with fsspec.open("memory://slides/far.svs", "wb") as file:
        file.write(cmu.read_bytes())
    with open_slide(Path("memory://slides/far.svs")) as far, open_slide(cmu) as near:
        assert (far.info.reader, near.info.reader) == ("tiffslide", "tiff")
        assert far.info.fingerprint == near.info.fingerprint
        assert far.info.spacing == near.info.spacing
        there, here = (slide.read(0, 777, 888, 300, 200) for slide in (far, near))
    np.testing.assert_array_equal(there, here)


def test_a_coarser_level_shows_the_same_place(shared_data: Path) -> None:
    path = shared_data / "slides" / "cmu1_generic_pyramid.tif"
    with open_slide(path, reader="tiffslide") as one, open_slide(path, reader="tiff") as other:
        level = 1
        x, y = (round(side * one.info.downsamples[level]) for side in (150, 220))
        there, here = (slide.read(level, x, y, 100, 80) for slide in (one, other))
    np.testing.assert_array_equal(there, here)


def test_jpeg_2000_never_reaches_a_flag_through_tiffslide(shared_data: Path) -> None:
    slide = shared_data / "slides" / "tcga-cr-7395-01a-01-ts1.svs"
    with pytest.raises(SlideError, match="JPEG 2000"):
        open_slide(slide, reader="tiffslide")


def test_an_address_that_leads_nowhere_is_a_slide_error() -> None:
    with pytest.raises(SlideError):
        open_slide(Path("memory://slides/none.svs"))


def test_tiles_of_no_bytes_never_reach_a_flag_as_black(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    tile = imagecodecs.jpeg8_encode(noise(128, 128), 90)
    options = {"tile": (128, 128), "photometric": "rgb", "compression": "jpeg"}
    for missing, tiles in ((False, [tile, tile]), (True, [tile, b""])):
        tifffile.imwrite(path, iter(tiles), shape=(128, 256, 3), dtype=np.uint8, **options)
        if missing:
            with pytest.raises(SlideError, match="no bytes"):
                open_slide(path, reader="tiffslide")
        else:
            with open_slide(path, reader="tiffslide") as slide:
                assert slide.info.reader == "tiffslide"
