"""The fast TIFF reader beside tifffile's own decoding, on every fixture: no pixel apart.

What is independent here is the structure: which directories are levels, where tiles lie, how they
are cut at the rim, what their colours are.  The codecs are not: both end in libjpeg-turbo (accurate
integer IDCT, triangle upsampling of chroma) and OpenJPEG, so the tolerance is 0 for JPEG.  The
irreversible JPEG 2000 transform is floating-point and may round apart where the two were built
apart: 1 grey level.  OpenSlide, with codecs of its own build, is held to 0 in ``test_tiff``.
"""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.slides.test_tiff import theirs, whole
from wsi_ai.core.values import Codec
from wsi_ai.errors import TileUnreadable
from wsi_ai.slides.readers.tiff.reader import open_slide

MOST_APART = {Codec.JPEG: 0, Codec.JPEG2000: 1}
FIXTURES = [
    "slides/cmu-1-small-region.svs",
    "slides/tcga-cr-7395-01a-01-ts1.svs",
    "slides/cmu1_generic_pyramid.tif",
    "damaged/bad_no_mpp.svs",
]


def test_every_tiff_fixture_is_looked_at(shared_data: Path) -> None:
    there = {p for kind in ("*.svs", "*.tif") for p in shared_data.glob(f"*/{kind}")}
    unreadable = {"broken.svs", "bad_empty.svs", "bad_truncated_8bytes.svs"}
    in_part = {"bad_truncated_half.svs", "bad_corrupt_tiles_12_37_60.svs"}
    names = {Path(name).name for name in FIXTURES}
    assert {p.name for p in there} == names | unreadable | in_part


@pytest.mark.parametrize("name", FIXTURES)
def test_all_levels_are_tifffiles(shared_data: Path, name: str) -> None:
    path = shared_data / name
    with tifffile.TiffFile(path) as tiff, open_slide(path) as slide:
        pages = [page for page in tiff.pages if page.is_tiled]
        assert len(pages) == len(slide.info.downsamples)
        for level, page in enumerate(pages):
            stored = slide.encoded_level(level)
            pixels = slide.read(level, 0, 0, stored.size.width + 5, stored.size.height + 5)
            most = MOST_APART[stored.encoding.codec]
            assert np.abs(pixels[:-5, :-5].astype(np.int16) - page.asarray()).max() <= most
            assert (pixels[-5:] == 255).all()
            assert (pixels[:, -5:] == 255).all()


def test_beside_corrupt_tiles_the_others_are_tifffiles(shared_data: Path) -> None:
    path = shared_data / "damaged" / "bad_corrupt_tiles_12_37_60.svs"
    sound = tifffile.imread(shared_data / "slides" / "cmu-1-small-region.svs", key=0)
    read = 0
    with open_slide(path) as slide:
        for y in range(0, 2880, 240):
            for x in range(0, 2160, 240):
                try:
                    tile = slide.read(0, x, y, 240, 240)
                except TileUnreadable:
                    continue
                np.testing.assert_array_equal(tile, sound[y : y + 240, x : x + 240])
                read += 1
    assert read == 12 * 9 - 3


def test_the_generic_pyramid_was_made_with_colours_converted_once_too_often(
    shared_data: Path,
) -> None:
    """It is magenta and green in every reader, and rightly so: tag and JPEG stream both say YCbCr,
    and the samples are what comes of taking CMU-1's RGB for YCbCr and converting it to RGB.  The
    harm was done before the file was written, and nothing in it tells."""
    path = shared_data / "slides" / "cmu1_generic_pyramid.tif"
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages.first.photometric == tifffile.PHOTOMETRIC.YCBCR
    rgb = theirs(shared_data / "slides" / "cmu-1-small-region.svs").astype(float)
    y, cb, cr = rgb[..., 0], rgb[..., 1] - 128, rgb[..., 2] - 128  # as JFIF has it
    once_more = [y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb]
    wrong = np.clip(np.stack(once_more, axis=-1), 0, 255)
    pixels = whole(path)
    assert np.abs(pixels - wrong).mean() < 5  # the rest is JPEG's own loss
    assert np.abs(pixels - rgb).mean() > 40
