"""The main job through its Python interface, on a real slide and a tiny network."""

import hashlib
import json
import resource
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import tifffile
import zarr

from tests.models_for_tests import constant_network, red_network, write_model
from wsi_ai import schemas
from wsi_ai.app import Outcome, RunOptions, run_slides
from wsi_ai.core.flags import Level
from wsi_ai.errors import DeviceError, ModelError, OutputError, PolicyError
from wsi_ai.run.no_ops import NoPost
from wsi_ai.slides.readers.openslide import open_slide

DATA = {
    "findings.geojson",
    "flag.json",
    "heatmap.ome.zarr",
    "overlay.png",
    "planned.npz",
    "run.json",
    "thumbnail.jpg",
}
FILES = DATA | {"report.html", "preview.jpg"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Says how red a tile is; nearly all of CMU-1 counts as positive."""
    return write_model(tmp_path_factory.mktemp("models") / "red", red_network(), mpp=1.0)


def run_one(slide: Path, model: Path, out: Path, **options: Any) -> Outcome:
    (outcome,) = run_slides([slide], model, out, RunOptions(**options))
    return outcome


def load(outcome: Outcome, name: str) -> dict[str, Any]:
    assert outcome.folder is not None
    content: dict[str, Any] = json.loads((outcome.folder / name).read_text())
    return content


def without_times(flag: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in flag.items() if name != "timestamps"}


@pytest.fixture(scope="module")
def done(cmu: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run_one(cmu, model, tmp_path_factory.mktemp("out"))


def test_a_slide_leaves_a_folder_with_all_its_files(cmu: Path, done: Outcome) -> None:
    assert done.fresh
    assert done.folder is not None
    with open_slide(cmu) as slide:
        digest = slide.info.fingerprint
    assert done.folder.parent.name == f"cmu-1-small-region-{digest[:8]}"
    assert done.folder.name == "red-1.0.0"
    assert {path.name for path in done.folder.iterdir()} == FILES
    assert [path.name for path in done.folder.parent.iterdir()] == ["red-1.0.0"]


def test_the_heatmap_holds_the_models_answer_for_the_place(cmu: Path, done: Outcome) -> None:
    """A cell's score is the red mean of that very region, read through OpenSlide alone."""
    assert done.folder is not None
    scores = zarr.open_array(done.folder / "heatmap.ome.zarr" / "0", mode="r")[0]
    step = 64 * 1.0 / 0.499
    assert scores.shape == (np.ceil(2967 / step), np.ceil(2220 / step))
    with open_slide(cmu) as slide:
        for row, col in np.argwhere(np.isfinite(scores))[::7].tolist():
            x, y = round(col * step), round(row * step)
            region = slide.read(0, x, y, 128, 128)
            assert scores[row, col] == pytest.approx(region[..., 0].mean() / 255, abs=2e-3)


def test_flag_and_record_agree_and_the_flag_keeps_its_schema(done: Outcome) -> None:
    flag, record = load(done, "flag.json"), load(done, "run.json")
    jsonschema.validate(
        flag,
        schemas.validator("triage-flag-1.1").schema,
        format_checker=jsonschema.FormatChecker(),
    )
    assert flag["result"]["level"] == record["level"] == done.level == Level.EXPEDITE
    assert record["asked"]["decoded_by"] == "the processor"
    tiles = record["tiles"]
    assert tiles["planned"] == tiles["inferred"] == flag["evidence"]["n_tiles"] > 100
    assert tiles["left_out"] == tiles["resumed"] == 0
    spans = record["timing"]["spans"]
    looking = ["opening", "thumbnail", "tissue", "quality", "plan", "first tiles"]
    assert [span["stage"] for span in spans] == [*looking, "queue", "inference", "queue"]
    assert [span["start_s"] for span in spans[1:]] == [span["end_s"] for span in spans[:-1]]
    timing = record["timing"]
    assert timing["limit"] in ("reading", "inference")
    assert timing["pipeline_efficiency"] == timing[f"{timing['limit']}_busy_share"]
    assert 0 < timing["pipeline_efficiency"] <= 1
    assert record["device_changes"] == []
    assert record["decoded_by"] is None, "there was no choice"


def test_the_same_question_is_answered_once(cmu: Path, model: Path, done: Outcome) -> None:
    assert done.folder is not None
    before = (done.folder / "run.json").read_bytes()
    again = run_one(cmu, model, done.folder.parent.parent)
    assert (again.fresh, again.level, again.reason) == (False, done.level, done.reason)
    assert (done.folder / "run.json").read_bytes() == before


def test_forced_anew_the_answer_is_the_same_but_for_times(
    cmu: Path, model: Path, done: Outcome
) -> None:
    assert done.folder is not None
    before = load(done, "flag.json")
    again = run_one(cmu, model, done.folder.parent.parent, force=True)
    assert again.fresh
    assert without_times(load(again, "flag.json")) == without_times(before)


def test_another_policy_is_another_question(cmu: Path, model: Path, tmp_path: Path) -> None:
    policy = tmp_path / "never.toml"
    policy.write_text('name = "never"\n[rule]\nthreshold = 0.999\n')
    first = run_one(cmu, model, tmp_path / "out")
    second = run_one(cmu, model, tmp_path / "out", policy=policy)
    assert (first.level, second.level, second.fresh) == (Level.EXPEDITE, Level.STANDARD, True)
    assert load(second, "flag.json")["result"]["policy"] == "never"


def with_policy(model: Path, folder: Path, text: str) -> Path:
    """A copy of the model that brings a policy of its own."""
    shutil.copytree(model, folder)
    (folder / "own.toml").write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    with (folder / "model.toml").open("a") as card:
        card.write(f'\n[policy]\npath = "own.toml"\nsha256 = "{digest}"\n')
    return folder


def test_a_models_own_policy_holds_where_no_other_is_asked_for(
    cmu: Path, model: Path, tmp_path: Path
) -> None:
    own = with_policy(model, tmp_path / "red", 'name = "own"\n[rule]\nthreshold = 0.999\n')
    always = tmp_path / "always.toml"
    always.write_text('name = "always"\n[rule]\nthreshold = 0.001\n')
    first = run_one(cmu, own, tmp_path / "out")
    assert (first.level, load(first, "flag.json")["result"]["policy"]) == (Level.STANDARD, "own")
    second = run_one(cmu, own, tmp_path / "out", policy=always)
    assert (second.level, second.fresh) == (Level.EXPEDITE, True)
    assert load(second, "flag.json")["result"]["policy"] == "always"


def test_each_model_of_a_run_is_judged_by_its_own_policy(
    cmu: Path, model: Path, tmp_path: Path
) -> None:
    own = with_policy(model, tmp_path / "red", 'name = "own"\n[rule]\nthreshold = 0.999\n')
    card = own / "model.toml"
    card.write_text(card.read_text().replace('name = "red"', 'name = "strict"', 1))
    both = list(run_slides([cmu], [model, own], tmp_path / "out"))
    assert {o.model: o.level for o in both} == {
        "red-1.0.0": Level.EXPEDITE,
        "strict-1.0.0": Level.STANDARD,
    }


@pytest.mark.parametrize(
    "text", ["name = 5", "[rule]\nobjects = 3\n", 'name = "own"\n[rule]\nobjects = 3\n']
)
def test_a_models_own_policy_that_cannot_be_used_is_told_before_anything_runs(
    cmu: Path, model: Path, tmp_path: Path, text: str
) -> None:
    own = with_policy(model, tmp_path / "red", text)
    with pytest.raises(PolicyError):
        list(run_slides([cmu], own, tmp_path / "out"))


def test_a_slide_that_fails_is_told_and_the_next_one_runs(
    shared_data: Path, cmu: Path, model: Path, tmp_path: Path
) -> None:
    damaged = shared_data / "damaged"
    slides = [
        damaged / "broken.svs",
        damaged / "bad_empty.svs",
        damaged / "bad_no_mpp.svs",
        tmp_path / "missing" / "gone.svs",
        tmp_path,
        cmu,
    ]
    outcomes = list(run_slides(slides, model, tmp_path / "out"))
    assert [o.slide for o in outcomes] == slides
    assert [o.level for o in outcomes] == [Level.NOT_ASSESSED] * 5 + [Level.EXPEDITE]
    for outcome, told in zip(
        outcomes,
        ["not a slide", "empty", "no spacing in the file; give --mpp", "no such file", "a folder"],
        strict=False,
    ):
        flag = load(outcome, "flag.json")
        assert told in outcome.reason
        assert flag["result"]["explanation"] == outcome.reason
        assert flag["action"] == "not_assessed"
        assert load(outcome, "run.json")["level"] == "not_assessed"


def test_a_failed_slide_is_tried_again(cmu: Path, model: Path, tmp_path: Path) -> None:
    slide = tmp_path / "late.svs"
    assert run_one(slide, model, tmp_path / "out").level is Level.NOT_ASSESSED
    assert run_one(slide, model, tmp_path / "out").fresh
    shutil.copy(cmu, slide)
    assert run_one(slide, model, tmp_path / "out").level is Level.EXPEDITE


def test_given_micrometres_make_an_unmeasured_slide_run(
    shared_data: Path, model: Path, tmp_path: Path
) -> None:
    slide = shared_data / "slides" / "tcga-cr-7395-01a-01-ts1.svs"
    assert run_one(slide, model, tmp_path).reason == "no spacing in the file; give --mpp"
    assert run_one(slide, model, tmp_path, mpp=0.25).level is Level.EXPEDITE


def test_corrupt_tiles_cost_the_cells_that_they_touch_and_never_read_as_glass(
    shared_data: Path, model: Path, tmp_path: Path
) -> None:
    slide = shared_data / "damaged" / "bad_corrupt_tiles_12_37_60.svs"
    outcome = run_one(slide, model, tmp_path)
    tiles = load(outcome, "run.json")["tiles"]
    assert outcome.folder is not None
    scores = zarr.open_array(outcome.folder / "heatmap.ome.zarr" / "0", mode="r")[0]
    step, side = 64 / 0.499, 240
    touched = set()
    for tile in (12, 37, 60):
        x, y = tile % 10 * side, tile // 10 * side
        for row in range(int((y - 128) // step), int((y + side) // step) + 1):
            for col in range(int((x - 128) // step), int((x + side) // step) + 1):
                box_x, box_y = round(col * step), round(row * step)
                if x - 128 < box_x < x + side and y - 128 < box_y < y + side:
                    touched.add((row, col))
    assert tiles["left_out"] == len({c for c in touched if 0 <= c[0] < scores.shape[0]})
    assert all(np.isnan(scores[cell]) for cell in touched)


def test_a_slide_of_glass_is_not_assessed(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "glass.tif"
    glass = np.full((1024, 1024, 3), 244, np.uint8)
    tifffile.imwrite(
        path, glass, tile=(256, 256), photometric="rgb", compression="jpeg",
        resolution=(20_000, 20_000), resolutionunit="CENTIMETER",
    )  # fmt: skip
    outcome = run_one(path, model, tmp_path / "out")
    assert outcome.level is Level.NOT_ASSESSED
    assert outcome.reason == "no tissue was found on the slide"
    assert outcome.folder is not None
    assert {p.name for p in outcome.folder.iterdir()} == FILES - {"heatmap.ome.zarr", "planned.npz"}


def test_an_unusable_model_raises_before_any_slide_and_makes_no_folder(
    cmu: Path, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "bad", red_network(), mpp=-1)
    with pytest.raises(ModelError, match=r"bad/model\.toml: input\.mpp"):
        list(run_slides([cmu], model, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_device_that_is_not_here_raises_before_any_slide_and_makes_no_folder(
    cmu: Path, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(DeviceError, match="CUDA"):
        list(run_slides([cmu], model, tmp_path / "out", RunOptions(device="cuda:3")))
    assert not (tmp_path / "out").exists()


def test_a_wrong_policy_or_output_folder_is_told_before_anything_runs(
    cmu: Path, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(PolicyError):
        list(run_slides([cmu], model, tmp_path, RunOptions(policy=tmp_path / "none.toml")))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another --out"):
        list(run_slides([cmu], model, tmp_path / "file"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A disk that is full after ``size`` bytes of any one file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_nothing_half_written_and_the_reason(
    cmu: Path, model: Path, tmp_path: Path
) -> None:
    with largest_file(20_000):
        outcome = run_one(cmu, model, tmp_path)
    assert outcome.level is Level.NOT_ASSESSED
    assert "results cannot be written: File too large" in outcome.reason
    assert outcome.folder is not None
    assert {path.name for path in outcome.folder.iterdir()} == {
        "flag.json",
        "report.html",
        "run.json",
    }
    with largest_file(1000):
        assert run_one(cmu, model, tmp_path).folder is None
    assert run_one(cmu, model, tmp_path).level is Level.EXPEDITE


def test_scores_that_are_no_numbers_are_not_assessed(cmu: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "nan", constant_network([float("nan")]))
    outcome = run_one(cmu, model, tmp_path / "out")
    assert outcome.level is Level.NOT_ASSESSED
    assert "only 0.0 % of the tissue could be assessed" in outcome.reason


def test_a_clear_slide_is_flagged_before_it_is_through(
    cmu: Path, model: Path, tmp_path: Path
) -> None:
    timing = load(run_one(cmu, model, tmp_path), "run.json")["timing"]
    assert 0 < timing["to_flag_s"] < timing["to_finish_s"]


class FullPost(NoPost):
    """A post whose database is full."""

    def put(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        raise OutputError("the outbox cannot be written")

    put_early = put


class SecondChance(NoPost):
    """A post whose database refuses the early flag and takes the final one."""

    def __init__(self) -> None:
        self.refused = 0
        self.kept: list[Mapping[str, Any]] = []

    def put(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        self.kept.append(flag)
        return {**flag, "revision": 7}

    def put_early(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        self.refused += 1
        raise OutputError("the outbox refused: SQLITE_FULL")


def test_an_early_flag_that_cannot_be_kept_is_told_and_the_final_one_is_tried(
    cmu: Path, model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    post = SecondChance()
    (done,) = run_slides([cmu], model, tmp_path, post=post)
    assert done.level is Level.EXPEDITE
    assert (post.refused, len(post.kept)) == (1, 1)
    assert load(done, "flag.json")["revision"] == 7
    assert "an early flag was not sent: the outbox refused: SQLITE_FULL" in caplog.text


def test_results_are_kept_though_neither_flag_can_be_and_the_next_run_sends_it(
    cmu: Path, model: Path, tmp_path: Path
) -> None:
    """Told as not assessed, for nobody may rely on a flag that did not go out."""
    (unsent,) = run_slides([cmu], model, tmp_path, post=FullPost())
    assert unsent.level is Level.NOT_ASSESSED
    assert "their flag was not sent: the outbox cannot be written; run it again" in unsent.reason
    assert unsent.folder is not None
    assert {path.name for path in unsent.folder.iterdir()} == FILES
    post = SecondChance()
    (again,) = run_slides([cmu], model, tmp_path, post=post)
    assert again.level is Level.EXPEDITE
    assert len(post.kept) == 1
    record = load(again, "run.json")
    assert record["tiles"]["resumed"] == record["tiles"]["planned"]
    assert load(again, "flag.json")["revision"] == 7


def test_a_slide_that_fails_is_told_so_though_its_flag_cannot_be_kept(
    model: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.svs"
    broken.write_bytes(b"II*\0")
    (done,) = run_slides([broken], model, tmp_path / "out", post=FullPost())
    assert done.level is Level.NOT_ASSESSED
    assert "; and the results are there, but their flag was not sent" in done.reason
    assert done.model == "red-1.0.0"
    assert load(done, "flag.json")["result"]["level"] == "not_assessed"


def test_results_stand_though_their_flag_cannot_be_kept_for_sending(
    cmu: Path, model: Path, tmp_path: Path
) -> None:
    done = run_one(cmu, model, tmp_path)
    (again,) = run_slides([cmu], model, tmp_path, post=FullPost())
    assert again.level is Level.NOT_ASSESSED
    assert "could not be kept for sending" in again.reason
    assert load(done, "flag.json")["result"]["level"] == "expedite"
