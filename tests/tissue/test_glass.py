"""The colour gate: glass that is not near neutral stops a slide, before all other checks."""

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.depth import depth
from wsi_ai.core.flags import Status
from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.errors import SlideError
from wsi_ai.slides.registry import open_slide
from wsi_ai.testing import PaintedSlide
from wsi_ai.tissue.budget import LookBudget
from wsi_ai.tissue.glass import look_at_glass
from wsi_ai.tissue.mask import find_tissue
from wsi_ai.tissue.quality import QualityLimits, check_quality
from wsi_ai.tissue.thumbnail import Thumbnail, take_thumbnail
from wsi_ai.triage.gates import quality_gate

REAL = [
    "slides/cmu-1-small-region.svs",
    "slides/tcga-cr-7395-01a-01-ts1.svs",
    "dicom/wsi2dcm/jpeg.dcm",
]
WRONG = "slides/cmu1_generic_pyramid.tif"


def thumbnail_of(path: Path) -> Thumbnail:
    with open_slide(path, Spacing(0.5, 0.5)) as slide:
        return take_thumbnail(slide)


@pytest.mark.parametrize("name", REAL)
def test_real_slides_pass_also_with_a_white_point_off_by_8_percent(
    shared_data: Path, name: str
) -> None:
    found = thumbnail_of(shared_data / name)
    assert look_at_glass(found).seen
    every = list(itertools.product((0.92, 1.08), repeat=3))
    for gains in every[:: depth(3, 1)]:
        shifted = np.clip(found.pixels * np.array(gains), 0, 255).round().astype(np.uint8)
        glass = look_at_glass(Thumbnail(shifted, found.unread))
        assert glass.colour == "", gains


def test_rgb_taken_for_ycbcr_is_stopped_and_nothing_else_is_said(shared_data: Path) -> None:
    with open_slide(shared_data / WRONG, Spacing(0.5, 0.5)) as slide:
        seen = take_thumbnail(slide)
        quality = check_quality(slide, seen, find_tissue(slide.info, seen), QualityLimits())
    assert quality_gate(quality) == "the colours are wrong (the glass is magenta)"


def test_ycbcr_taken_for_rgb_is_stopped(shared_data: Path) -> None:
    found = thumbnail_of(shared_data / REAL[0])
    taken = np.asarray(Image.fromarray(found.pixels).convert("YCbCr"))
    assert look_at_glass(Thumbnail(taken, found.unread)).colour == "red"


def look_plainly(thumbnail: Thumbnail) -> tuple[float, float, float]:
    """What ``look_at_glass`` measures, as one would write it first: share, cast and limit."""
    pixels = thumbnail.pixels
    open_to = ~thumbnail.unread & (pixels.min(axis=2) < 252)
    limit = 0.4 if (pixels.min(axis=2) >= 252).mean() >= 0.05 else 0.25
    if not open_to.any():
        return 0.0, 0.0, 0.25
    bright = pixels.max(axis=2)
    soft = cv2.GaussianBlur(pixels, (0, 0), 1.0).astype(np.float32)
    mean = cv2.blur(soft, (5, 5))
    flat = (cv2.blur(soft * soft, (5, 5)) - mean * mean).max(axis=2) < 2.5**2
    glass = open_to & (bright >= 0.9 * np.percentile(bright[open_to], 99)) & flat
    if glass.mean() < 0.01:
        return float(glass.mean()), 0.0, limit
    low, middle, high = np.percentile(pixels[glass], (10, 50, 90), axis=0)
    if (high - low).max() > 30:
        return 0.0, 0.0, limit
    return float(glass.mean()), float(np.ptp(middle) / max(middle.max(), 1)), limit


@given(
    seed=st.integers(0, 10**6),
    glass=st.tuples(*[st.sampled_from([120, 190, 235, 251, 255])] * 3),
    noise=st.sampled_from([0, 1, 3, 8]),
    tissue=st.floats(0, 1),
)
def test_the_fast_look_at_glass_measures_what_the_plain_one_does(
    seed: int, glass: tuple[int, int, int], noise: int, tissue: float
) -> None:
    random = np.random.default_rng(seed)
    pixels = np.array(glass) + random.integers(-noise, noise + 1, (60, 80, 3))
    pixels[: int(60 * tissue)] = random.integers(0, 256, (int(60 * tissue), 80, 3))
    thumbnail = Thumbnail(pixels.clip(0, 255).astype(np.uint8), random.random((60, 80)) < 0.02)
    seen = look_at_glass(thumbnail)
    assert (seen.share, seen.cast, seen.limit) == look_plainly(thumbnail)


@pytest.mark.parametrize("name", REAL)
def test_and_of_real_slides(shared_data: Path, name: str) -> None:
    thumbnail = thumbnail_of(shared_data / name)
    seen = look_at_glass(thumbnail)
    assert (seen.share, seen.cast, seen.limit) == look_plainly(thumbnail)


def glass_of(rgb: tuple[int, int, int], *, corner: bool = False) -> PaintedSlide:
    def paint(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
        inside = (x % 700 + y) % 61 if corner else (x < 1000) & (y < 1000)
        return tuple(np.where(inside, a, b) for a, b in zip((190, 120, 160), rgb, strict=True))

    return PaintedSlide(Size(4000, 4000), Spacing(0.5, 0.5), (1.0, 4.0), paint)


def quality_gate_of(slide: PaintedSlide) -> str | None:
    seen = take_thumbnail(slide)
    limits = QualityLimits(focus_min=0, pen_max=1)
    return quality_gate(check_quality(slide, seen, find_tissue(slide.info, seen), limits))


def test_pink_glass_is_named_and_neutral_glass_passes() -> None:
    assert quality_gate_of(glass_of((240, 150, 170))) == "the colours are wrong (the glass is pink)"
    assert quality_gate_of(glass_of((240, 238, 236))) is None


def test_where_too_little_glass_is_seen_that_is_recorded_and_stops_nothing() -> None:
    slide = glass_of((243, 243, 243), corner=True)
    noisy = np.random.default_rng(0).integers(90, 250, (400, 400, 3)).astype(np.uint8)
    seen = Thumbnail(noisy, np.zeros((400, 400), np.bool_))
    quality = check_quality(slide, seen, np.ones((400, 400), np.bool_), QualityLimits(0, 1))
    colours = quality.checks[0]
    assert (colours.name, colours.status) == ("colours", Status.PASS)
    assert "too little glass" in colours.meaning


def test_a_slide_without_any_colour_is_stopped() -> None:
    grey = PaintedSlide(
        Size(4000, 4000),
        Spacing(0.5, 0.5),
        (1.0, 4.0),
        lambda x, y: (np.where(x < 1000, 90, 243),) * 3,
    )
    assert quality_gate_of(grey) == "the colours are wrong (the slide has no colours)"


def test_looking_ends_with_its_budget() -> None:
    with pytest.raises(SlideError, match="processor time"):
        take_thumbnail(glass_of((243, 243, 243)), budget=LookBudget(processor_s=1e-9))
    with pytest.raises(SlideError, match="MiB at once"):
        take_thumbnail(glass_of((243, 243, 243)), budget=LookBudget(memory_mib=0.5))
