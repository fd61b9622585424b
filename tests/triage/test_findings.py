"""Regions as polygons, checked against plain cell counting."""

import numpy as np
import shapely
from hypothesis import given
from hypothesis.extra import numpy as npst

from wsi_ai.core.geometry import Size, Spacing, Step
from wsi_ai.core.values import Heatmap, SlideInfo
from wsi_ai.testing import MEAN_CARD
from wsi_ai.triage.findings import find_regions

STEP = Step(448.9, 201.7)
SLIDE = SlideInfo("s", Size(4000, 1400), Spacing(0.25, 0.25), (1.0,), "f00d" * 16)


def regions_of(positive: np.ndarray) -> list[tuple[shapely.Polygon, int]]:
    scores = positive[np.newaxis].astype(np.float32)
    heatmap = Heatmap(SLIDE, MEAN_CARD, scores, STEP, np.ones(positive.shape, bool))
    found = find_regions(heatmap, positive)
    return [(shapely.Polygon(f.outline, f.holes), f.cells) for f in found]


@given(npst.arrays(np.bool_, (6, 8)))
def test_polygons_cover_the_positive_cells_and_nothing_else(positive: np.ndarray) -> None:
    regions = regions_of(positive)
    for row, col in np.ndindex(positive.shape):
        centre = shapely.Point((col + 0.5) * STEP.x, (row + 0.5) * STEP.y)
        assert sum(r.contains(centre) for r, _ in regions) == int(positive[row, col])
    assert sum(cells for _, cells in regions) == positive.sum()
    assert all(region.is_valid for region, _ in regions)


def test_a_region_at_the_rim_ends_with_the_slide() -> None:
    (region, _), *_ = regions_of(np.ones((7, 9), bool))
    assert region.bounds == (0, 0, 4000, 1400)


def test_a_ring_keeps_its_hole_and_the_largest_region_comes_first() -> None:
    positive = np.zeros((6, 8), bool)
    positive[:3, :3] = True
    positive[1, 1] = False
    positive[5, 7] = True
    regions = regions_of(positive)
    assert [cells for _, cells in regions] == [8, 1]
    assert len(regions[0][0].interiors) == 1
