"""From a slide's file to its results, by task, as a user runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import zarr
from numpy.typing import NDArray

from tests.conftest import ROOT
from tests.demo.conftest import FULL
from tests.models_for_tests import constant_network, write_model
from wsi_ai.app import RunOptions, run_slides
from wsi_ai.core.flags import Level
from wsi_ai.slides.readers.openslide import open_slide

STAINS, NUCLEI = ROOT / "models" / "demo-stains", ROOT / "models" / "demo-nuclei"


@pytest.fixture(scope="module")
def slide(sample: Callable[..., Path]) -> Path:
    """Ten rows of shards and a bit."""
    return sample(**asdict(FULL))


def dense(folder: Path) -> NDArray[np.uint8]:
    array = zarr.open_array(folder / "segmentation.ome.zarr" / "0", mode="r")
    return np.asarray(array[...], np.uint8)


def test_a_segmentation_by_windows_is_that_of_the_whole_slide_at_once(
    slide: Path, tmp_path: Path
) -> None:
    """The network is convolutional: run on all of the slide it is its own oracle."""
    (outcome,) = run_slides([slide], at_half(STAINS, tmp_path / "model"), tmp_path / "out")
    assert outcome.folder is not None
    found = dense(outcome.folder).astype(float)
    side = FULL.size_px
    assert found.shape == (3, side, side)
    with open_slide(slide) as opened:
        whole = opened.read(0, 0, 0, side, side)
    session = onnxruntime.InferenceSession(STAINS / "demo-stains.onnx")
    raw = np.asarray(session.run(None, {"tiles": whole[None]})[0])[0].astype(float)
    wanted = np.exp(raw) / np.exp(raw).sum(axis=0)
    margin = np.ones((5, 5), np.uint8)  # at the rim of what was seen, a window saw too little
    seen = cv2.erode((found[0] > 0).astype(np.uint8), margin, borderValue=0) > 0
    assert seen.mean() > 0.5
    apart = np.abs((found - 1) / 254 - wanted)[:, seen]
    assert apart.max() <= 0.5 / 254 + 2e-4


def at_half(model: Path, folder: Path) -> Path:
    """At the scale of the slide itself, so that nothing is resampled."""
    folder.mkdir()
    (folder / "demo-stains.onnx").write_bytes((model / "demo-stains.onnx").read_bytes())
    card = (model / "model.toml").read_text()
    (folder / "model.toml").write_text(card.replace("\nmpp = 1.0\n", "\nmpp = 0.5\n"))
    return folder


def test_a_segmentation_leaves_its_files_and_says_cells(slide: Path, tmp_path: Path) -> None:
    (outcome,) = run_slides([slide], STAINS, tmp_path)
    assert outcome.folder is not None
    files = {path.name for path in outcome.folder.iterdir()}
    common = {
        "findings.geojson",
        "flag.json",
        "heatmap.ome.zarr",
        "overlay.png",
        "planned.npz",
        "preview.jpg",
        "report.html",
        "run.json",
        "thumbnail.jpg",
    }
    assert files == {*common, "segmentation.ome.zarr"}
    assert not list(outcome.folder.parent.glob(".*"))
    record = json.loads((outcome.folder / "run.json").read_text())
    assert record["cells"]["planned"] > 0
    assert record["cells"]["left_out"] == 0
    assert "cell score 0.50 or more" in outcome.reason


def test_a_detection_leaves_its_files_and_is_judged_by_its_count(
    slide: Path, tmp_path: Path
) -> None:
    options = RunOptions(policy=ROOT / "configs" / "objects.toml")
    (outcome,) = run_slides([slide], NUCLEI, tmp_path, options)
    assert outcome.folder is not None
    files = {path.name for path in outcome.folder.iterdir()}
    assert files >= {"objects.csv", "objects.geojson", "counts.ome.zarr", "heatmap.ome.zarr"}
    features = json.loads((outcome.folder / "objects.geojson").read_text())["features"]
    sure = sum(f["properties"]["measurements"]["Score"] >= 0.5 for f in features)
    counts = zarr.open_array(outcome.folder / "counts.ome.zarr" / "0", mode="r")[...]
    assert np.nansum(np.asarray(counts)) == pytest.approx(sure, abs=2)
    assert outcome.level is (Level.EXPEDITE if sure >= 5000 else Level.STANDARD)
    assert outcome.reason.endswith("the rule asks for 5000")


def test_several_labels_a_tile_are_independent_and_one_of_them_decides(
    slide: Path, tmp_path: Path
) -> None:
    """Sigmoids need not add up to one; the operating point names the class that expedites."""
    network = constant_network([2.0, 1.0, -3.0], side=224)
    fields = {"side": 224, "activation": "sigmoid", "classes": '["tumour", "necrosis", "pen"]'}
    for label, level in (("tumour", Level.EXPEDITE), ("pen", Level.STANDARD)):
        model = write_model(tmp_path / label, network, **fields, label=label, name=label)
        (outcome,) = run_slides([slide], model, tmp_path / "out")
        assert outcome.level is level
        assert outcome.folder is not None
        group = zarr.open_group(outcome.folder / "heatmap.ome.zarr", mode="r")
        names = [channel["label"] for channel in group.attrs["ome"]["omero"]["channels"]]
        assert names == ["tumour", "necrosis", "pen"]
        array = zarr.open_array(outcome.folder / "heatmap.ome.zarr" / "0", mode="r")[...]
        scores = np.asarray(array)
        for layer, logit in zip(scores, (2.0, 1.0, -3.0), strict=True):
            np.testing.assert_allclose(layer[np.isfinite(layer)], 1 / (1 + np.exp(-logit)), 1e-5)


def test_a_segmentation_killed_for_real_goes_on(slide: Path, tmp_path: Path) -> None:
    """After more than a row of tiles was written; then it gives what an unbroken run gives."""
    words = [sys.executable, "-m", "wsi_ai", "run", str(slide), "--model"]
    model = at_half(STAINS, tmp_path / "model")
    torn, whole = tmp_path / "torn", tmp_path / "whole"
    process = subprocess.Popen([*words, str(model), "--out", str(torn)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        states = torn.glob("*/.*.kept/rows.json")
        if any(json.loads(state.read_text())["rows"] >= 1024 for state in states):
            break
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not list(torn.glob("*/demo-stains-1.0.0"))
    for out in (torn, whole):
        subprocess.run([*words, str(model), "--out", str(out)], check=True, capture_output=True)
    ((one,), (other,)) = (list(out.glob("*/demo-stains-1.0.0")) for out in (torn, whole))
    np.testing.assert_array_equal(dense(one), dense(other))
    flags = [json.loads((folder / "flag.json").read_text()) for folder in (one, other)]
    for flag in flags:
        del flag["timestamps"]
    assert flags[0] == flags[1]
    assert json.loads((one / "run.json").read_text())["cells"]["resumed"] > 0
    assert [path.name for path in one.parent.iterdir()] == ["demo-stains-1.0.0"]
