"""What is left out stays planned and unseen, wherever a person drew; a wrong frame is refused."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import mapping

from wsi_ai.core.cards import Task
from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.core.values import SlideInfo, TilePlan
from wsi_ai.errors import InputError, SlideError
from wsi_ai.testing import MEAN_CARD
from wsi_ai.tiles.extent import Extent, check_extent, strided
from wsi_ai.tiles.planning import plan_for

WIDE, HIGH = 2000, 1400
SLIDE = SlideInfo("s", Size(WIDE, HIGH), Spacing(0.5, 0.5), (1.0,), "0" * 64)
TISSUE = np.zeros((140, 200), np.bool_)
TISSUE[20:120, 30:170] = True
WHOLE = plan_for(MEAN_CARD, SLIDE, TISSUE)


def feature(polygon: shapely.Geometry, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": mapping(polygon), "properties": properties}


def written(folder: Path, *features: Any, name: str = "r.geojson", **members: Any) -> Path:
    path = folder / name
    told = {"type": "FeatureCollection", **members, "features": list(features)}
    path.write_text(json.dumps(told))
    return path


def planned(extent: Extent, slide: SlideInfo = SLIDE) -> TilePlan:
    return extent.plan(MEAN_CARD, slide, TISSUE, None)


def cells(places: np.ndarray) -> set[tuple[int, int]]:
    return {(int(row), int(col)) for row, col in places}


sides = st.integers(20, 900)
boxes = st.tuples(st.integers(0, WIDE - 200), st.integers(0, HIGH - 200), sides, sides).map(
    lambda b: shapely.box(b[0], b[1], min(b[0] + b[2], WIDE), min(b[1] + b[3], HIGH))
)


@settings(max_examples=60)
@given(
    shapes=st.lists(st.tuples(boxes, st.booleans()), max_size=3),
    min_tissue=st.sampled_from([0.0, 0.0, 0.5, 1.0]),
    every=st.sampled_from([None, 64, 128, 192]),
)
def test_what_is_looked_at_and_what_is_left_out_are_all_that_was_planned(
    tmp_path_factory: pytest.TempPathFactory,
    shapes: list[tuple[shapely.Polygon, bool]],
    min_tissue: float,
    every: int | None,
) -> None:
    folder = tmp_path_factory.mktemp("r")
    path = written(folder, *(feature(box, exclude=out) for box, out in shapes)) if shapes else None
    extent = Extent(region=path, min_tissue=min_tissue, stride_px=every)
    try:
        plan = planned(extent)
    except SlideError as error:
        assert "no tissue is left" in str(error)  # noqa: PT017
        return
    seen, left_out = cells(plan.cells), cells(plan.unseen)
    assert not seen & left_out
    assert seen | left_out == cells(WHOLE.cells)
    assert bool(plan.limited) is bool(left_out or shapes)
    np.testing.assert_array_equal(plan.planned, WHOLE.planned)
    excluded = shapely.union_all([box for box, out in shapes if out])
    included = shapely.union_all([box for box, out in shapes if not out])
    for row, col in seen:
        tile = shapely.box(64 * col, 64 * row, 64 * col + 64, 64 * row + 64)
        assert not tile.intersection(excluded).area
        assert included.is_empty or tile.intersection(included).area


def test_without_words_the_plan_is_the_models_own() -> None:
    plan = planned(Extent())
    np.testing.assert_array_equal(plan.cells, WHOLE.cells)
    assert (len(plan.unseen), plan.limited) == (0, "")


def test_a_region_is_counted_from_where_qupath_begins(tmp_path: Path) -> None:
    """As our own findings are written: from the corner of the part that was scanned."""
    moved = replace(SLIDE, bounds_origin=(640, 320))
    path = written(tmp_path, feature(shapely.box(0, 0, 64, 64)), origin_px=[640, 320])
    assert cells(planned(Extent(region=path), moved).cells) == {(5, 10)}
    with pytest.raises(SlideError, match="another corner"):
        planned(Extent(region=path))


def test_holes_and_parts_of_a_region_are_kept(tmp_path: Path) -> None:
    ring = shapely.box(320, 256, 960, 896).difference(shapely.box(384, 320, 896, 832))
    both = shapely.union(ring, shapely.box(1280, 640, 1344, 704))
    plan = planned(Extent(region=written(tmp_path, feature(both))))
    assert len(plan) == 10 * 10 - 8 * 8 + 1
    assert plan.limited == "assessed inside 1 region only"


@pytest.mark.parametrize(
    "properties",
    [
        {"exclude": True},
        {"classification": {"name": "Exclude"}},
        {"classification": {"name": "Ignore*", "color": [1, 2, 3]}},
        {"classification": "ignore*"},
    ],
)
def test_a_region_is_excluded_by_its_properties(
    tmp_path: Path, properties: Mapping[str, Any]
) -> None:
    """The second is drawn where the first one's tiles end."""
    box = shapely.box(640, 320, 704, 384)
    plan = planned(Extent(region=written(tmp_path, feature(box, **properties))))
    assert cells(plan.unseen) == {(5, 10)}
    assert plan.limited == "assessed outside 1 excluded region"
    by_option = planned(Extent(exclude=written(tmp_path, feature(box), name="e.geojson")))
    assert cells(by_option.unseen) == {(5, 10)}


def test_a_list_of_features_and_a_single_one_are_read_too(tmp_path: Path) -> None:
    one = feature(shapely.box(640, 320, 704, 384))
    for told in (one, [one], [one, one]):
        (tmp_path / "r.geojson").write_text(json.dumps(told))
        assert len(planned(Extent(region=tmp_path / "r.geojson"))) == 1


def test_contours_of_trident_are_tissue_though_they_name_a_map_of_the_world(tmp_path: Path) -> None:
    """mahmoodlab/TRIDENT#96: level-0 pixels, and beside them the CRS of web maps."""
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}
    box = feature(shapely.box(640, 320, 1279, 639), tissue_id=0)
    path = written(tmp_path, box, crs=crs)
    assert len(planned(Extent(tissue=path))) == 50


def test_regions_that_lie_over_one_another_count_once(tmp_path: Path) -> None:
    """NKI-AI/dlup#222 adds their areas up."""
    path = written(tmp_path, *[feature(shapely.box(640, 320, 767, 383))] * 3)
    plan = planned(Extent(region=path, min_tissue=1))
    assert cells(plan.cells) == {(5, 10), (5, 11)}


BOX = shapely.box(640, 320, 704, 384)
CROSSING = shapely.Polygon([(400, 400), (800, 800), (800, 400), (400, 800)])
BAD: Mapping[str, tuple[Any, str]] = {
    "no JSON": ("{", "is not valid JSON"),
    "another JSON": ('{"a": 1}', "no GeoJSON of features"),
    "empty": ('{"type": "FeatureCollection", "features": []}', "holds no region"),
    "no geometry": ([{"type": "Feature", "geometry": None}], "region 1 is nothing"),
    "a point": ([feature(shapely.Point(4, 4))], "region 1 is Point"),
    "a line": ([feature(BOX), feature(shapely.LineString([(1, 1), (9, 9)]))], "region 2 is LineS"),
    "no area": ([feature(shapely.Polygon([(1, 1), (5, 5), (9, 9)]))], "region 1 is empty"),
    "no corners": (
        [{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [["x"]]}}],
        "corners that are none",
    ),
    "two corners": (
        [{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}}],
        "corners that are none",
    ),
    "crossing rings": ([feature(CROSSING)], "rings that cross"),
    "beyond the slide": ([feature(shapely.box(1500, 0, 2900, 500))], "reaches beyond the slide"),
    "of a negative frame": ([feature(shapely.box(-500, -500, 100, 100))], "beyond the slide"),
    "of another slide": ([feature(shapely.box(9e5, 9e5, 9e5 + 9, 9e5 + 9))], "beyond the slide"),
    "on glass": ([feature(shapely.box(1800, 10, 1900, 90))], "no tissue is left to look at"),
    "degrees": (
        '{"type": "FeatureCollection", "crs": {"type": "name", "properties": {"name":'
        ' "urn:ogc:def:crs:OGC:1.3:CRS84"}}, "features": []}',
        "another frame",
    ),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_file_of_regions_that_cannot_be_meant_is_refused(tmp_path: Path, bad: str) -> None:
    told, message = BAD[bad]
    path = tmp_path / "r.geojson"
    path.write_text(told if isinstance(told, str) else json.dumps(told))
    with pytest.raises(SlideError, match=message):
        planned(Extent(region=path))


def mask(folder: Path, pixels: Any) -> Path:
    path = folder / "m.png"
    cv2.imwrite(str(path), np.asarray(pixels, np.uint8))
    return path


@pytest.mark.parametrize("white", [1, 255])
def test_a_mask_stands_in_for_the_tissue_that_was_found(tmp_path: Path, white: int) -> None:
    half = TISSUE.copy()
    half[:, 96:] = False
    plan = planned(Extent(tissue=mask(tmp_path, half * white)))
    assert cells(plan.cells) == {(r, c) for r, c in cells(WHOLE.cells) if c <= 14}
    assert cells(plan.cells) | cells(plan.unseen) == cells(WHOLE.cells)
    assert plan.limited == "assessed inside the given tissue only"


def test_a_mask_that_leaves_nothing_out_limits_nothing(tmp_path: Path) -> None:
    wider = np.ones((280, 400), np.uint8) * 255
    plan = planned(Extent(tissue=mask(tmp_path, wider)))
    assert cells(plan.cells) > cells(WHOLE.cells)
    assert (len(plan.unseen), plan.limited) == (0, "")


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((140, 200)), "is empty"),
        (np.ones((200, 140)) * 255, "another shape than the slide"),
        (np.dstack([np.ones((140, 200)) * n for n in (10, 200, 90)]), "a picture in colours"),
    ],
)
def test_a_mask_that_cannot_be_meant_is_refused(tmp_path: Path, pixels: Any, message: str) -> None:
    with pytest.raises(SlideError, match=message):
        planned(Extent(tissue=mask(tmp_path, pixels)))


def test_a_mask_may_be_drawn_as_polygons(tmp_path: Path) -> None:
    box = feature(shapely.box(640, 320, 1279, 639))
    plan = planned(Extent(tissue=written(tmp_path, box)))
    assert cells(plan.cells) == {(r, c) for r in range(5, 10) for c in range(10, 20)}


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(SlideError, match="no PNG"):
        planned(Extent(tissue=tmp_path / "m.png"))


def test_of_a_folder_each_slide_has_its_own_file(tmp_path: Path) -> None:
    written(tmp_path, feature(BOX), name="s.geojson")
    assert len(planned(Extent(region=tmp_path))) == 1
    with pytest.raises(SlideError, match="cannot be read: No such file"):
        planned(Extent(region=tmp_path), replace(SLIDE, slide_id="t"))


def test_a_file_is_of_one_slide(tmp_path: Path) -> None:
    extent = Extent(region=written(tmp_path, feature(BOX)))
    check_extent(extent, [Path("a.svs"), Path("a.svs")])
    with pytest.raises(InputError, match="of one slide, and there are 2"):
        check_extent(extent, [Path("a.svs"), Path("b.svs")])
    with pytest.raises(InputError, match="no such file"):
        check_extent(Extent(tissue=tmp_path / "none.png"), [Path("a.svs")])


def test_a_denser_stride_is_another_grid_and_a_wider_one_leaves_tiles_out() -> None:
    assert strided(MEAN_CARD, 32).tile.stride_px == 32
    assert strided(MEAN_CARD, 128) is MEAN_CARD
    assert Extent(stride_px=128).every(MEAN_CARD) == 2
    with pytest.raises(InputError, match="a multiple of it"):
        strided(MEAN_CARD, 100)
    with pytest.raises(InputError, match="the least for tiles of this model is 4 px"):
        strided(MEAN_CARD, 3)
    with pytest.raises(InputError, match="lie 64 px apart"):
        strided(replace(MEAN_CARD, task=Task.DETECTION), 32)


@pytest.mark.parametrize(
    "wrong", [{"min_tissue": 1.5}, {"min_tissue": float("nan")}, {"stride_px": 0}]
)
def test_words_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"a share|a stride"):
        Extent(**wrong)
