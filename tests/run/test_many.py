"""Many slides in one command: back to back, each with its own end."""

import json
import os
import shutil
import struct
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from tests.models_for_tests import red_network, write_model
from tests.stand_in_runs import SLOW_S, Slow, run_here, write_slide
from wsi_ai.cli import app
from wsi_ai.results.timeline import write_timeline


def wsi_ai(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small tiles, so that a small slide has many."""
    network = red_network(side=32)
    return write_model(tmp_path_factory.mktemp("models") / "red", network, side=32, mpp=0.5)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise is never out of focus."""
    path = tmp_path_factory.mktemp("policy") / "p.toml"
    path.write_text('name = "tests"\n[quality]\nfocus_min = 0.0\n')
    return path


def unmeasured(path: Path) -> None:
    """Take the resolution out of a TIFF: its unit becomes 'none'."""
    data = bytearray(path.read_bytes())
    at = data.index(struct.pack("<HHI", 296, 3, 1))
    data[at + 8 : at + 10] = struct.pack("<H", 1)
    path.write_bytes(data)


@pytest.fixture(scope="module")
def done(
    model: Path, policy: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Result, Path, Path]:
    """A run of eight slides: the third is corrupt, the sixth does not say its µm/px."""
    folder, out = tmp_path_factory.mktemp("in"), tmp_path_factory.mktemp("out")
    slides = [write_slide(folder / f"{n}.tif", side=512, seed=n) for n in range(1, 9)]
    slides[2].write_bytes(slides[2].read_bytes()[:200])
    unmeasured(slides[5])
    done = wsi_ai("run", folder, "--model", model, "--out", out, "--policy", policy)
    return done, folder, out


def records(out: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((out / "runs").glob("*.json"))]


def test_of_eight_slides_the_two_that_cannot_be_assessed_end_only_themselves(
    done: tuple[Result, Path, Path],
) -> None:
    result, _, out = done
    assert result.exit_code == 1
    assert "8 slides: 6 expedite, 0 standard, 2 not assessed" in result.stdout
    assert "the limit was" in result.stdout
    (run,) = records(out)
    assert run["complete"]
    assert [slide["level"] for slide in run["slides"]] == [
        *["expedite"] * 2, "not_assessed", *["expedite"] * 2, "not_assessed", *["expedite"] * 2,
    ]  # fmt: skip
    assert "directories cannot be read" in run["slides"][2]["reason"]
    assert "no spacing in the file" in run["slides"][5]["reason"]
    for slide in run["slides"]:
        assert (out / slide["folder"] / "flag.json").is_file()


def test_while_one_slide_is_under_way_the_next_one_is_looked_at(
    done: tuple[Result, Path, Path],
) -> None:
    (run,) = records(done[2])
    spans = [{s["stage"]: s for s in slide["spans"]} for slide in run["slides"]]
    whole = [s for s in spans if "inference" in s and "writing" in s]
    assert len(whole) == 6
    for before, after in pairwise(whole):
        assert after["opening"]["start_s"] < before["writing"]["end_s"]
        assert after["inference"]["start_s"] >= before["inference"]["end_s"]
    assert run["start_up_s"] > 0
    assert 0 < run["efficiency"] <= 1
    assert run["limit"] in run["busy_s"]


def test_the_runtime_goes_from_slide_to_slide_within_two_batches(tmp_path: Path) -> None:
    """Unless the next slide was not yet looked at, or an earlier one not yet written."""
    slides = [write_slide(tmp_path / f"{n}.tif", seed=n) for n in range(5)]
    slides[2].write_bytes(b"")
    timings = [o.timing for o in run_here(tmp_path / "out", Slow, slides) if o.timing]
    spans = [{name: (start, end) for name, start, end in timing.spans} for timing in timings]
    whole = [(n, s) for n, s in enumerate(spans) if "inference" in s]
    assert len(whole) == 4
    for (_, before), (n, after) in pairwise(whole):
        written = max((s["writing"][1] for s in spans[: max(0, n - 2)]), default=0.0)
        ready = max(before["inference"][1], after["first tiles"][1], written)
        assert after["inference"][0] - ready < 2 * SLOW_S
    for timing in (timings[0], timings[1]):
        assert timing.batch_s is not None
        assert timing.batch_s >= SLOW_S


def test_done_before_it_runs_nothing_and_says_so(
    done: tuple[Result, Path, Path], model: Path, policy: Path, tmp_path: Path
) -> None:
    _, folder, out = done
    shutil.copytree(out, tmp_path / "out")
    words = ("run", folder, "--model", model, "--out", tmp_path / "out", "--policy", policy)
    again = wsi_ai(*words)
    assert again.exit_code == 1
    assert again.stdout.count("done before, nothing to do") == 7  # all but the damaged one
    assert "the limit was" not in again.stdout
    assert [s["done_before"] for s in records(tmp_path / "out")[1]["slides"]].count(True) == 7


def test_the_timeline_is_drawn_beside_the_last_runs_record(
    done: tuple[Result, Path, Path], tmp_path: Path
) -> None:
    _, _, out = done
    drawn = wsi_ai("timeline", out)
    assert drawn.exit_code == 0
    (picture,) = (out / "runs").glob("*.png")
    assert drawn.stdout.strip() == str(picture)
    (run,) = records(out)
    for slide in run["slides"]:
        slide["spans"] = slide["spans"] if slide["level"] == "expedite" else []
    write_timeline(tmp_path / "without.png", run)
    red = [reds(path) for path in (picture, tmp_path / "without.png")]
    assert red[0] > red[1]


def reds(path: Path) -> int:
    """Pixels in the colour of what failed."""
    colours = Image.open(path).convert("RGB").getcolors(1 << 24) or []
    return sum(count for count, colour in colours if colour == (192, 28, 40))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "there is no record of a run in "),
        (["pyproject.toml"], "pyproject.toml is no record of a run"),
    ],
)
def test_a_timeline_of_nothing_is_told(words: list[str], told: str, tmp_path: Path) -> None:
    (tmp_path / "nowhere").mkdir()
    done = wsi_ai("timeline", *[tmp_path / word if word == "nowhere" else word for word in words])
    assert done.exit_code == 2
    assert told in done.stderr


def test_a_list_with_a_missing_file_runs_the_others_and_a_typing_error_runs_nothing(
    model: Path, policy: Path, tmp_path: Path
) -> None:
    write_slide(tmp_path / "a.tif")
    (tmp_path / "list.csv").write_text("slide,mpp\na.tif,1.0\nb.tif,\n")
    words = ("--model", model, "--out", tmp_path / "out", "--policy", policy)
    done = wsi_ai("run", tmp_path / "list.csv", *words, "--override-mpp")
    assert done.exit_code == 1
    assert "b.tif: NOT ASSESSED: there is no such file" in done.stdout
    (record,) = (tmp_path / "out").glob("a-*/red-1.0.0/run.json")
    assert json.loads(record.read_text())["slide"]["mpp_x"] == 1.0
    assert json.loads(record.read_text())["slide"]["file_mpp_x"] == 0.5
    wrong = wsi_ai("run", tmp_path / "a.tif", tmp_path / "tpyo.tif", *words)
    assert wrong.exit_code == 2
    assert "there is no such file or folder" in wrong.stderr
    assert wrong.stdout == ""


def test_a_slide_given_twice_under_one_name_waits_for_itself(
    model: Path, policy: Path, tmp_path: Path
) -> None:
    slides = [tmp_path / name / "s.tif" for name in ("a", "b")]
    for slide in slides:
        slide.parent.mkdir()
        write_slide(slide, side=512, seed=1)
    words = "--model", model, "--out", tmp_path / "out", "--policy", policy
    result = wsi_ai("run", *slides, *words)
    assert result.exit_code == 0
    assert "2 slides: 2 expedite" in result.stdout
    assert "done before, nothing to do" in result.stdout


def test_a_reader_of_its_progress_that_goes_away_changes_no_result(
    model: Path, policy: Path, tmp_path: Path
) -> None:
    slide = write_slide(tmp_path / "s.tif", side=512, seed=1)
    words = ["run", slide, "--model", model, "--out", tmp_path / "out", "--policy", policy]
    near, far = os.pipe()
    os.close(near)
    done = subprocess.run(
        [sys.executable, "-m", "wsi_ai", *words], stdout=far, stderr=far, timeout=60
    )
    os.close(far)
    assert done.returncode == 0
    (run,) = records(tmp_path / "out")
    assert run["complete"]
    assert [slide["level"] for slide in run["slides"]] == ["expedite"]
