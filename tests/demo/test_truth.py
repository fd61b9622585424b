"""The ground truth says what is on the slide."""

import numpy as np
from numpy.typing import NDArray
from shapely import contains_xy
from shapely.geometry import box
from shapely.ops import unary_union

from tests.demo.conftest import Sample

HAEMATOXYLIN = np.array((0.5626, 0.7201, 0.4062))
EOSIN = np.array((0.125, 0.740, 0.460))


def thumbnail(sample: Sample) -> NDArray[np.float64]:
    """Level /16, RGB."""
    with sample.open() as slide:
        return np.asarray(
            slide.read_region((0, 0), 2, slide.level_dimensions[2]).convert("RGB"), float
        )


def covered(sample: Sample, name: str) -> NDArray[np.bool_]:
    """Which pixels of level /16 lie in the regions of this name."""
    side = thumbnail(sample).shape[0]
    at = (np.arange(side) + 0.5) * 16
    xx, yy = np.meshgrid(at, at)
    return np.asarray(contains_xy(unary_union(sample.regions[name]), xx, yy))


def haematoxylin(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    density = -np.log10(np.clip(rgb, 1, 245) / 245)
    amounts = np.linalg.lstsq(np.stack([HAEMATOXYLIN, EOSIN]).T, density.reshape(-1, 3).T)[0]
    return amounts[0].reshape(rgb.shape[:2])


def test_every_polygon_is_valid_and_lies_on_the_slide(full: Sample, free: Sample):
    for sample in (full, free):
        slide = box(0, 0, sample.spec.size_px, sample.spec.size_px)
        for polygons in sample.regions.values():
            for polygon in polygons:
                assert polygon.is_valid
                assert slide.contains(polygon)


def test_a_slide_has_the_regions_asked_for_and_no_others(full: Sample, free: Sample):
    assert set(full.regions) == {"Tissue", "Tumor", "Pen", "Out of focus"}
    assert set(free.regions) == {"Tissue"}


def test_tissue_is_darker_than_the_glass_around_it(free: Sample):
    rgb, tissue = thumbnail(free), covered(free, "Tissue")
    assert rgb[tissue].mean() < rgb[~tissue].mean() - 25


def test_tumour_holds_more_haematoxylin_than_the_other_tissue(full: Sample):
    amount = haematoxylin(thumbnail(full))
    tumour = covered(full, "Tumor") & ~covered(full, "Pen")
    other = covered(full, "Tissue") & ~covered(full, "Tumor") & ~covered(full, "Pen")
    assert tumour.sum() > 500
    assert amount[tumour].mean() > 1.2 * amount[other].mean()


def test_pen_takes_away_red(full: Sample):
    rgb, pen = thumbnail(full), covered(full, "Pen")
    glass = pen & ~covered(full, "Tissue")
    assert (rgb[glass][:, 0] < rgb[glass][:, 1:].max(1)).mean() > 0.9


def test_tissue_out_of_focus_is_smoother_than_the_same_tissue_in_focus(full: Sample):
    with full.open() as slide:
        grey = np.asarray(
            slide.read_region((0, 0), 0, (full.spec.size_px,) * 2).convert("L"), float
        )
    side = grey.shape[0] // 16
    step = np.abs(np.diff(grey, axis=1, append=0))[: side * 16, : side * 16]
    rough = step.reshape(side, 16, side, 16).mean((1, 3))
    blurred, tissue = (covered(full, k)[:side, :side] for k in ("Out of focus", "Tissue"))
    assert rough[blurred & tissue].mean() < 0.75 * rough[tissue & ~blurred].mean()
