"""What only affects the judgement infers nothing; whatever a score could depend on infers again."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from tests.conftest import ROOT
from tests.models_for_tests import attention_head, write_slide_model
from tests.run.law import CASES, CPU, STRICT, Step, World
from tests.stand_in_runs import Failed, write_slide
from wsi_ai.app import NoWatcher, RunOptions, run_slides
from wsi_ai.core.cards import Activation, ModelCard, RuntimeRequest, TileSpec
from wsi_ai.core.flags import Level
from wsi_ai.results import record
from wsi_ai.results.sealed import with_seal
from wsi_ai.run.assembly import Assembly
from wsi_ai.run.flags_for import flags_for
from wsi_ai.run.outcome import Outcome
from wsi_ai.slides.identity import Cases, FileClaim
from wsi_ai.testing import MEAN_CARD

POINT = MEAN_CARD.point


@pytest.fixture
def world(tmp_path: Path) -> World:
    """With a slide that was run, and sent, as expedite."""
    made = World(tmp_path / "w", MEAN_CARD)
    (made.root / "in").mkdir(parents=True)
    write_slide(made.slide, 192)
    (outcome,) = made.flags(Step())
    assert inferred(made) > 0
    assert isinstance(outcome, Outcome)
    assert not outcome.judged_again
    return made


def inferred(world: World) -> int:
    """Tiles that went through the network since this was asked last."""
    notes = world.root / "s.ran"
    count = sum(int(line.split()[2]) for line in notes.read_text().splitlines())
    notes.write_text("")
    return count


class OtherRuntime(Failed):
    def __init__(self, card: ModelCard, request: RuntimeRequest, scratch: Path) -> None:
        super().__init__(card, request, scratch)
        self.description = "mean of red, a newer one"


def again(
    world: World,
    card: Mapping[str, Any] = {},
    runtime: type[Failed] = Failed,
    **step: Any,
) -> Outcome:
    """The same command, by a card that was changed."""
    asked = Step(**step)
    changed = replace(MEAN_CARD, weights=world.root / "none.onnx", manifest_sha256="1" * 64, **card)
    policy = asked.policy or world.policy
    assembly = Assembly(
        flags_for(policy, asked.cases, world.out, asked.options),
        policy,
        asked.options,
        (changed,),
        lambda card, request: runtime(card, request, world.root),
    )
    work, refused = assembly.work(NoWatcher(), world.post(sends=True))
    assert not refused
    task = work.publish(work.infer(work.prepare(work.begin(world.slide))))
    (outcome,) = task.outcomes
    return outcome


def folder(world: World) -> Path:
    (found,) = (path.parent for path in world.out.rglob("flag.json"))
    return found


def resealed(world: World, change: Callable[[dict[str, Any]], None]) -> None:
    """As another version of this site's software left it."""
    place = folder(world)
    told, flag = (json.loads((place / name).read_text()) for name in ("run.json", "flag.json"))
    del told["seal"]
    change(told)
    (place / "run.json").write_text(json.dumps(with_seal(told, flag)))


def older_software(told: dict[str, Any]) -> None:
    told["asked"]["software"] = "wsi_ai 0.0.9"
    told["question"] = record.digest(told["asked"])


def older_scoring(told: dict[str, Any]) -> None:
    older_software(told)
    told["scores"]["question"] = "0" * 64


OTHER = {"trust": "RYY", "accession": "B", "slide_id": "2"}
OTHER_CASES = Cases((FileClaim("s.tif", "s.tif", OTHER),))
JUDGEMENT: Mapping[str, Callable[[World], Outcome]] = {
    "another policy": partial(again, policy=STRICT),
    "other cases": partial(again, cases=OTHER_CASES),
    "another format": partial(again, options=replace(CPU, formats=("wsinfer",))),
    "another threshold on the card": partial(again, card={"point": replace(POINT, threshold=0.6)}),
    "another name of a class": partial(
        again, card={"classes": ("pink",), "point": replace(POINT, label="pink")}
    ),
    "what the card is for": partial(again, card={"intended_use": "something else"}),
}  # fmt: skip
INFERENCE: Mapping[str, Callable[[World], Outcome]] = {
    "other tiles": partial(again, card={"tile": TileSpec(32, 0.5, 32)}),
    "another activation": partial(again, card={"activation": Activation.SIGMOID}),
    "other weights": partial(again, card={"ref": replace(MEAN_CARD.ref, sha256="1" * 64)}),
    "another scale": partial(again, options=replace(CPU, mpp=0.45, override_mpp=True)),
    "another runtime": partial(again, runtime=OtherRuntime),
    "another reader": partial(again, options=replace(CPU, reader="openslide")),
    "--force": partial(again, options=replace(CPU, force=True)),
}


@pytest.mark.parametrize("what", JUDGEMENT)
def test_what_only_affects_the_judgement_infers_nothing(world: World, what: str) -> None:
    before = json.loads((folder(world) / "run.json").read_text())
    inferred(world)
    outcome = JUDGEMENT[what](world)
    assert outcome.fresh
    assert outcome.judged_again
    assert inferred(world) == 0
    after = json.loads((folder(world) / "run.json").read_text())
    assert after["scores"] == before["scores"]
    assert after["question"] != before["question"]


@pytest.mark.parametrize("what", INFERENCE)
def test_whatever_a_score_could_depend_on_infers_again(world: World, what: str) -> None:
    inferred(world)
    outcome = INFERENCE[what](world)
    assert outcome.fresh
    assert not outcome.judged_again
    assert inferred(world) > 0


@pytest.mark.parametrize(("change", "infers"), [(older_software, False), (older_scoring, True)])
def test_a_new_version_infers_again_only_where_its_scoring_code_is_another(
    world: World, change: Callable[[dict[str, Any]], None], *, infers: bool
) -> None:
    inferred(world)
    resealed(world, change)
    outcome = again(world)
    assert outcome.fresh
    assert outcome.judged_again is not infers
    assert (inferred(world) > 0) is infers


def test_every_field_of_a_card_is_said_to_matter_or_not() -> None:
    """A new one counts until somebody says that no score depends on it."""
    names = {field.name for field in dataclasses.fields(ModelCard)}
    assert names > record.JUDGEMENT_FIELDS
    told = record.network_record(MEAN_CARD)
    assert told.keys() == (names - record.JUDGEMENT_FIELDS) | {"classes"}


def _without_planned(place: Path) -> None:
    (place / "planned.npz").unlink()


def _cut_planned(place: Path) -> None:
    content = (place / "planned.npz").read_bytes()
    (place / "planned.npz").write_bytes(content[: len(content) // 2])


def _other_scores(place: Path) -> None:
    """As a hand, or a disk, would change them: the file is sound."""
    array = zarr.open_array(place / "heatmap.ome.zarr" / "0", mode="r+")
    array[:] = np.zeros(array.shape, np.float32)


def _without_scores(place: Path) -> None:
    shutil.rmtree(place / "heatmap.ome.zarr" / "0")


@pytest.mark.parametrize("damage", [_without_planned, _cut_planned, _other_scores, _without_scores])
def test_scores_that_are_not_as_they_were_left_are_never_judged(
    world: World, damage: Callable[[Path], None]
) -> None:
    inferred(world)
    damage(folder(world))
    outcome = again(world, policy=replace(world.policy, triage=STRICT.triage))
    assert not outcome.judged_again
    assert inferred(world) > 0
    assert outcome.level is Level.STANDARD


def test_scores_of_a_folder_that_this_site_did_not_seal_are_never_judged(world: World) -> None:
    inferred(world)
    path = folder(world) / "run.json"
    path.write_text(path.read_text().replace('"failed": false', '"failed":  true'))
    told = json.loads(path.read_text())
    told["seal"] = "0" * 64
    path.write_text(json.dumps(told))
    assert not again(world, policy=STRICT).judged_again
    assert inferred(world) > 0


def test_results_whose_flag_could_not_be_kept_are_judged_again_and_sent(tmp_path: Path) -> None:
    world = World(tmp_path / "w", MEAN_CARD)
    (world.root / "in").mkdir(parents=True)
    write_slide(world.slide, 192)
    world.flags(Step(full=True))
    inferred(world)
    outcome = again(world, cases=CASES)
    assert outcome.judged_again
    assert inferred(world) == 0
    assert [line.level for line in world.outbox().lines()] == ["expedite"]


OPEN = 'name = "{}"\n[rule]\n{}\n[quality]\nfocus_min = 0\npen_max = 1\ncast_max = 1\n'


@pytest.mark.parametrize("task", ["tumour", "stains", "nuclei", "slide"])
def test_judged_again_a_slide_leaves_what_it_would_have_left_if_inferred(
    task: str, tmp_path: Path
) -> None:
    slide = write_slide(tmp_path / "s.tif", 600)
    model = ROOT / "models" / f"demo-{task}"
    if task == "slide":
        head = attention_head().SerializeToString()
        model = write_slide_model(tmp_path / "model", head)
    lax, strict = tmp_path / "lax.toml", tmp_path / "strict.toml"
    lax.write_text(OPEN.format("lax", "tiles = 1\nthreshold = 0.001"))
    strict.write_text(OPEN.format("strict", "tiles = 3\nthreshold = 0.9"))

    def run(out: str, policy: Path) -> Outcome:
        options = RunOptions(policy=policy, formats=("parquet",))
        (made,) = run_slides([slide], model, tmp_path / out, options)
        return made

    run("again", lax)
    judged, anew = run("again", strict), run("anew", strict)
    assert judged.judged_again
    assert not anew.judged_again
    assert content(judged) == content(anew)
    assert ("objects.parquet" in content(judged)) is (task == "nuclei")


def content(outcome: Outcome) -> dict[str, Any]:
    """Of every file but the run's own record, and pictures byte by byte; without times."""
    assert outcome.folder is not None
    found = dict[str, Any]()
    for path in sorted(outcome.folder.rglob("*")):
        name = str(path.relative_to(outcome.folder))
        if path.is_file() and name not in ("run.json", "flag.json", "planned.npz"):
            found[name] = path.read_bytes()
    flag = json.loads((outcome.folder / "flag.json").read_text())
    told = json.loads((outcome.folder / "run.json").read_text())
    issued = flag.pop("timestamps")["issued"].encode()
    assert issued in found["report.html"]
    found["report.html"] = found["report.html"].replace(issued, b"")
    return found | {"flag": flag, "scores": told["scores"]["sha256"], "quality": told["quality"]}
