"""``--image``: which image was chosen is part of the question, and stands in the record."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tifffile
from typer.testing import CliRunner

from tests.models_for_tests import mean_network, red_network, write_encoder, write_model
from wsi_ai.app import Outcome, RunOptions, run_slides
from wsi_ai.cli import app
from wsi_ai.core.flags import Level


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "red", red_network(), mpp=1.0)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, sample: Callable[..., Path]) -> Path:
    """A drawn slide, and another one of the same size, in one file."""
    path = tmp_path_factory.mktemp("slides") / "two.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for number, seed in enumerate((1, 5), 1):
            pixels = tifffile.imread(sample(size_px=1024, seed=seed), key=0)
            about = {"Name": f"section {number}", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
            writer.write(pixels, tile=(256, 256), photometric="rgb", metadata=about)
    return path


def run_one(slide: Path, model: Path, out: Path, image: str) -> Outcome:
    (outcome,) = run_slides([slide], model, out, RunOptions(image=image))
    return outcome


def record(outcome: Outcome) -> dict[str, Any]:
    assert outcome.folder is not None
    content: dict[str, Any] = json.loads((outcome.folder / "run.json").read_text())
    return content


def test_another_choice_is_another_answer_and_both_stand_in_the_record(
    two: Path, model: Path, tmp_path: Path
) -> None:
    first, again, other = (run_one(two, model, tmp_path, image) for image in ("0", "0", "1"))
    assert (first.fresh, again.fresh, other.fresh) == (True, False, True)
    assert record(other)["slide"]["image"] == record(other)["asked"]["image"] == "image 1"
    assert first.level is not Level.NOT_ASSESSED


def test_a_name_and_the_number_that_it_has_are_one_question(
    two: Path, model: Path, tmp_path: Path
) -> None:
    run_one(two, model, tmp_path, "1")
    assert not run_one(two, model, tmp_path, "section 2").fresh


@pytest.mark.parametrize("mistake", ["7", ""])
def test_a_choice_that_cannot_be_made_leaves_the_answer_that_stands(
    two: Path, model: Path, tmp_path: Path, mistake: str
) -> None:
    done = run_one(two, model, tmp_path, "1")
    before = record(done)
    failed = run_one(two, model, tmp_path, mistake)
    assert "0 (section 1): 1024 x 1024 px; 1 (section 2)" in failed.reason
    assert "the earlier answer stands" in failed.reason
    assert record(done) == before


def test_each_command_that_reads_a_slide_takes_the_choice(
    two: Path, model: Path, tmp_path: Path
) -> None:
    encoder = write_encoder(tmp_path / "encoder", mean_network())
    embed = ["embed", two, "--model", encoder, "--out", tmp_path, "--image", "1"]
    compare = ["compare-readers", two, "--model", model, "--image", "1"]
    done, refused = (CliRunner().invoke(app, list(map(str, words))) for words in (embed, compare))
    assert done.exit_code == 0, done.output
    (about,) = tmp_path.glob("two*/*/run.json")
    assert json.loads(about.read_text())["asked"]["image"] == "image 1"
    assert "the reader openslide cannot choose an image" in refused.output
