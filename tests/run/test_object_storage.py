"""Slides from a store, and results into one: whole runs."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from obstore.store import S3Store
from ome_zarr_models.v05.image import Image as OmeImage
from zarr.storage import ObjectStore as ZarrStore

from tests.models_for_tests import red_network, write_model
from tests.slides.stores.conftest import environment
from wsi_ai import open_result
from wsi_ai.app import Outcome, RunOptions, run_slides
from wsi_ai.core.flags import Level
from wsi_ai.errors import OutputError, ResultError
from wsi_ai.results.bucket import objects
from wsi_ai.results.bucket.current import read_current
from wsi_ai.results.published import local_results
from wsi_ai.results.slide import Pages
from wsi_ai.slides.places import ReaderIo
from wsi_ai.slides.registry import open_slide
from wsi_ai.slides.stores.address import object_address
from wsi_ai.slides.stores.store import open_store
from wsi_ai.testing import ObjectStore, object_store

OUT = Path("s3://results/ward")
SLIDE = Path("s3://slides/in/cmu-1-small-region.svs")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    with object_store() as running:
        for name, value in environment(running.url, tmp_path / "staging").items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("WSI_AI_SCRATCH", str(tmp_path / "scratch"))
        yield running


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "red", red_network(), mpp=4.0)


@pytest.fixture(scope="module")
def cmu(cmu: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of it, so that a run takes half a second."""
    with open_slide(cmu) as slide:
        pixels = slide.read(0, 600, 1100, 640, 640)
    path = tmp_path_factory.mktemp("slide") / cmu.name
    tifffile.imwrite(
        path, pixels, tile=(128, 128), photometric="rgb", compression="deflate",
        resolution=(20_040, 20_040), resolutionunit="CENTIMETER",
    )  # fmt: skip
    return path


@pytest.fixture
def uploaded(cmu: Path, store: ObjectStore) -> Path:
    store.put("slides/in/cmu-1-small-region.svs", cmu.read_bytes())
    return SLIDE


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Another machine of the site: nothing is on its disk."""

    def move(name: str) -> None:
        monkeypatch.setenv("WSI_AI_SCRATCH", str(tmp_path / name))

    return move


def run_one(slide: Path, model: Path, out: Path, **options: Any) -> Outcome:
    (outcome,) = run_slides([slide], model, out, RunOptions(pages=Pages.NONE, **options))
    return outcome


def answer(outcome: Outcome) -> dict[str, Any]:
    assert outcome.folder is not None
    flag = json.loads((outcome.folder / "flag.json").read_text())
    return {name: part for name, part in flag.items() if name != "timestamps"}


def current_key(store: ObjectStore) -> str:
    (key,) = [key for key in store.objects if key.endswith("/current.json")]
    return key


@pytest.mark.parametrize("reader_io", ReaderIo)
def test_a_slide_from_a_store_gets_the_flag_that_its_file_gets(
    cmu: Path, uploaded: Path, model: Path, tmp_path: Path, reader_io: ReaderIo
) -> None:
    here = run_one(cmu, model, tmp_path / "here")
    there = run_one(uploaded, model, tmp_path / "there", reader_io=reader_io)
    assert answer(here) == answer(there)
    assert here.level is there.level is Level.EXPEDITE


def test_a_store_that_fails_in_the_middle_ends_the_slide_and_the_same_command_goes_on(
    uploaded: Path,
    model: Path,
    store: ObjectStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No tile counts as unreadable, and nothing is STANDARD."""
    monkeypatch.setenv("WSI_AI_STORE_SECONDS", "0.2")
    store.faults.refuse = [None] * 5 + [503] * 200
    failed = run_one(uploaded, model, tmp_path / "out", reader_io=ReaderIo.RANGES)
    assert failed.level is Level.NOT_ASSESSED
    assert "the store or the network failed" in failed.reason
    store.faults.refuse = []
    again = run_one(uploaded, model, tmp_path / "out", reader_io=ReaderIo.RANGES)
    assert again.level is Level.EXPEDITE


def test_an_object_that_was_replaced_during_the_run_is_no_answer(
    cmu: Path, uploaded: Path, model: Path, store: ObjectStore, tmp_path: Path
) -> None:
    """Its copy is still the old one: the flag would be of a slide that is not there any more."""

    class Replaces:
        def __init__(self) -> None:
            self.done = False

        def passed(self, done: int) -> None:
            if not self.done:
                store.put("slides/in/cmu-1-small-region.svs", cmu.read_bytes() + b" ")
            self.done = True

        def started(self, slide: Path) -> None: ...

        def planned(self, tiles: int, done: int) -> None: ...

        def beside(self) -> "Replaces":
            return self

    (outcome,) = run_slides([uploaded], model, tmp_path / "out", None, Replaces())
    assert outcome.level is Level.NOT_ASSESSED
    assert "changed while it was read" in outcome.reason


def test_results_in_a_bucket_are_those_of_a_folder(
    cmu: Path, model: Path, store: ObjectStore, tmp_path: Path
) -> None:
    here, there = run_one(cmu, model, tmp_path / "out"), run_one(cmu, model, OUT)
    assert answer(here) == answer(there)
    place = current_key(store).removesuffix("/current.json")
    assert place.startswith("results/ward/cmu-1-small-region-")
    result = open_result(f"s3://{place}")
    assert result.level is there.level
    np.testing.assert_array_equal(result.scores, open_result(here.folder or "").scores)
    current = read_current(store.objects[current_key(store)].content)
    assert here.folder is not None
    files = {p.relative_to(here.folder).as_posix() for p in here.folder.rglob("*") if p.is_file()}
    assert set(current.objects) == files
    assert "results/ward/summary.csv" in store.objects


def test_a_heatmap_opens_where_it_lies(cmu: Path, model: Path, store: ObjectStore) -> None:
    run_one(cmu, model, OUT)
    place = current_key(store).removesuffix("/current.json")
    run = read_current(store.objects[current_key(store)].content).run
    key = f"{place.removeprefix('results/')}/{run}/heatmap.ome.zarr"
    bucket = S3Store("results", prefix=key, client_options={"allow_http": True})
    group = zarr.open_group(ZarrStore(bucket, read_only=True), mode="r")
    assert OmeImage.from_zarr(group).ome_attributes.multiscales
    local = zarr.open_group(local_results(Path(f"s3://{place}")) / "heatmap.ome.zarr", mode="r")
    np.testing.assert_array_equal(group["0"][:], local["0"][:])


def test_what_was_done_is_done_on_every_machine(
    cmu: Path, model: Path, store: ObjectStore, elsewhere: Callable[[str], None]
) -> None:
    first = run_one(cmu, model, OUT)
    runs = {key for key in store.objects if "/heatmap" in key}
    elsewhere("other")
    again = run_one(cmu, model, OUT)
    assert first.fresh
    assert not again.fresh
    assert answer(first) == answer(again)
    assert {key for key in store.objects if "/heatmap" in key} == runs


def test_another_policy_is_judged_by_the_scores_of_another_machine(
    cmu: Path, model: Path, store: ObjectStore, elsewhere: Callable[[str], None], tmp_path: Path
) -> None:
    run_one(cmu, model, OUT)
    before = store.objects[current_key(store)]
    elsewhere("other")
    policy = tmp_path / "policy.toml"
    policy.write_text((Path("configs") / "area.toml").read_text().replace("0.5", "0.25"))
    again = run_one(cmu, model, OUT, policy=policy)
    assert again.fresh
    assert store.objects[current_key(store)] != before


def test_of_two_machines_that_judge_one_slide_one_counts(
    cmu: Path,
    model: Path,
    store: ObjectStore,
    elsewhere: Callable[[str], None],
) -> None:
    """The second one began before the first one was through."""

    class Meanwhile:
        def __init__(self) -> None:
            self.done = False

        def passed(self, done: int) -> None:
            if not self.done:
                self.done = True
                elsewhere("other")
                run_one(cmu, model, OUT)
                elsewhere("scratch")

        def started(self, slide: Path) -> None: ...

        def planned(self, tiles: int, done: int) -> None: ...

        def beside(self) -> "Meanwhile":
            return self

    (late,) = run_slides([cmu], model, OUT, None, Meanwhile())
    assert "another run published" in late.reason
    winner = read_current(store.objects[current_key(store)].content)
    place = current_key(store).removesuffix("/current.json")
    assert open_result(f"s3://{place}").level is Level.EXPEDITE
    again = run_one(cmu, model, OUT)
    assert not again.fresh
    assert read_current(store.objects[current_key(store)].content) == winner


def test_a_run_that_was_killed_before_the_end_counts_for_nothing(
    cmu: Path,
    model: Path,
    store: ObjectStore,
    elsewhere: Callable[[str], None],
    tmp_path: Path,
) -> None:
    run_one(cmu, model, OUT)
    key = current_key(store)
    del store.objects[key]
    with pytest.raises(ResultError):
        open_result(f"s3://{key.removesuffix('/current.json')}")
    elsewhere("other")
    assert run_one(cmu, model, OUT).fresh
    assert key in store.objects


def test_what_a_killed_run_had_finished_is_published_by_the_next(
    cmu: Path, model: Path, store: ObjectStore, tmp_path: Path
) -> None:
    """Killed between the folder on the disk and the bucket: nothing is inferred again."""
    run_one(cmu, model, OUT)
    del store.objects[current_key(store)]
    for note in (tmp_path / "scratch").rglob(".*.current.json"):
        note.unlink()
    again = run_one(cmu, model, OUT)
    assert not again.fresh
    assert current_key(store)


def test_a_failure_does_not_touch_an_answer_in_a_bucket(
    cmu: Path, model: Path, store: ObjectStore, elsewhere: Callable[[str], None], tmp_path: Path
) -> None:
    slide = tmp_path / cmu.name
    shutil.copy(cmu, slide)
    run_one(slide, model, OUT)
    before = store.objects[current_key(store)]
    elsewhere("other")
    slide.chmod(0o600)
    slide.unlink()
    failed = run_one(slide, model, OUT)
    assert failed.level is Level.NOT_ASSESSED
    assert "the earlier answer stands: EXPEDITE" in failed.reason
    assert store.objects[current_key(store)] == before


def test_an_object_that_was_changed_in_the_bucket_is_not_believed(
    cmu: Path, model: Path, store: ObjectStore, elsewhere: Callable[[str], None]
) -> None:
    run_one(cmu, model, OUT)
    (key,) = [key for key in store.objects if key.endswith("/flag.json")]
    old = store.objects[key]
    store.objects[key] = replace(old, content=old.content.replace(b"expedite", b"standard"))
    elsewhere("other")
    with pytest.raises((ResultError, OutputError)):
        open_result(f"s3://{current_key(store).removesuffix('/current.json')}")
    again = run_one(cmu, model, OUT)
    assert again.fresh
    assert again.level is Level.EXPEDITE


def test_a_bucket_that_ignores_conditions_is_refused_before_anything_runs(
    cmu: Path, model: Path, store: ObjectStore
) -> None:
    store.faults.ignore_conditions = True
    with pytest.raises(OutputError, match="overwrites objects although"):
        run_one(cmu, model, OUT)
    assert store.objects == {}


def test_a_bucket_that_knows_no_conditions_is_refused_too(
    cmu: Path, model: Path, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As older ones: 501 where a condition is asked for."""
    monkeypatch.setenv("WSI_AI_STORE_SECONDS", "0.2")
    store.faults.refuse = [None] + [501] * 60
    with pytest.raises(OutputError):
        run_one(cmu, model, OUT)


def test_a_bucket_that_cannot_be_asked_ends_the_slide_and_not_the_answer(
    cmu: Path, model: Path, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused at any request: an error of the run, or of the slide; and then all is well."""
    monkeypatch.setenv("WSI_AI_STORE_SECONDS", "0.2")
    for asked in (0, 4, 8):
        store.faults.refuse = [None] * asked + [403] * 500
        try:
            outcome = run_one(cmu, model, OUT)
        except OutputError:
            continue
        finally:
            store.faults.refuse = []
        assert outcome.level is Level.NOT_ASSESSED
    assert run_one(cmu, model, OUT).level is Level.EXPEDITE
    assert current_key(store)


def test_runs_that_do_not_count_go_after_a_day(cmu: Path, model: Path, store: ObjectStore) -> None:
    run_one(cmu, model, OUT)
    one = str(read_current(store.objects[current_key(store)].content).run)
    first = {key for key in store.objects if one in key}
    run_one(cmu, model, OUT, force=True)
    assert first <= set(store.objects)
    long_ago = time.time() - 2 * 86_400
    for key in first:
        store.objects[key] = replace(store.objects[key], changed_s=long_ago)
    run_one(cmu, model, OUT, force=True)
    assert not first & set(store.objects)
    place = current_key(store).removesuffix("/current.json")
    assert open_result(f"s3://{place}").level is Level.EXPEDITE


@pytest.mark.parametrize(
    "name", ["../flag.json", "/etc/passwd", "a/../../b", "a//b", "", "a\\b", "x" * 2000]
)
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    said = {
        "format": 1,
        "run": "6f1c1c1e-0000-4000-8000-000000000000",
        "objects": {name: {"bytes": 1, "sha256": "0" * 64}},
    }
    with pytest.raises(ResultError):
        read_current(json.dumps(said).encode())


def test_embeddings_do_not_go_to_an_address(cmu: Path, model: Path, store: ObjectStore) -> None:
    from wsi_ai.results.folder import check_folder

    with pytest.raises(OutputError, match="a folder on a disk"):
        check_folder(OUT)


def test_a_check_of_a_bucket_leaves_nothing(store: ObjectStore) -> None:
    objects.check_bucket(open_store(object_address("s3://results")), "ward")
    assert store.objects == {}
