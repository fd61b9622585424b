"""Objects planted at random are found once each, whatever tiles they fall into."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.heatmaps.parts import (
    BlobRuntime,
    Killed,
    KilledAfter,
    assessed,
    detecting_card,
    painted,
    planted,
)
from wsi_ai.core.cards import Form
from wsi_ai.core.flags import Level
from wsi_ai.core.geometry import Box, Size
from wsi_ai.core.values import Predictions
from wsi_ai.heatmaps import Keep, ObjectsCanvas
from wsi_ai.results.objects import write_objects
from wsi_ai.tiles.planning import plan_tiles
from wsi_ai.triage.counting import HotSpot, ObjectCount
from wsi_ai.triage.judge import TriagePolicy

SIZE = Size(520, 400)


def scattered(count: int, most: int, seed: int) -> NDArray[np.int64]:
    """(count, 4) boxes up to ``most`` px wide and high that do not touch."""
    rng, taken, boxes = np.random.default_rng(seed), np.zeros((400, 520), bool), []
    while len(boxes) < count:
        w, h = rng.integers(1, most + 1, 2)
        x, y = rng.integers(0, 520 - w), rng.integers(0, 400 - h)
        around = taken[max(0, y - 2) : y + h + 2, max(0, x - 2) : x + w + 2]
        if not around.any():
            taken[y : y + h, x : x + w] = True
            boxes.append((x, y, x + w, y + h))
    return np.array(boxes)


def by_place(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return boxes[np.lexsort(boxes.T)]


@st.composite
def overlaps(draw: st.DrawFn, least: int) -> tuple[int, int]:
    """Tile and stride, px, that differ by an even number, ``least`` or more."""
    stride = draw(st.integers(20, 90))
    return stride + 2 * draw(st.integers(least, 20)), stride


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(overlap=overlaps(least=5), seed=st.integers(0, 1000))
def test_boxes_planted_at_random_are_each_seen_once_and_whole(
    tmp_path_factory: pytest.TempPathFactory, overlap: tuple[int, int], seed: int
) -> None:
    """Where tiles overlap by more than a box is large."""
    tile, stride = overlap
    boxes = scattered(40, tile - stride - 2, seed)
    scores = [0.6 + 0.3 * (n % 7) / 7 for n in range(40)]
    kept = tmp_path_factory.mktemp("detection") / "kept"
    slide = planted(SIZE, boxes, scores)
    done, _ = assessed(slide, BlobRuntime(detecting_card(tile, stride)), kept)
    assert done.heatmap is not None
    objects = done.heatmap.objects
    assert objects is not None
    np.testing.assert_array_equal(by_place(objects.boxes), by_place(boxes.astype(float)))


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(overlap=overlaps(least=0), seed=st.integers(0, 1000))
def test_points_planted_at_random_are_each_seen_once(
    tmp_path_factory: pytest.TempPathFactory, overlap: tuple[int, int], seed: int
) -> None:
    """At any overlap, none included."""
    points = scattered(60, 1, seed)
    card = detecting_card(*overlap, form=Form.POINTS_XY, radius_um=0.4)
    kept = tmp_path_factory.mktemp("detection") / "kept"
    done, _ = assessed(planted(SIZE, points, [0.9] * 60), BlobRuntime(card), kept)
    assert done.heatmap is not None
    objects = done.heatmap.objects
    assert objects is not None
    np.testing.assert_array_equal(by_place(objects.middles), by_place(points[:, :2] + 0.5))


def test_a_cells_score_is_that_of_its_surest_object_and_its_count_is_written(
    tmp_path: Path,
) -> None:
    boxes = np.array([[10, 10, 16, 16], [30, 30, 36, 36], [70, 5, 76, 11], [200, 200, 206, 206]])
    slide = planted(Size(640, 640), boxes, [0.8, 0.6, 0.4, 0.9])
    done, _ = assessed(slide, BlobRuntime(detecting_card(84, 64)), tmp_path / "kept")
    assert done.heatmap is not None
    expected = np.zeros((10, 10))
    expected[0, 0], expected[0, 1], expected[3, 3] = 0.8, 0.4, 0.9
    np.testing.assert_allclose(done.heatmap.scores[0], expected, atol=0.005)
    counts = zarr.open_array(tmp_path / "results/counts.ome.zarr/0", mode="r")[...]
    wanted = np.zeros((10, 10))
    wanted[0, 0], wanted[3, 3] = 2, 1
    np.testing.assert_array_equal(np.asarray(counts)[0], wanted)


def test_a_rule_counts_objects_on_the_slide_and_in_its_densest_part(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    near = [(x, y, x + 4, y + 4) for x in range(100, 180, 20) for y in range(100, 160, 20)]
    far = [(x, y, x + 4, y + 4) for x in range(20, 520, 120) for y in range(240, 400, 100)]
    boxes, scores = np.array(near + far), rng.uniform(0.55, 0.95, len(near + far)).tolist()
    slide, card = planted(SIZE, boxes, scores), detecting_card(64, 48)
    policy = TriagePolicy(rule=ObjectCount(len(boxes)))
    done, _ = assessed(slide, BlobRuntime(card), tmp_path / "1" / "kept", policy)
    assert done.flag.level is Level.EXPEDITE
    assert done.flag.reason.startswith(f"{len(boxes)} objects look like red")
    assert done.flag.score == pytest.approx(min(scores), abs=0.005)
    policy = TriagePolicy(rule=ObjectCount(len(boxes) + 1))
    done, _ = assessed(slide, BlobRuntime(card), tmp_path / "2" / "kept", policy)
    assert done.flag.level is Level.STANDARD
    for n, level in ((len(near), Level.EXPEDITE), (len(near) + 1, Level.STANDARD)):
        policy = TriagePolicy(rule=HotSpot(n, within_mm2=0.003))
        done, _ = assessed(slide, BlobRuntime(card), tmp_path / f"h{n}" / "kept", policy)
        assert done.flag.level is level
        assert f"{len(near)} objects look like red" in done.flag.reason
        assert "in the densest 0.003 mm²" in done.flag.reason


def test_a_lost_tile_may_have_held_enough_objects(tmp_path: Path) -> None:
    slide = painted(Size(700, 700), broken=(Box(300, 300, 4, 4),))
    policy = TriagePolicy(rule=ObjectCount(3))
    done, _ = assessed(slide, BlobRuntime(detecting_card(64, 48)), tmp_path / "1/kept", policy)
    assert done.flag.coverage > 0.99
    assert done.flag.level is Level.NOT_ASSESSED
    policy = TriagePolicy(rule=ObjectCount(65))
    done, _ = assessed(slide, BlobRuntime(detecting_card(64, 48)), tmp_path / "2/kept", policy)
    assert done.flag.level is Level.STANDARD  # output.objects is 64


def test_an_early_flag_is_raised_as_soon_as_enough_objects_are_certain(tmp_path: Path) -> None:
    boxes = scattered(60, 6, 3)
    policy = TriagePolicy(rule=ObjectCount(20))
    slide, card = planted(SIZE, boxes, [0.9] * 60), detecting_card(64, 48)
    done, early = assessed(slide, BlobRuntime(card), tmp_path / "kept", policy)
    assert [flag.level for flag in early] == [Level.EXPEDITE]
    assert early[0].coverage < 0.7
    assert done.flag.level is Level.EXPEDITE


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10_000), overlap=st.integers(0, 15))
def test_an_object_that_counts_early_counts_in_the_end(
    tmp_path_factory: pytest.TempPathFactory, seed: int, overlap: int
) -> None:
    """Whatever tiles say: here boxes at random, so dense that most take others away."""
    rng = np.random.default_rng(seed)
    card = detecting_card(40, 40 - 2 * overlap, nms_iou=0.2)
    info = painted(Size(240, 200)).info
    plan = plan_tiles(info, np.ones((5, 5), bool), card.tile)
    keep = Keep(tmp_path_factory.mktemp("early") / "kept", "ab" * 32, 3)
    canvas, early = ObjectsCanvas(plan, card, keep), list[set[tuple[float, ...]]]()

    def counted() -> set[tuple[float, ...]]:
        objects = canvas.heatmap().objects
        assert objects is not None
        return {
            (*box, score)
            for box, score in zip(objects.boxes.tolist(), objects.scores.tolist(), strict=True)
        }

    for first in range(0, len(plan), 3):
        index = np.arange(first, min(first + 3, len(plan)))
        place = rng.uniform(0, 34, (len(index), 5, 2))
        rows = np.concatenate(
            [place, place + rng.uniform(2, 16, place.shape), rng.random((len(index), 5, 2))], axis=2
        )
        rows[..., 5] = 0
        canvas.put(Predictions("painted", index, rows.astype(np.float32)))
        early.append(counted())
    for before in early:
        assert before <= early[-1]
    canvas.close()


def test_killed_it_goes_on_to_the_same_objects(tmp_path: Path) -> None:
    slide, card = planted(SIZE, scattered(40, 8, 1), [0.9] * 40), detecting_card(64, 48)
    whole, _ = assessed(slide, BlobRuntime(card), tmp_path / "a" / "kept")
    (tmp_path / "b").mkdir()
    with pytest.raises(Killed):
        assessed(slide, BlobRuntime(card), tmp_path / "b/kept", watch=KilledAfter(40))
    again, _ = assessed(slide, BlobRuntime(card), tmp_path / "b" / "kept")
    assert again.resumed == 40
    assert again.flag == whole.flag
    assert again.heatmap is not None
    assert whole.heatmap is not None
    assert again.heatmap.objects is not None
    assert whole.heatmap.objects is not None
    np.testing.assert_array_equal(again.heatmap.objects.boxes, whole.heatmap.objects.boxes)


def test_objects_are_written_for_qupath_and_as_a_table(tmp_path: Path) -> None:
    boxes = scattered(30, 8, 2)
    scores = [0.5 + 0.01 * n for n in range(30)]
    card = detecting_card(64, 48)
    done, _ = assessed(planted(SIZE, boxes, scores), BlobRuntime(card), tmp_path / "kept")
    assert done.heatmap is not None
    assert done.heatmap.objects is not None
    write_objects(tmp_path, done.heatmap.objects, card)
    written = json.loads((tmp_path / "objects.geojson").read_text())
    assert "unverified" in written["statement"]
    assert {f["properties"]["objectType"] for f in written["features"]} == {"detection"}
    corners = [np.array(f["geometry"]["coordinates"][0]) for f in written["features"]]
    found = np.array([[*c.min(axis=0), *c.max(axis=0)] for c in corners])
    np.testing.assert_array_equal(by_place(found), by_place(boxes.astype(float)))
    with (tmp_path / "objects.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["class"] for row in table] == ["red"] * 30
    listed = np.array(
        [[float(row[f"{e}_px"]) for e in ("left", "top", "right", "bottom")] for row in table]
    )
    np.testing.assert_array_equal(listed, found)
    told = [float(row["score"]) for row in table]
    assert told == sorted(told, reverse=True)
    assert told == pytest.approx(sorted(scores, reverse=True), abs=0.003)
