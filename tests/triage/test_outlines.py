"""Outlines traced along the cells, against the union of the rows' boxes that GEOS makes."""

import tracemalloc

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from wsi_ai.core.corners import Corners
from wsi_ai.core.flags import Ring
from wsi_ai.core.geometry import Size, Spacing, Step
from wsi_ai.core.values import Heatmap, SlideInfo
from wsi_ai.testing import MEAN_CARD
from wsi_ai.triage.findings import find_regions
from wsi_ai.triage.outlines import trace_outlines

STEPS = [Step(10.0, 10.0), Step(448.9, 201.7), Step(128.125, 64.375), Step(32 / 3, 16.1)]
TOUCHING = """
    ####.#
    #..###
    #.#..#
    ##.#.#
    .#..##
    ######
"""


def heatmap_of(positive: np.ndarray, step: Step, short_px: float = 0.0) -> Heatmap:
    """Its last cells reach beyond the slide, by ``short_px``."""
    rows, cols = positive.shape
    size = Size(int(cols * step.x - short_px) or 1, int(rows * step.y - short_px) or 1)
    slide = SlideInfo("s", size, Spacing(0.25, 0.25), (1.0,), "f00d" * 16)
    scores = np.random.default_rng(1).random((1, rows, cols), np.float32)
    return Heatmap(slide, MEAN_CARD, scores, step, np.ones(positive.shape, bool))


def by_union(heatmap: Heatmap, positive: np.ndarray) -> list[tuple[list[Ring], float, float, int]]:
    """Outlines, highest and mean score and number of cells of each region: as they were found
    before they were traced."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        positive.view(np.uint8), connectivity=4
    )
    found = []
    for n in range(1, count):
        left, top, width, height = (int(v) for v in stats[n, :4])
        window = np.s_[top : top + height, left : left + width]
        own = labels[window] == n
        edges = np.diff(np.pad(own.astype(np.int8), ((0, 0), (1, 1))), axis=1)
        rows, starts = np.nonzero(edges == 1)
        ends = np.nonzero(edges == -1)[1]
        step, size = heatmap.step, heatmap.slide.size
        boxes = shapely.box(
            (left + starts) * step.x,
            (top + rows) * step.y,
            np.minimum((left + ends) * step.x, size.width),
            np.minimum((top + rows + 1) * step.y, size.height),
        )
        whole = shapely.union_all(boxes, grid_size=0.01).normalize()
        rings = [
            tuple((round(x, 2), round(y, 2)) for x, y in line.coords[:-1])
            for line in (whole.exterior, *whole.interiors)
        ]
        scores = heatmap.scores[0][window][own]
        mean = float(scores.mean(dtype=np.float64))
        found.append((rings, float(scores.max()), mean, int(own.sum())))
    return sorted(found, key=lambda one: (-one[3], -one[1], one[0][0]))


def traced(heatmap: Heatmap, positive: np.ndarray) -> list[tuple[list[Ring], float, float, int]]:
    return [
        ([tuple(ring) for ring in (one.outline, *one.holes)], one.peak, one.mean, one.cells)
        for one in find_regions(heatmap, positive)
    ]


def drawn(picture: str) -> np.ndarray:
    return np.array([[cell == "#" for cell in line] for line in picture.split()])


@given(
    positive=npst.arrays(np.bool_, npst.array_shapes(min_dims=2, max_dims=2, max_side=12)),
    step=st.sampled_from(STEPS),
    short_px=st.sampled_from([0.0, 3.0]),
)
def test_outlines_are_those_of_the_union_of_boxes_to_the_last_digit(
    positive: np.ndarray, step: Step, short_px: float
) -> None:
    heatmap = heatmap_of(positive, step, short_px)
    assert traced(heatmap, positive) == by_union(heatmap, positive)


def _noise(side: int, *, smooth: float, share: float) -> np.ndarray:
    field = np.random.default_rng(2).random((side, side), np.float32)
    field = cv2.GaussianBlur(field, (0, 0), smooth)
    return np.asarray(field > np.quantile(field, 1 - share))


@pytest.mark.parametrize(
    "positive",
    [
        drawn(TOUCHING),
        ~drawn(TOUCHING),
        np.ones((600, 3), bool),
        np.indices((60, 60)).sum(axis=0) % 2 == 0,
        _noise(120, smooth=1.0, share=0.6),
        _noise(560, smooth=12.0, share=0.3),
    ],
    ids=["touching", "and its holes", "over bands", "tiny ones", "one over all", "over bands too"],
)
def test_so_are_those_of_holes_touching_corners_tiny_ones_and_one_over_the_whole_slide(
    positive: np.ndarray,
) -> None:
    heatmap = heatmap_of(positive, Step(32.0, 32.0), 3.0)
    assert traced(heatmap, positive) == by_union(heatmap, positive)


@given(npst.arrays(np.bool_, (9, 11)), st.integers(1, 9))
def test_it_does_not_matter_how_many_rows_are_looked_at_at_once(
    positive: np.ndarray, rows: int
) -> None:
    count, labels = cv2.connectedComponents(positive.view(np.uint8), connectivity=4)
    for n in range(1, count):
        own = labels == n
        at_once = trace_outlines([own])
        in_strips = trace_outlines(own[top : top + rows] for top in range(0, len(own), rows))
        assert [ring.tolist() for ring in at_once] == [ring.tolist() for ring in in_strips]


def test_corners_are_held_in_a_third_of_the_room_of_tuples_and_cells_leave_nothing() -> None:
    positive = _noise(500, smooth=1.5, share=0.5)
    heatmap = heatmap_of(positive, Step(32.0, 32.0))
    find_regions(heatmap_of(np.ones((3, 3), bool), STEPS[0]), np.ones((3, 3), bool))
    tracemalloc.start()
    found = find_regions(heatmap, positive)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    corners = sum(len(ring) for one in found for ring in (one.outline, *one.holes))
    assert corners > 30_000
    assert held < 30 * corners
    assert peak < 8 * positive.size + 45 * corners


def test_corners_are_taken_for_the_tuple_that_they_stand_for() -> None:
    places = ((0.0, 1.5), (2.25, 3.0), (4.0, 0.0))
    corners = Corners(np.array(places))
    assert corners == places
    assert hash(corners) == hash(places)
    assert repr(corners) == repr(places)
    assert tuple(corners) == places
    assert (corners[0], corners[1:]) == (places[0], places[1:])
    assert np.array_equal(np.array(corners), np.array(places))
    assert shapely.Polygon(corners).equals(shapely.Polygon(places))
