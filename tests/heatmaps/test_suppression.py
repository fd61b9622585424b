"""Non-maximum suppression, against the ways others do it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_ai.heatmaps.suppression import Candidates, kept, same_boxes, same_points, settled


def crowd(seed: int, count: int, *, tiles: int = 1) -> Candidates:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 60, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(2, 20, (count, 2))], axis=1)
    return Candidates(
        boxes.astype(np.float32).astype(np.float64),
        rng.permutation(count).astype(np.float32) / count,
        np.zeros(count, np.int64),
        rng.integers(0, tiles, count),
        np.ones(count, np.bool_),
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(0, 120), iou=st.floats(0.05, 0.95))
def test_within_a_tile_it_is_what_torchvision_does(seed: int, count: int, iou: float) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    ops = pytest.importorskip("torchvision.ops", reason="torchvision is not installed")
    found = crowd(seed, count)
    boxes, scores = torch.from_numpy(found.boxes), torch.from_numpy(found.scores).double()
    wanted = sorted(ops.nms(boxes, scores, iou).tolist())
    assert np.flatnonzero(kept(count, same_boxes(found, iou))).tolist() == wanted


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(0, 80), radius=st.floats(0.5, 15))
def test_points_are_taken_one_by_one_the_surest_first(seed: int, count: int, radius: float) -> None:
    found = crowd(seed, count)
    points = found.boxes[:, [0, 1, 0, 1]]
    found = Candidates(points, found.scores, found.classes, found.tiles, found.whole)
    stays: list[int] = []
    for n in np.argsort(-found.scores):
        away = np.hypot(*(points[stays, :2] - points[n, :2]).T)
        if not (away <= radius).any():
            stays.append(int(n))
    assert np.flatnonzero(kept(count, same_points(found, radius))).tolist() == sorted(stays)


def test_what_an_edge_cut_is_the_same_object_though_it_is_surer() -> None:
    found = Candidates(
        np.array([[0.0, 0, 20, 20], [15, 0, 20, 20]]),
        np.array([0.5, 0.9], np.float32),
        np.zeros(2, np.int64),
        np.array([0, 1]),
        np.array([True, False]),
    )
    assert kept(2, same_boxes(found, 0.5)).tolist() == [True, False]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 60), more=st.integers(1, 30))
def test_what_is_settled_stays_whatever_comes_to_the_unsettled(
    seed: int, count: int, more: int
) -> None:
    """New objects meet only those that were said to be unsettled."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(count + more)
    edges = rng.integers(0, count + more, (2 * count, 2))
    edges = edges[edges[:, 0] != edges[:, 1]]
    swap = order[edges[:, 0]] > order[edges[:, 1]]
    edges[swap] = edges[swap][:, ::-1]
    old = (edges < count).all(axis=1)
    unsettled = np.zeros(count, bool)
    across = edges[(edges < count).any(axis=1) & ~old]
    unsettled[across[across < count]] = True
    before = kept(count, edges[old]) & settled(count, edges[old], unsettled)
    after = kept(count + more, edges)
    assert not (before & ~after[:count]).any()
