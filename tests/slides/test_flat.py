"""Flat images: read whole, up to a stated size, and only where they are 8-bit colour."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from wsi_ai.core.geometry import Spacing
from wsi_ai.errors import SlideError, UnknownFormat
from wsi_ai.slides.readers import flat
from wsi_ai.slides.registry import open_slide

PIXELS = np.random.default_rng(3).integers(0, 255, (120, 90, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", ["region.png", "striped.tif"])
def test_a_lossless_image_gives_back_its_pixels_and_white_around_them(
    tmp_path: Path, name: str
) -> None:
    Image.fromarray(PIXELS).save(tmp_path / name)
    with open_slide(tmp_path / name, Spacing(0.5, 0.5)) as slide:
        assert slide.info.reader == "flat"
        np.testing.assert_array_equal(slide.read(0, 0, 0, 90, 120), PIXELS)
        assert (slide.read(0, -5, -5, 5, 5) == 255).all()


def test_the_resolution_of_a_tiff_is_believed_and_that_of_a_png_is_not(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.tif", resolution_unit=3, resolution=20000)
    Image.fromarray(PIXELS).save(tmp_path / "b.png", dpi=(50800, 50800))
    with open_slide(tmp_path / "a.tif") as tiff, open_slide(tmp_path / "b.png") as png:
        assert tiff.info.spacing == Spacing(0.5, 0.5)
        assert png.info.spacing is None


def test_what_is_no_8_bit_colour_is_refused_in_words(tmp_path: Path) -> None:
    Image.fromarray(PIXELS[..., 0]).save(tmp_path / "grey.png")
    with pytest.raises(SlideError, match="kind L; 8-bit RGB"):
        open_slide(tmp_path / "grey.png")


@pytest.mark.parametrize("others", [False, True])
def test_an_image_cut_short_is_to_be_copied_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: object
) -> None:
    """Whatever another library of the process wants of Pillow."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", others)
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(SlideError, match="copy it again"):
        open_slide(tmp_path / "a.png")


def test_a_larger_image_than_is_stated_is_refused_unread(
    tmp_path: Path,
) -> None:
    Image.new("RGB", (10_001, 10_000)).save(tmp_path / "a.png", compress_level=1)
    with pytest.raises(SlideError, match="100 million pixels"):
        open_slide(tmp_path / "a.png")


def test_what_is_no_image_is_declined(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("nothing")
    with pytest.raises(UnknownFormat):
        flat.open_slide(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.tif", "two.tif", "a.png", "a.jpg"])
def test_whatever_byte_of_a_flat_image_is_damaged_it_is_read_or_refused_in_words(
    tmp_path: Path, name: str
) -> None:
    """Pillow raises what comes to its mind, also where it only counts the images of a file."""
    small = Image.fromarray(PIXELS[:24, :16])
    more = {"save_all": True, "append_images": [small]} if name == "two.tif" else {}
    small.save(tmp_path / name, **more)
    whole, random = (tmp_path / name).read_bytes(), np.random.default_rng(7)
    tables = [*range(min(len(whole), 64)), *range(max(0, len(whole) - 400), len(whole))]
    for at in tables:
        data = bytearray(whole)
        data[at] = int(random.integers(0, 256))
        (tmp_path / name).write_bytes(data)
        with contextlib.suppress(SlideError, UnknownFormat), flat.open_slide(tmp_path / name):
            pass
