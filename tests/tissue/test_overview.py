"""Thumbnail, tissue and quality, on painted and drawn slides of which the truth is known."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from wsi_ai.core.flags import Quality, Status
from wsi_ai.core.geometry import Box, Size, Spacing
from wsi_ai.core.values import Mask, SlideInfo
from wsi_ai.slides.readers.openslide import open_slide
from wsi_ai.testing import PaintedSlide
from wsi_ai.tissue.mask import find_tissue
from wsi_ai.tissue.quality import QualityLimits, check_quality, sharpness
from wsi_ai.tissue.thumbnail import take_thumbnail

PINK_SQUARE = Box(2000, 1000, 1500, 1200)


def pink_square(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    box = PINK_SQUARE
    inside = (x >= box.x) & (x < box.x + box.width) & (y >= box.y) & (y < box.y + box.height)
    return tuple(np.where(inside, pink, 244) for pink in (214, 150, 190))


def painted(**wanted: object) -> PaintedSlide:
    return PaintedSlide(Size(8000, 6000), Spacing(0.5, 0.5), (1.0, 4.0), pink_square, **wanted)


def test_a_thumbnail_shows_things_where_they_are() -> None:
    thumbnail = take_thumbnail(painted(), long_side_px=800)
    assert thumbnail.pixels.shape == (600, 800, 3)
    pink = np.argwhere(thumbnail.pixels[..., 1] < 200)
    assert np.abs(pink.min(axis=0) - (100, 200)).max() <= 1
    assert np.abs(pink.max(axis=0) - (219, 349)).max() <= 1
    assert not thumbnail.unread.any()


def test_a_slide_smaller_than_the_thumbnail_is_not_enlarged() -> None:
    slide = PaintedSlide(Size(300, 200), Spacing(0.5, 0.5), (1.0,))
    assert take_thumbnail(slide).pixels.shape == (200, 300, 3)


def test_damage_is_confined_and_counts_as_tissue() -> None:
    slide = painted(broken=(Box(6000, 4000, 200, 200),))
    thumbnail = take_thumbnail(slide, long_side_px=800)
    assert thumbnail.unread[400:420, 600:620].all()
    assert thumbnail.unread.mean() < 0.04
    assert find_tissue(slide.info, thumbnail)[400:420, 600:620].all()


def test_tissue_is_found_where_it_was_painted() -> None:
    slide = painted()
    mask = find_tissue(slide.info, take_thumbnail(slide, long_side_px=800))
    expected = np.zeros((600, 800), bool)
    expected[100:220, 200:350] = True
    assert (mask & expected).sum() / (mask | expected).sum() > 0.9


def test_glass_alone_is_no_tissue() -> None:
    slide = PaintedSlide(
        Size(8000, 6000),
        Spacing(0.5, 0.5),
        (1.0, 4.0),
        lambda x, y: (x * 0 + 244, x * 0 + 243, x * 0 + 240),
    )
    thumbnail = take_thumbnail(slide)
    tissue = find_tissue(slide.info, thumbnail)
    assert not tissue.any()
    assert check_quality(slide, thumbnail, tissue, QualityLimits()).status is Status.FAIL


def looked_at(path: Path) -> tuple[SlideInfo, Mask, Quality]:
    with open_slide(path) as slide:
        thumbnail = take_thumbnail(slide)
        tissue = find_tissue(slide.info, thumbnail)
        return slide.info, tissue, check_quality(slide, thumbnail, tissue, QualityLimits())


def truth(path: Path, name: str, info: SlideInfo, shape: tuple[int, int]) -> Mask:
    """The drawn regions of that name, as a mask."""
    features = json.loads(path.with_suffix(".geojson").read_text())["features"]
    mask = np.zeros(shape, np.uint8)
    scale = np.array([shape[1] / info.size.width, shape[0] / info.size.height])
    for feature in features:
        if feature["properties"]["classification"]["name"] == name:
            outer, *holes = feature["geometry"]["coordinates"]
            cv2.fillPoly(mask, [np.rint(np.array(outer) * scale).astype(np.int32)], 1)
            for hole in holes:
                cv2.fillPoly(mask, [np.rint(np.array(hole) * scale).astype(np.int32)], 0)
    return mask.astype(bool)


def value(quality: Quality, name: str) -> float:
    return next(check.value for check in quality.checks if check.name == name)


def test_planted_tumour_is_all_within_the_tissue_found(sample: Callable[..., Path]) -> None:
    path = sample(size_px=4096, seed=31, tumour=True)
    info, tissue, quality = looked_at(path)
    tumour = truth(path, "Tumor", info, tissue.shape)
    assert (tumour & tissue).sum() / tumour.sum() > 0.97
    assert quality.status is Status.PASS


def test_tissue_stays_within_what_was_drawn(sample: Callable[..., Path]) -> None:
    path = sample(size_px=4096, seed=31, tumour=True)
    info, tissue, _ = looked_at(path)
    drawn = cv2.dilate(
        truth(path, "Tissue", info, tissue.shape).astype(np.uint8), np.ones((31, 31))
    )
    assert (tissue & ~drawn.astype(bool)).sum() / tissue.sum() < 0.01


def test_pen_and_blur_are_measured_where_they_were_drawn(sample: Callable[..., Path]) -> None:
    clean = looked_at(sample(size_px=4096, seed=31, tumour=True))[2]
    path = sample(seed=4, pen=True, blur=True)
    info, tissue, marked = looked_at(path)
    inked = truth(path, "Pen", info, tissue.shape)
    blurred = truth(path, "Out of focus", info, tissue.shape)
    assert value(clean, "pen") < 0.005
    assert value(clean, "focus") > 0.97
    assert value(marked, "pen") == pytest.approx((inked & tissue).sum() / tissue.sum(), abs=0.03)
    expected = 1 - (blurred & tissue).sum() / tissue.sum()
    assert value(marked, "focus") == pytest.approx(expected, abs=0.12)


def test_real_slides_in_focus_and_without_ink_pass(cmu: Path) -> None:
    _, tissue, quality = looked_at(cmu)
    assert 0.3 < tissue.mean() < 0.5
    assert quality.status is Status.PASS


def test_sharpness_falls_with_blur_and_not_with_contrast(cmu: Path) -> None:
    with open_slide(cmu) as slide:
        sharp = slide.read(0, 800, 1400, 256, 256)
    pale = (255 - (255 - sharp.astype(float)) * 0.4).astype(np.uint8)
    assert sharpness(sharp) > 0.22
    assert sharpness(pale) == pytest.approx(sharpness(sharp), rel=0.1)
    assert sharpness(cv2.GaussianBlur(sharp, (0, 0), 2)) < 0.22
