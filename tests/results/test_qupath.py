"""What QuPath is given.  QuPath is not here: its script runs in Groovy against stand-ins."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import shapely
from typer.testing import CliRunner

from tests.delivery.servers import missing
from tests.examples import SLIDE, STEP, example_flag, example_heatmap
from tests.service.viewer.parts import analysed, write_deflate_slide
from wsi_ai.cli import app
from wsi_ai.errors import OutputError
from wsi_ai.heatmaps.zarr import write_heatmap
from wsi_ai.results.geojson import write_geojson
from wsi_ai.results.qupath import TILES, write_script, write_tiles
from wsi_ai.results.slide import slide_record

STAND_INS = Path(__file__).parent / "qupath_stand_ins"


def write_results(folder: Path) -> None:
    folder.mkdir(parents=True)
    write_heatmap(folder / "heatmap.ome.zarr", example_heatmap())
    write_geojson(folder / "findings.geojson", example_flag())
    (folder / "run.json").write_text(json.dumps({"slide": slide_record(SLIDE)}))


def test_regions_are_valid_with_their_holes_and_lie_on_the_cells_that_they_are_of(
    tmp_path: Path,
) -> None:
    """In QuPath's frame, which is the slide's own here."""
    heatmap, flag = example_heatmap(), example_flag()
    write_geojson(tmp_path / "f.geojson", flag)
    features = json.loads((tmp_path / "f.geojson").read_text())["features"]
    shapes = [shapely.from_geojson(json.dumps(one["geometry"])) for one in features]
    assert any(shape.interiors for shape in shapes)
    assert all(shape.is_valid for shape in shapes)
    whole = shapely.union_all(shapes)
    rows, cols = np.mgrid[: heatmap.planned.shape[0], : heatmap.planned.shape[1]]
    middles = shapely.points((cols + 0.5) * STEP.x, (rows + 0.5) * STEP.y)
    positive = np.nan_to_num(heatmap.shown) >= flag.threshold
    on_slide = (shapely.get_x(middles) < SLIDE.size.width) & (
        shapely.get_y(middles) < SLIDE.size.height
    )
    assert (shapely.contains(whole, middles) == positive)[on_slide].all()


def test_each_assessed_tile_becomes_a_detection_with_every_class_in_its_place(
    tmp_path: Path,
) -> None:
    write_results(tmp_path / "r")
    count = write_tiles(tmp_path / "r", tmp_path / "t")
    heatmap = example_heatmap()
    features = json.loads((tmp_path / "t" / TILES).read_text())["features"]
    assert count == len(features) == int(heatmap.assessed.sum())
    row, col = np.argwhere(heatmap.assessed)[137]
    ring, measured = (
        features[137]["geometry"]["coordinates"][0],
        features[137]["properties"]["measurements"],
    )
    assert ring[0] == pytest.approx([col * STEP.x, row * STEP.y], abs=0.02)
    assert ring[2] == pytest.approx([(col + 1) * STEP.x, (row + 1) * STEP.y], abs=0.02)
    assert measured == {
        "wsi_ai score: stroma": pytest.approx(heatmap.scores[0][row, col], abs=1e-4),
        "wsi_ai score: red": pytest.approx(heatmap.scores[1][row, col], abs=1e-4),
    }


def test_tiles_of_results_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    write_results(tmp_path / "r")
    (tmp_path / "r" / "heatmap.ome.zarr" / "zarr.json").write_text("{}")
    with pytest.raises(OutputError, match="no heatmap that can be read"):
        write_tiles(tmp_path / "r", tmp_path / "t")


def test_tiles_of_a_run_that_is_not_finished_are_not_written(tmp_path: Path) -> None:
    write_results(tmp_path / "s-0123abcd" / "m-1")
    write_results(tmp_path / "s-0123abcd" / ".m-2.new")
    done = CliRunner().invoke(app, ["qupath", str(tmp_path), "--tiles"])
    assert done.exit_code == 0, done.output
    written = [str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob(TILES)]
    assert written == ["qupath/s-0123abcd/m-1"]


def run_in_groovy(script: Path, *slides: Path) -> str:
    """What it prints, in a stand-in for QuPath where a hand-made object and an old import are."""
    if shutil.which("groovy") is None:
        missing("no Groovy: apt-get install groovy")
    java = Path(os.path.realpath(shutil.which("java") or "/")).parent.parent
    driver = STAND_INS / "driver.groovy"
    command = ["groovy", "-cp", str(STAND_INS), str(driver), str(script)]
    command += [slide.as_uri() for slide in slides]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=script.parent,
        env=os.environ | {"JAVA_HOME": str(java)},
    )
    return done.stdout + done.stderr


def test_the_script_lays_the_results_on_the_open_slide_and_leaves_hand_made_objects(
    tmp_path: Path,
) -> None:
    out = tmp_path / "it's $out"
    slide = write_deflate_slide(tmp_path / "slide.tif")
    analysed(slide, out)
    done = CliRunner().invoke(app, ["qupath", str(out), "--tiles"])
    assert done.exit_code == 0, done.output
    changed = tmp_path / "changed.tif"
    changed.write_bytes(slide.read_bytes() + b"\0")
    said = run_in_groovy(out / "wsi_ai.groovy", slide, changed)
    assert "of 1 models" in said, said
    assert "0: drawn by hand [Tumor]" in said
    assert "0: imported before" not in said
    assert "0: AI, unverified (mean-1) [wsi_ai: red]" in said
    assert "0: AI, unverified (mean-1) [wsi_ai: tile]" in said
    assert "No results of this slide's bytes" in said
    assert "1: drawn by hand [Tumor]" in said
    assert "1: AI" not in said


def test_the_script_is_written_anew_and_knows_its_folder(tmp_path: Path) -> None:
    path = write_script(tmp_path)
    assert str(tmp_path.resolve()) in path.read_text("utf-8")
    assert "@OUT@" not in path.read_text("utf-8")
    assert write_script(tmp_path) == path
