"""Results opened from Python, and as Parquet, say what the files say; rescoring changes nothing."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.models_for_tests import red_network, write_model
from tests.run.law import digests
from tests.stand_in_runs import write_slide
from tests.triage.test_policy import POLICIES
from wsi_ai.app import RunOptions, run_slides
from wsi_ai.cli import app
from wsi_ai.core.cards import TileSpec
from wsi_ai.core.flags import Check, Level, Quality, Status
from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.core.values import SlideInfo
from wsi_ai.errors import ResultError
from wsi_ai.heatmaps import Grid
from wsi_ai.results.open_result import Result, open_heatmap, open_result
from wsi_ai.results.parquet import tile_boxes
from wsi_ai.testing import MEAN_CARD
from wsi_ai.tiles.planning import plan_for
from wsi_ai.tissue.quality import QualityLimits, held_to
from wsi_ai.triage.policy import Policy, load_policy, policy_of

OPEN = 'name = "open"\n[rule]\n{}\n[quality]\nfocus_min = 0\npen_max = 1\ncast_max = 1\n'
SIDE = 520
"""No whole number of tiles."""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a slide that is expedite at 0.5, and of one that a gate stopped."""
    root = tmp_path_factory.mktemp("opened")
    model = write_model(root / "red", red_network(side=64), side=64, mpp=0.5)
    policy = root / "open.toml"
    policy.write_text(OPEN.format("area_mm2 = 0.01\nthreshold = 0.5"))
    options = RunOptions(policy=policy, formats=("parquet",))
    slides = [write_slide(root / "s.tif", SIDE), write_slide(root / "g.tif", SIDE, glass=True)]
    assert len(list(run_slides(slides, model, root / "out", options))) == 2
    return root / "out"


@pytest.fixture(scope="module")
def result(out: Path) -> Result:
    (folder,) = out.glob("s-*/red-1.0.0")
    return open_result(str(folder))


def test_a_result_says_what_its_files_say(result: Result) -> None:
    flag = json.loads((result.folder / "flag.json").read_text())
    assert (result.level, result.score) == (Level.EXPEDITE, flag["result"]["score"])
    stored = np.asarray(zarr.open_array(result.folder / "heatmap.ome.zarr" / "0", mode="r")[:])
    np.testing.assert_array_equal(result.scores, stored)
    assert result.planned.sum() == flag["evidence"]["n_tiles"]
    assert max(result.thumbnail.shape) == 512


def test_the_heatmap_is_in_micrometres_from_the_slides_corner(result: Result) -> None:
    """OME-Zarr counts from the middle of the first pixel: half a pixel of 0.5 µm less."""
    heatmap = open_heatmap(result.folder)
    root = zarr.open_group(result.folder / "heatmap.ome.zarr", mode="r")
    (multiscale,) = root.attrs["ome"]["multiscales"]
    scale, shift = multiscale["datasets"][0]["coordinateTransformations"]
    for axis, n in (("y", 1), ("x", 2)):
        wanted = np.arange(9) * scale["scale"][n] + shift["translation"][n] + 0.25
        np.testing.assert_allclose(heatmap[axis], wanted)
        assert heatmap[axis].attrs["units"] == "micrometre"
    assert heatmap.sel(class_name="red").max() > 0.7
    assert heatmap.sel(class_name="red", x=10, y=10, method="nearest") == result.scores[0, 0, 0]


def test_regions_lie_where_the_cells_are_that_reach_the_threshold(result: Result) -> None:
    (region,) = result.regions
    assert region.polygon.is_valid
    assert region.polygon.area == pytest.approx(SIDE**2)
    assert region.label == "red"


def test_a_table_has_each_planned_tile_with_its_box_and_its_units(result: Result) -> None:
    table = parquet.read_table(result.folder / "scores.parquet")
    rows = table.to_pydict()
    assert table.num_rows == result.planned.sum()
    assert all(rows["assessed"])
    for n in range(table.num_rows):
        row, col = rows["row"][n], rows["col"][n]
        assert rows["score_red"][n] == result.scores[0, row, col]
        box = [rows[f"{side}_px"][n] for side in ("x", "y", "width", "height")]
        assert box == [64 * col, 64 * row, 64, 64]
        assert rows["x_um"][n] == 0.5 * box[0]
    assert table.schema.field("width_um").metadata == {b"unit": b"micrometre"}
    about = json.loads(table.schema.metadata[b"wsi_ai"])
    assert (about["task"], about["um_per_px"]) == ("tile-classification", [0.5, 0.5])
    assert "Research use only" in about["statement"]


@given(
    side=st.integers(16, 128),
    stride=st.integers(16, 128),
    lead=st.integers(0, 15),
    mpp=st.floats(0.4, 1.1),
)
def test_a_tables_boxes_are_what_was_read_for_each_tile(
    side: int, stride: int, lead: int, mpp: float
) -> None:
    card = replace(MEAN_CARD, tile=TileSpec(side, mpp, stride, lead_px=lead))
    slide = SlideInfo("s", Size(900, 700), Spacing(0.5, 0.5), (1.0,), "0" * 64)
    plan = plan_for(card, slide, np.ones((70, 90), np.bool_))
    rows, cols = np.nonzero(plan.planned)
    boxes = tile_boxes(Grid(plan, card).heatmap(), rows, cols)
    order = np.lexsort((plan.cells[:, 1], plan.cells[:, 0]))
    x, y = plan.corners_of(order)
    np.testing.assert_array_equal(np.rint(boxes[:, :2]), np.stack([x, y], axis=1))
    np.testing.assert_allclose(boxes[:, 2:], side * mpp / 0.5)


def test_of_a_slide_that_a_gate_stopped_there_are_no_scores(out: Path) -> None:
    (folder,) = out.glob("g-*/red-1.0.0")
    stopped = open_result(folder)
    assert stopped.level is Level.NOT_ASSESSED
    with pytest.raises(ResultError, match="there are no scores: no tissue"):
        _ = stopped.heatmap


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("flag.json", None, "flag.json cannot be read"),
        ("run.json", None, "run.json cannot be read"),
        ("run.json", '{"a": ', "is not valid JSON"),
        ("flag.json", '{"schema_version": "2.0", "result": {"level": "standard"}}', "newer"),
        ("flag.json", "[]", "not as this software writes it"),
        ("flag.json", "{}", "holds no results"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused(
    result: Result, tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    folder = shutil.copytree(result.folder, tmp_path / "copy")
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(ResultError, match=message):
        open_result(folder)


@pytest.mark.parametrize(
    "content",
    [
        "{}",
        '{"origin_px": [0], "features": []}',
        '{"origin_px": [0, 0], "features": [{}]}',
        '{"origin_px": [0, 0], "features": [1]}',
        None,
    ],
)
def test_damaged_regions_are_refused(result: Result, tmp_path: Path, content: str | None) -> None:
    folder = shutil.copytree(result.folder, tmp_path / "copy")
    path = folder / "findings.geojson"
    told = json.loads(path.read_text())
    told["features"][0]["geometry"]["coordinates"][0] = [[0, 0]]
    path.write_text(content or json.dumps(told))
    with pytest.raises(ResultError, match="holds no regions"):
        _ = open_result(folder).regions


def test_damaged_scores_are_refused(result: Result, tmp_path: Path) -> None:
    folder = shutil.copytree(result.folder, tmp_path / "copy")
    array = zarr.open_array(folder / "heatmap.ome.zarr" / "0", mode="r+")
    array[:] = np.zeros(array.shape, np.float32)
    with pytest.raises(ResultError, match="damaged"):
        _ = open_result(folder).scores


def rescored(out: Path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["rescore", str(out), *words])
    return done.exit_code, done.stdout


def test_rescoring_says_what_would_change_and_changes_nothing(out: Path) -> None:
    before = digests(out)
    status, told = rescored(out, "--threshold", "0.999")
    assert status == 1
    assert "red-1.0.0: EXPEDITE → STANDARD: 0.00 mm² of tissue look like red" in told
    assert "1 of 2 would change, 1 to a lower level" in told
    assert "Nothing was written or sent" in told
    assert rescored(out, "--threshold", "0.5")[0] == 0
    assert digests(out) == before


def test_rescoring_says_where_only_inference_can_tell(out: Path, tmp_path: Path) -> None:
    policy = tmp_path / "p.toml"
    policy.write_text(OPEN.format("tiles = 1") + "tissue_min = 0.9\n")
    (folder,) = out.glob("g-*/red-1.0.0")
    assert json.loads((folder / "run.json").read_text())["quality"]
    assert rescored(out, "--policy", str(policy))[0] == 0  # no tissue stays no tissue


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--threshold", "nan"], "not above 0"), (["--threshold", "1.5"], "not above 0")],
)
def test_a_threshold_that_cannot_be_is_refused(out: Path, words: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["rescore", str(out), *words])
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.name)
def test_a_policy_is_read_back_from_the_record_of_a_run(path: Path) -> None:
    policy = load_policy(path)
    assert policy_of(json.loads(json.dumps(policy.as_table())), "run.json") == policy
    assert policy_of(Policy().as_table(), "run.json") == Policy()


LIMITS: Mapping[str, tuple[float, dict[str, float], bool]] = {
    "focus": (0.5, {"focus_min": 0.4}, True),
    "pen": (0.2, {"pen_max": 0.15}, False),
    "tissue": (0.001, {"tissue_min": 0.01}, False),
    "colours": (0.3, {"cast_max": 0.35}, True),
}


@pytest.mark.parametrize("name", LIMITS)
def test_what_was_measured_can_be_held_to_other_limits(name: str) -> None:
    value, limits, passes = LIMITS[name]
    check = Check(name, value, 0.25, Status.PASS if not passes else Status.FAIL, "measured")
    held = held_to(Quality((check,), 0.5), QualityLimits(), QualityLimits(**limits))
    assert (held.status is Status.PASS) is passes
