"""Embeddings: every tile's vector where it belongs, in both formats, and after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from tests.models_for_tests import mean_network, red_network, write_encoder, write_model
from wsi_ai.app import Embedded, RunOptions, run_slides
from wsi_ai.core.cards import Precision, Task
from wsi_ai.core.geometry import Size
from wsi_ai.core.values import Predictions, TilePlan, VectorChunk
from wsi_ai.errors import ModelError
from wsi_ai.heatmaps import Keep, VectorCanvas, write_hdf5
from wsi_ai.models.manifest import load_card
from wsi_ai.results.embedding_picture import colours, principal
from wsi_ai.run.assembly import Assembly
from wsi_ai.run.embed_slides import embed_slides
from wsi_ai.run.no_ops import NoPost, NoWatcher
from wsi_ai.run.vector_answer import vectors_for
from wsi_ai.slides.readers.openslide import open_slide
from wsi_ai.testing import PaintedSlide
from wsi_ai.triage.policy import Policy


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("models") / "mean", mean_network())


def embed(slide: Path, model: Path, out: Path, *, hdf5: bool = False, **options: Any) -> Embedded:
    (outcome,) = embed_slides([slide], model, out, RunOptions(**options), hdf5=hdf5)
    return outcome


@pytest.fixture(scope="module")
def done(cmu: Path, encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Embedded:
    return embed(cmu, encoder, tmp_path_factory.mktemp("out"), hdf5=True)


def opened(outcome: Embedded) -> Any:
    assert outcome.folder is not None
    return zarr.open_group(outcome.folder / "embeddings.zarr", mode="r")


def test_each_vector_is_what_the_encoder_makes_of_that_place(cmu: Path, done: Embedded) -> None:
    """Read through OpenSlide alone, from the coordinates and the size that the file tells."""
    group = opened(done)
    features, coords = group["features"][:], group["coords"][:]
    side = round(group.attrs["tiles"]["level0_px"][0])
    assert side == round(64 / 0.499)
    assert features.shape == (done.tiles, 3)
    assert features.dtype == np.float32
    assert len({tuple(xy) for xy in coords.tolist()}) == done.tiles > 100
    with open_slide(cmu) as slide:
        for (x, y), vector in list(zip(coords.tolist(), features, strict=True))[::17]:
            region = slide.read(0, x, y, side, side)
            np.testing.assert_allclose(vector, region.mean(axis=(0, 1)) / 255, atol=2e-3)


def test_the_files_say_what_the_vectors_are_of_and_that_there_is_no_flag(done: Embedded) -> None:
    assert done.folder is not None
    names = {path.name for path in done.folder.iterdir()}
    assert names == {"embeddings.zarr", "embeddings.h5", "embedding.png", "run.json"}
    record = json.loads((done.folder / "run.json").read_text())
    assert record["flag"].startswith("none")
    assert record["tiles"] == {
        "planned": done.tiles,
        "embedded": done.tiles,
        "left_out": 0,
        "resumed": 0,
    }
    told = opened(done).attrs
    assert told["slide"]["sha256"] == record["slide"]["sha256"]
    assert told["model"]["weights_sha256"] == record["model"]["weights_sha256"]


def test_hdf5_holds_the_same_as_clam_reads_it(done: Embedded) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    assert done.folder is not None
    with h5py.File(done.folder / "embeddings.h5") as file:
        features, coords = file["features"], file["coords"]
        assert np.array_equal(features[:], opened(done)["features"][:])
        assert np.array_equal(coords[:], opened(done)["coords"][:])
        told = dict(coords.attrs)
    assert (told["patch_size"], told["patch_level"], told["patch_size_level0"]) == (128, 0, 128)
    assert (told["level0_width"], told["level0_height"]) == (2220, 2967)


def test_half_precision_is_stored_where_the_card_says_so(cmu: Path, tmp_path: Path) -> None:
    said = 'storage = "fp16"'
    model = write_encoder(tmp_path / "m", mean_network(), output=said)
    assert load_card(model).output.storage is Precision.FP16
    features = opened(embed(cmu, model, tmp_path / "out"))["features"]
    assert features.dtype == np.float16
    assert 0.5 < float(features[:].mean()) < 1


def test_numbers_beyond_half_precision_are_refused_not_stored_as_infinity(
    cmu: Path, tmp_path: Path
) -> None:
    said = 'storage = "fp16"'
    model = write_encoder(tmp_path / "m", mean_network(times=1e3), output=said)
    outcome = embed(cmu, model, tmp_path / "out")
    assert outcome.tiles is None
    assert "beyond fp16" in outcome.reason
    assert outcome.folder is not None
    assert [path.name for path in outcome.folder.iterdir()] == ["run.json"]


def test_a_slide_that_fails_is_told_and_the_next_one_is_embedded(
    shared_data: Path, cmu: Path, encoder: Path, tmp_path: Path
) -> None:
    slides = [shared_data / "damaged" / "bad_no_mpp.svs", tmp_path / "gone.svs", cmu]
    outcomes = list(embed_slides(slides, encoder, tmp_path / "out"))
    assert [o.tiles is None for o in outcomes] == [True, True, False]
    assert outcomes[0].reason == "no spacing in the file; give --mpp"
    assert "no such file" in outcomes[1].reason


def test_unreadable_tiles_are_left_out_and_counted(
    shared_data: Path, encoder: Path, tmp_path: Path
) -> None:
    slide = shared_data / "damaged" / "bad_corrupt_tiles_12_37_60.svs"
    outcome = embed(slide, encoder, tmp_path)
    assert outcome.folder is not None
    tiles = json.loads((outcome.folder / "run.json").read_text())["tiles"]
    assert tiles["left_out"] > 0
    assert opened(outcome)["features"].shape[0] == tiles["embedded"] == outcome.tiles


def test_the_same_question_is_answered_once(cmu: Path, encoder: Path, done: Embedded) -> None:
    assert done.folder is not None
    again = embed(cmu, encoder, done.folder.parent.parent, hdf5=True)
    assert (again.fresh, again.tiles) == (False, done.tiles)
    assert embed(cmu, encoder, done.folder.parent.parent, hdf5=True, force=True).fresh


def test_a_killed_run_goes_on_to_the_same_vectors(cmu: Path, tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "model", mean_network(side=32), side=32, mpp=0.5)
    done = embed(cmu, encoder, tmp_path / "whole")
    torn = tmp_path / "torn"
    words = ["embed", str(cmu), "--model", str(encoder), "--out", str(torn)]
    process = subprocess.Popen([sys.executable, "-m", "wsi_ai", *words], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if any(p.stat().st_size > 9000 for p in torn.glob("*/.*.kept/*")):
            break
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not list(torn.glob("*/mean-1.0.0"))
    outcome = embed(cmu, encoder, torn)
    assert outcome.folder is not None
    record = json.loads((outcome.folder / "run.json").read_text())
    assert 0 < record["tiles"]["resumed"] < record["tiles"]["planned"]
    assert np.array_equal(opened(outcome)["features"][:], opened(done)["features"][:])
    assert np.array_equal(opened(outcome)["coords"][:], opened(done)["coords"][:])
    assert [path.name for path in torn.glob("*/.*")] == []


def peak(folder: Path, rows: int) -> int:
    """Bytes held at most while so many rows of 256 tiles are collected and written."""
    card = load_card(write_encoder(folder / "m", mean_network(), features=256))
    cells, slide = np.argwhere(np.ones((rows, 256))).astype(np.int32), PaintedSlide()
    step = card.tile.scale(slide.info.known_spacing())
    plan = TilePlan(slide.info, card.tile, 0, Size(128, 128), cells, (rows, 256), step)
    canvas = VectorCanvas(plan, card, Keep(folder / "kept", "0" * 64, 256))
    (folder / "out").mkdir()
    tracemalloc.start()
    for start in range(0, len(plan), 256):
        vectors = np.random.default_rng(start).random((256, 256), np.float32)
        canvas.put(Predictions("s", np.arange(start, start + 256), vectors))
    canvas.write(folder / "out")
    write_hdf5(folder / "out" / "e.h5", plan, card, canvas.vectors().chunks())
    colours(plan, lambda: canvas.vectors().chunks())
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    canvas.close()
    features = zarr.open_group(folder / "out" / "embeddings.zarr", mode="r")["features"]
    expected = np.random.default_rng(len(plan) - 256).random((256, 256), np.float32)
    assert np.array_equal(features[-256:], expected)
    return most


def test_a_hundred_thousand_vectors_are_written_without_being_held(tmp_path: Path) -> None:
    """Beyond a few hundred bytes a tile for the maps of the slide, memory stays as it is."""
    few, many = peak(tmp_path / "few", 40), peak(tmp_path / "many", 400)  # 102,400 tiles
    vectors = 360 * 256 * 256 * 4
    assert many - few < vectors / 8


def test_tiles_that_several_encoders_want_are_decoded_once(
    cmu: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And each writes what it would have written alone."""
    mean = write_encoder(tmp_path / "mean", mean_network())
    double = write_encoder(tmp_path / "double", mean_network(times=2 / 255), name="double")
    with pytest.raises(ModelError, match=r"two of the models are called .*; give each once"):
        list(embed_slides([cmu], [mean, mean], tmp_path / "out"))
    first, second = embed_slides([cmu], [mean, double], tmp_path / "both")
    alone = embed(cmu, mean, tmp_path / "alone")
    assert (first.model, second.model) == ("mean-1.0.0", "double-1.0.0")
    assert np.array_equal(opened(first)["features"][:], opened(alone)["features"][:])
    assert np.allclose(opened(second)["features"][:], 2 * opened(alone)["features"][:])
    both = pixels_read(monkeypatch, cmu, [mean, double], tmp_path / "c")
    assert both == pixels_read(monkeypatch, cmu, [mean], tmp_path / "d")


def pixels_read(monkeypatch: pytest.MonkeyPatch, path: Path, models: list[Path], out: Path) -> int:
    """By all three steps."""
    slide = CountingSlide(open_slide(path))
    monkeypatch.setattr("wsi_ai.run.opening.open_slide", lambda *_: slide)
    cards = [load_card(model) for model in models]
    work, _ = Assembly(vectors_for(out), Policy(), RunOptions(), cards).work(NoWatcher(), NoPost())
    task = work.publish(work.infer(work.prepare(work.begin(path))))
    assert [outcome.reason for outcome in task.outcomes] == [""] * len(models)
    assert slide.pixels > 1_000_000
    return slide.pixels


class CountingSlide:
    """Counts the pixels that are read region by region."""

    def __init__(self, slide: Any) -> None:
        self._slide, self.info, self.pixels = slide, slide.info, 0

    def read(self, level: int, x: int, y: int, width: int, height: int) -> Any:
        self.pixels += width * height
        return self._slide.read(level, x, y, width, height)

    def __enter__(self) -> "CountingSlide":
        return self

    def __exit__(self, *_: object) -> None:
        self._slide.__exit__(None, None, None)


def test_run_and_embed_each_refuse_the_others_models(
    cmu: Path, encoder: Path, tmp_path: Path
) -> None:
    red = write_model(tmp_path / "red", red_network())
    with pytest.raises(ModelError, match="gives no embeddings; use: wsi-ai run"):
        embed(cmu, red, tmp_path / "out")
    with pytest.raises(ModelError, match="gives embeddings and no flag; use: wsi-ai embed"):
        list(run_slides([cmu], encoder, tmp_path / "out"))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"features": 0}, "output.features: 0 is less than the minimum"),
        ({"output": 'storage = "bf16"'}, "output.storage: 'bf16' is not one of"),
        ({"output": 'activation = "none"'}, "output.activation: an embedding has none"),
        ({"task": "slide-classification"}, "is a required property"),
        ({"task": "tile-classification"}, "is a required property"),
    ],
)
def test_a_card_that_contradicts_itself_is_refused(
    fields: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError) as refused:
        load_card(write_encoder(tmp_path / "m", mean_network(), **fields))
    assert told in str(refused.value)


def test_an_encoder_that_gives_other_than_its_card_says_is_refused(
    cmu: Path, tmp_path: Path
) -> None:
    model = write_encoder(tmp_path / "m", mean_network(), features=4)
    assert load_card(model).task is Task.EMBEDDING
    with pytest.raises(ModelError, match=r"gives \(1, 3\) for 1 tiles"):
        embed(cmu, model, tmp_path / "out")


def test_the_principal_directions_are_those_of_all_vectors_at_once() -> None:
    rng = np.random.default_rng(5)
    rows = (rng.normal(size=(3000, 6)) @ rng.normal(size=(6, 6))).astype(np.float32)
    parts = [
        VectorChunk(np.arange(len(part)), np.zeros((len(part), 2), np.int64), part)
        for part in np.array_split(rows, 7)
    ]
    found = principal(parts)
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    _, spread, axes = np.linalg.svd(centred, full_matrices=False)
    assert np.abs(np.sum(found.axes * axes[:3].T, axis=0)) == pytest.approx(1, abs=1e-6)
    assert found.share == pytest.approx((spread[:3] ** 2).sum() / (spread**2).sum())
