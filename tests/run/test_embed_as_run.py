"""``embed`` has what ``run`` has: devices, their failures, one slide more made ready, a record."""

import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from tests.models_for_tests import mean_network, write_encoder
from tests.stand_in_runs import POLICY, Vectors, open_vectors, ran, write_slide
from wsi_ai.app import Embedded, NoWatcher, RunOptions, embed_slides
from wsi_ai.core.contracts import Slide, TileSource
from wsi_ai.core.values import TileBatch, TilePlan
from wsi_ai.errors import OutOfDeviceMemory
from wsi_ai.models.manifest import load_card
from wsi_ai.run.assembly import Assembly
from wsi_ai.run.fleet.fleet import Fleet
from wsi_ai.run.no_ops import NoPost
from wsi_ai.run.several_models import SlideTask
from wsi_ai.run.stages import through_stages
from wsi_ai.run.vector_answer import vectors_for
from wsi_ai.tiles.reading import HostTiles


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return write_encoder(tmp_path / "model", mean_network(side=32), side=32, mpp=0.5)


def assembly(out: Path, encoder: Path, kind: type[Vectors] = Vectors) -> Assembly[Embedded]:
    out.mkdir(parents=True, exist_ok=True)
    options, opened = RunOptions(device="cpu"), partial(open_vectors, kind, out)
    return Assembly(vectors_for(out), POLICY, options, (load_card(encoder),), opened)


def embed_here(made: Assembly[Embedded], slides: list[Path]) -> list[Embedded]:
    work, refused = made.work(NoWatcher(), NoPost())
    assert not refused
    stages = work.prepare, work.infer, work.publish
    tasks = (work.begin(slide) for slide in slides)
    line = through_stages(tasks, stages, work.stop, SlideTask.is_over, SlideTask.passes)
    return [outcome for task in line for outcome in task.outcomes]


def load(outcome: Embedded) -> dict[str, Any]:
    assert outcome.folder is not None
    content: dict[str, Any] = json.loads((outcome.folder / "run.json").read_text())
    return content


def features(outcome: Embedded) -> np.ndarray:
    assert outcome.folder is not None
    return np.asarray(zarr.open_group(outcome.folder / "embeddings.zarr")["features"][:])


class SmallVectors(Vectors):
    """A device whose memory holds four tiles, as it turns out with the second batch."""

    def before(self, turn: int, batch: TileBatch) -> None:
        if self.batch_size > 4 and turn == 1:
            raise OutOfDeviceMemory("inference: out of memory on the device")


class OwnTiles(HostTiles):
    description = "the device itself"
    taken = 0

    def __call__(self, slide: Slide, plan: TilePlan, start: int) -> Iterator[TileBatch]:
        OwnTiles.taken += 1
        return super().__call__(slide, plan, start)


class WithSource(Vectors):
    """A runtime that knows how tiles reach it fastest."""

    def source(self, threads: int) -> TileSource:
        return OwnTiles(self.batch_size, threads)


class Meeting(Vectors):
    """Waits with the slide ``a`` until the third slide was made ready."""

    third = threading.Event()

    def before(self, turn: int, batch: TileBatch) -> None:
        if batch.slide_id == "a" and turn == 0:
            assert self.third.wait(20)


def test_where_memory_runs_out_embedding_goes_on_with_half_a_batch_from_where_it_was(
    encoder: Path, tmp_path: Path
) -> None:
    slide = write_slide(tmp_path / "big.tif")
    (sound,) = embed_here(assembly(tmp_path / "sound", encoder), [slide])
    (small,) = embed_here(assembly(tmp_path / "small", encoder, SmallVectors), [slide])
    np.testing.assert_array_equal(features(small), features(sound))
    sizes = [n for _, _, n in ran(tmp_path / "small", "big")]
    assert sizes[:3] == [16, 8, 4]
    assert sum(sizes) == load(small)["tiles"]["planned"] == small.tiles


def test_embedding_reads_with_the_source_that_the_runtime_has(
    encoder: Path, tmp_path: Path
) -> None:
    slide = write_slide(tmp_path / "own.tif")
    before = OwnTiles.taken
    (outcome,) = embed_here(assembly(tmp_path / "out", encoder, WithSource), [slide])
    assert OwnTiles.taken == before + 1
    assert load(outcome)["asked"]["decoded_by"] == "the device itself"


def test_a_slide_that_is_named_twice_is_embedded_once_and_waits_for_itself(
    encoder: Path, tmp_path: Path
) -> None:
    slide = write_slide(tmp_path / "twice.tif")
    first, second = embed_here(assembly(tmp_path / "out", encoder), [slide, slide])
    assert (first.reason, second.reason) == ("", "")
    assert (first.fresh, second.fresh) == (True, False)
    assert first.tiles == second.tiles


def test_behind_a_slide_with_nothing_to_embed_one_slide_more_is_made_ready(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``b`` is of glass: a gate stops it, so that ``c`` is made ready while ``a`` infers."""
    slides = [write_slide(tmp_path / "a.tif"), write_slide(tmp_path / "b.tif", glass=True)]
    slides.append(write_slide(tmp_path / "c.tif", seed=1))
    made = assembly(tmp_path / "out", encoder, Meeting)
    work, _ = made.work(NoWatcher(), NoPost())
    Meeting.third.clear()

    def prepare(task: SlideTask[Embedded]) -> SlideTask[Embedded]:
        done = work.prepare(task)
        if task.path.stem == "c":
            Meeting.third.set()
        return done

    tasks = (work.begin(slide) for slide in slides)
    stages = prepare, work.infer, work.publish
    line = through_stages(tasks, stages, work.stop, SlideTask.is_over, SlideTask.passes)
    outcomes = [outcome for task in line for outcome in task.outcomes]
    assert [o.tiles is None for o in outcomes] == [False, True, False]
    assert outcomes[1].reason == "no tissue was found on the slide"


def test_several_devices_embed_every_slide_once(encoder: Path, tmp_path: Path) -> None:
    slides = [write_slide(tmp_path / f"{n}.tif", seed=i) for i, n in enumerate("abc")]
    made = assembly(tmp_path / "out", encoder)
    outcomes = list(Fleet(made, ("one", "two"), NoWatcher(), NoPost()).outcomes(slides))
    assert sorted(o.slide for o in outcomes) == slides
    assert {o.device for o in outcomes} <= {"one", "two"}
    assert all(o.tiles == load(o)["tiles"]["planned"] for o in outcomes)


def test_by_name_two_hosts_embed_what_one_embeds(encoder: Path, tmp_path: Path) -> None:
    slides = [write_slide(tmp_path / f"{n}.tif", seed=i) for i, n in enumerate("ab")]
    found = []
    for device in ("cpu", "cpu,cpu"):
        options = RunOptions(device=device)
        by_slide = {o.slide: o for o in embed_slides(slides, encoder, tmp_path / device, options)}
        found.append([features(by_slide[slide]).tobytes() for slide in slides])
    assert found[0] == found[1]


def test_an_embedding_run_leaves_its_record(encoder: Path, tmp_path: Path) -> None:
    slides = [write_slide(tmp_path / "a.tif"), tmp_path / "gone.tif"]
    done, gone = embed_slides(slides, encoder, tmp_path / "out", RunOptions(device="cpu"))
    (path,) = (tmp_path / "out" / "runs").glob("*.json")
    record = json.loads(path.read_text())
    assert record["complete"]
    assert [s["embedded"] for s in record["slides"]] == [done.tiles, None]
    assert [s["reason"] for s in record["slides"]] == ["", gone.reason]
    assert {s["model"] for s in record["slides"]} == {"mean-1.0.0"}
    assert record["slides"][0]["spans"]
