"""A run that was asked to look at less is a question of its own: never ``standard``, never sent."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import mapping
from typer.testing import CliRunner

import wsi_ai
from tests.conftest import ROOT
from tests.models_for_tests import mean_network, red_network, write_encoder, write_model
from tests.run.law import digests
from tests.stand_in_runs import write_slide
from wsi_ai.cli import app
from wsi_ai.core.flags import Level, Quality
from wsi_ai.core.geometry import Step
from wsi_ai.core.values import Heatmap
from wsi_ai.errors import InputError
from wsi_ai.run.no_ops import NoPost
from wsi_ai.run.outcome import Outcome
from wsi_ai.testing import MEAN_CARD, PaintedSlide
from wsi_ai.tiles.extent import Extent
from wsi_ai.triage.judge import TriagePolicy, triage
from wsi_ai.triage.rules import Tiles

SIDE = 512
POLICY = 'name = "open"\n[rule]\ntiles = 1\nthreshold = 0.7\n[quality]\nfocus_min = 0\npen_max = 1\ncast_max = 1\n'  # noqa: E501
LEFT, RIGHT = shapely.box(0, 0, 250, SIDE), shapely.box(262, 0, SIDE, SIDE)
CASES = "file,trust,accession,slide_id\ns.tif,RXX,A1,1\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slide whose left half is a tumour to a model that looks for red; it was run as a whole."""
    root = tmp_path_factory.mktemp("site")
    noise = np.random.default_rng(0).integers(0, 20, (SIDE, SIDE, 3), np.uint8)
    pixels = noise + np.where(np.arange(SIDE)[None, :, None] < 256, [230, 90, 150], [120, 60, 150])
    tifffile.imwrite(
        root / "s.tif", pixels.astype(np.uint8), tile=(64, 64), photometric="rgb",
        compression="deflate", resolution=(20_000, 20_000), resolutionunit="CENTIMETER",
    )  # fmt: skip
    write_model(root / "red", red_network(side=64), side=64, mpp=0.5)
    (root / "p.toml").write_text(POLICY)
    (root / "cases.csv").write_text(CASES)
    assert run(root, formats=("tissue",)).level is Level.EXPEDITE
    return root


def run(root: Path, extent: Extent | None = None, **options: Any) -> Outcome:
    asked = wsi_ai.RunOptions(
        policy=root / "p.toml", cases=root / "cases.csv", extent=extent, **options
    )
    (outcome,) = wsi_ai.run_slides(root / "s.tif", root / "red", root / "out", asked)
    return outcome


def drawn(folder: Path, *polygons: shapely.Geometry) -> Path:
    path = folder / "r.geojson"
    features = [{"type": "Feature", "geometry": mapping(p), "properties": {}} for p in polygons]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def flag_of(outcome: Outcome) -> dict[str, Any]:
    assert outcome.folder is not None
    told: dict[str, Any] = json.loads((outcome.folder / "flag.json").read_text())
    return told


def test_a_region_with_the_tumour_is_expedite_and_says_where_it_looked(
    site: Path, tmp_path: Path
) -> None:
    whole, before = run(site, formats=("tissue",)), digests(site / "out")
    outcome = run(site, Extent(region=drawn(tmp_path, LEFT)))
    flag = flag_of(outcome)
    assert outcome.level is Level.EXPEDITE
    assert outcome.reason.endswith("; assessed inside 1 region only")
    assert flag["extensions"]["limited"] == "assessed inside 1 region only"
    assert flag["qc"]["analysed_fraction"] == 0.5
    assert outcome.folder != whole.folder
    assert digests(site / "out").items() >= before.items()


@pytest.mark.parametrize(
    "extent",
    [
        lambda folder: Extent(region=drawn(folder, RIGHT)),
        lambda folder: Extent(exclude=drawn(folder, LEFT)),
        lambda folder: Extent(region=drawn(folder, shapely.box(300, 10, 340, 40))),
    ],
)
def test_a_region_without_the_tumour_hides_nothing(site: Path, tmp_path: Path, extent: Any) -> None:
    outcome = run(site, extent(tmp_path))
    assert outcome.level is Level.NOT_ASSESSED
    assert outcome.reason.startswith("assessed ")
    assert "what was not looked at could change the answer" in outcome.reason


def test_its_flag_is_of_no_case_and_of_a_question_of_its_own(site: Path, tmp_path: Path) -> None:
    whole, part = (
        flag_of(run(site, formats=("tissue",))),
        flag_of(run(site, Extent(region=drawn(tmp_path, LEFT)))),
    )
    other = flag_of(run(site, Extent(region=drawn(tmp_path, RIGHT))))
    assert whole["tenant"]["trust_ods"] == "RXX"
    assert part["tenant"] is part["case"] is None
    assert len({whole["flag_id"], part["flag_id"], other["flag_id"]}) == 3


def test_the_same_words_again_find_it_done(site: Path, tmp_path: Path) -> None:
    extent = Extent(region=drawn(tmp_path, LEFT), min_tissue=0.5)
    first, again = run(site, extent), run(site, extent)
    assert again.folder == first.folder
    assert not again.fresh


def test_tissue_that_was_saved_and_given_back_leaves_nothing_out(site: Path) -> None:
    whole = run(site, formats=("tissue",))
    assert whole.folder is not None
    outcome = run(site, Extent(tissue=whole.folder / "tissue.png"))
    assert outcome.reason == whole.reason
    assert flag_of(outcome)["qc"]["analysed_fraction"] == 1.0


def test_every_second_tile_is_a_quarter_of_the_tissue(site: Path) -> None:
    outcome = run(site, Extent(stride_px=128))
    assert flag_of(outcome)["qc"]["analysed_fraction"] == 0.25
    assert outcome.reason.endswith("one tile in 4 was looked at")


def test_a_denser_stride_sees_all_of_it(site: Path) -> None:
    outcome = run(site, Extent(stride_px=32))
    flag = flag_of(outcome)
    assert flag["qc"]["analysed_fraction"] == 1.0
    assert flag["evidence"]["n_tiles"] == 256


def test_a_wrong_file_is_that_slides_own_reason_in_its_own_folder(
    site: Path, tmp_path: Path
) -> None:
    before = digests(site / "out")
    outcome = run(site, Extent(region=drawn(tmp_path, shapely.box(5000, 0, 6000, 900))))
    assert outcome.level is Level.NOT_ASSESSED
    assert "region 1 reaches beyond the slide" in outcome.reason
    assert digests(site / "out").items() >= before.items()


@pytest.mark.parametrize(
    "words",
    [
        ["--region", "r.geojson"],
        ["--exclude-region", "r.geojson"],
        ["--tissue", "r.geojson"],
        ["--min-tissue", "0.5"],
        ["--stride", "128"],
        ["--stride", "32"],
    ],
)
def test_nothing_of_it_is_sent(site: Path, tmp_path: Path, words: Sequence[str]) -> None:
    drawn(tmp_path, LEFT)
    given = [str(tmp_path / word) if word.endswith(".geojson") else word for word in words]
    out, box = tmp_path / "out", tmp_path / "box"
    command = ["run", str(site / "s.tif"), "--model", str(site / "red"), "--out", str(out)]
    done = CliRunner().invoke(app, [*command, *given, "--send", f"file://{box}"])
    assert done.exit_code == 2
    assert "are not sent: leave --send away" in done.stderr
    assert not list(out.rglob("flag.json"))
    assert not list(box.rglob("*.json")) if box.exists() else True


def test_a_file_of_one_slide_is_not_taken_for_several(site: Path, tmp_path: Path) -> None:
    write_slide(tmp_path / "t.tif", 192)
    words = ["run", str(site / "s.tif"), str(tmp_path / "t.tif"), "--model", str(site / "red")]
    region = ["--out", str(tmp_path / "out"), "--region", str(drawn(tmp_path, LEFT))]
    done = CliRunner().invoke(app, [*words, *region])
    assert done.exit_code == 2
    assert "r.geojson is of one slide, and there are 2" in done.stderr
    assert not (tmp_path / "out").exists()


def test_from_python_too_nothing_of_it_is_posted(site: Path, tmp_path: Path) -> None:
    options = wsi_ai.RunOptions(extent=Extent(stride_px=128))
    with pytest.raises(InputError, match="are not sent"):
        list(wsi_ai.run_slides(site / "s.tif", site / "red", tmp_path, options, post=NoPost()))


@given(
    scores=st.lists(st.floats(0, 1), min_size=4, max_size=4),
    seen=st.lists(st.booleans(), min_size=4, max_size=4),
    floor=st.floats(0, 1),
)
def test_whatever_it_scores_less_than_all_tissue_is_never_standard(
    scores: list[float], seen: list[bool], floor: float
) -> None:
    layer = np.where(seen, scores, np.nan).astype(np.float32).reshape(1, 2, 2)
    slide = PaintedSlide().info
    planned = np.ones((2, 2), np.bool_)
    heatmap = Heatmap(slide, MEAN_CARD, layer, Step(64, 64), planned, limited="assessed in part")
    flag = triage(heatmap, TriagePolicy(rule=Tiles(1), min_coverage=floor), Quality((), 0.5))
    assert flag.level is not Level.STANDARD
    assert "assessed in part" in flag.reason


def test_embedding_looks_inside_regions_and_takes_folders_and_lists(
    site: Path, tmp_path: Path
) -> None:
    encoder = write_encoder(tmp_path / "encoder", mean_network(side=64), side=64, mpp=0.5)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "s.tif").symlink_to(site / "s.tif")
    (tmp_path / "list.csv").write_text("slide,mpp\nin/s.tif,0.5\n")
    region = drawn(tmp_path, LEFT)
    for extent, count in ((None, 64), (Extent(region=region), 32)):
        options = wsi_ai.RunOptions(policy=site / "p.toml", extent=extent)
        (made,) = wsi_ai.embed_slides(site / "s.tif", encoder, tmp_path / "out", options)
        assert made.tiles == count
    for named in ("in", "list.csv"):
        words = ["embed", str(tmp_path / named), "--model", str(encoder), "--out", str(tmp_path)]
        done = CliRunner().invoke(app, words)
        assert "in/s.tif: NOT EMBEDDED: the colours are wrong" in done.stdout


@pytest.mark.parametrize("task", ["stains", "nuclei"])
def test_whatever_the_task_what_is_left_out_is_planned_and_unseen(
    tmp_path: Path, task: str
) -> None:
    policy = tmp_path / "p.toml"
    policy.write_text(POLICY.replace("tiles = 1\nthreshold = 0.7", "tiles = 1\nthreshold = 0.999"))
    right = drawn(tmp_path, shapely.box(1100, 0, 1200, 1200))
    options = wsi_ai.RunOptions(policy=policy, extent=Extent(region=right))
    slide = write_slide(tmp_path / "s.tif", 1200)
    model = ROOT / "models" / f"demo-{task}"
    (outcome,) = wsi_ai.run_slides(slide, model, tmp_path / "out", options)
    assert outcome.folder is not None
    result = wsi_ai.open_result(outcome.folder)
    assert outcome.level is not Level.STANDARD
    assert "assessed inside 1 region only" in outcome.reason
    assert 0 < result.flag["qc"]["analysed_fraction"] < 1
    missed = result.planned & ~np.isfinite(result.scores).all(axis=0)
    assert missed.any()
    assert np.nonzero(~missed & result.planned)[1].min() > 0  # nothing at the left edge was seen
