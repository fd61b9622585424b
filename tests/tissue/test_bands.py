"""What is measured of a thumbnail in bands is what it was when it was measured as a whole."""

import tracemalloc

import cv2
import numpy as np
import pytest

from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.core.values import Mask
from wsi_ai.testing import PaintedSlide
from wsi_ai.tissue.bands import bands_of
from wsi_ai.tissue.glass import look_at_glass
from wsi_ai.tissue.quality import hidden_fraction
from wsi_ai.tissue.thumbnail import Thumbnail


def thumbnail_of(rows: int, cols: int, deviation: float = 3.0) -> Thumbnail:
    """Glass on the left, and darker to the right, so that both gates find something."""
    noise = np.random.default_rng(rows).normal(0, deviation, (rows, cols, 3))
    ramp = np.linspace(235, 20, cols)[None, :, None]
    pixels = (ramp + noise).clip(0, 255).astype(np.uint8)
    return Thumbnail(pixels, np.zeros((rows, cols), np.bool_))


def flat(pixels: np.ndarray) -> Mask:
    soft = cv2.GaussianBlur(pixels, (0, 0), 1.0).astype(np.float32)
    mean = cv2.blur(soft, (5, 5))
    variance = cv2.blur(soft * soft, (5, 5)) - mean * mean
    return np.asarray(variance.max(axis=2) < 2.5**2)


def hidden(pixels: np.ndarray) -> Mask:
    density = -np.log10((pixels.astype(np.float32) + 1) / 256)
    red, green, blue = cv2.split(density)
    ink = (red > 0.9 * green) & (red > 0.12) & (red > 1.15 * blue)
    return np.asarray(ink | (cv2.GaussianBlur(red, (0, 0), 2.0) > 0.52))


@pytest.mark.parametrize("rows", [1, 3, 127, 128, 129, 133, 140, 300])
def test_the_share_of_glass_and_of_ink_does_not_depend_on_bands(rows: int) -> None:
    seen = thumbnail_of(rows, 90, deviation=2.0)
    pixels = seen.pixels
    top = float(np.percentile(pixels.max(axis=2), 99))
    glass = (pixels.max(axis=2) >= 0.9 * top) & (pixels.min(axis=2) < 252) & flat(pixels)
    assert look_at_glass(seen).share in (glass.mean(), 0.0)
    assert glass.any() or rows < 5
    slide = PaintedSlide(Size(90 * 24, rows * 24), Spacing(0.5, 0.5), (1.0,))
    tissue = np.ones((rows, 90), np.bool_)
    assert hidden_fraction(slide, seen, tissue) == hidden(pixels).sum() / tissue.sum()


def test_bands_cover_each_row_once_with_what_lies_around() -> None:
    pixels = np.arange(300, dtype=np.uint16).astype(np.uint8)[:, None]
    bands = list(bands_of(pixels, 7))
    assert np.array_equal(np.concatenate([band.seen[band.own] for band in bands]), pixels)
    assert [band.place.start for band in bands] == [0, 128, 256]
    assert max(len(band.seen) for band in bands) == 128 + 2 * 7


def test_looking_at_the_colours_takes_a_few_bytes_for_each_pixel() -> None:
    seen = thumbnail_of(1024, 1024)
    slide = PaintedSlide(Size(24 * 1024, 24 * 1024), Spacing(0.5, 0.5), (1.0,))
    tissue = np.ones((1024, 1024), np.bool_)
    tracemalloc.start()
    look_at_glass(seen)
    hidden_fraction(slide, seen, tissue)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * tissue.size
