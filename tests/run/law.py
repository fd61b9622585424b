"""States of a slide's folder and outbox, and all that can go wrong or be mistyped: for test_law."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.stand_in_runs import POLICY, Failed, Vectors, open_trouble, write_slide
from wsi_ai.app import NoWatcher, RunOptions
from wsi_ai.core.cards import ModelCard, RuntimeRequest
from wsi_ai.core.contracts import Post, Runtime
from wsi_ai.core.flags import DOUBT, Level, Standing
from wsi_ai.core.values import Predictions, TileBatch
from wsi_ai.delivery.messages import Endpoint, Retraction
from wsi_ai.delivery.outbox import Outbox, open_database
from wsi_ai.errors import DeviceError, IdentityShared, ModelError, NoDevice, OutputError, Stopped
from wsi_ai.run.assembly import Assembly
from wsi_ai.run.flags_for import flags_for
from wsi_ai.run.no_ops import NoPost
from wsi_ai.run.outcome import Ended
from wsi_ai.run.twins import apart
from wsi_ai.run.vector_answer import vectors_for
from wsi_ai.slides.identity import Cases, FileClaim
from wsi_ai.testing import MEAN_CARD
from wsi_ai.triage.policy import Policy

SIDE = 320
"""More than one batch of tiles."""
ROW = {"trust": "RXX", "accession": "A1", "slide_id": "1"}
CASES = Cases(tuple(FileClaim(name, name, ROW) for name in ("s.tif", "t.tif")))
STRICT = replace(POLICY, triage=replace(POLICY.triage, threshold=0.999))
_WEIGHT = {Level.NOT_ASSESSED: 0, Level.STANDARD: 1, Level.EXPEDITE: 2}
ENDPOINT = Endpoint("region", "https://localhost/flags", None)


@dataclass(frozen=True, slots=True)
class OutboxPost:
    """An outbox that nobody empties: what is put counts as sent."""

    outbox: Outbox
    full: bool = False

    def put(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        if self.full:
            raise OutputError("the outbox refused")
        return self.outbox.put(flag, (ENDPOINT,))

    def put_early(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        return self.outbox.put_early(flag, (ENDPOINT,))

    def standing(self, flag_id: str) -> Standing | None:
        return self.outbox.standing(flag_id)


class Dies(Failed):
    """Killed with its second batch."""

    def before(self, turn: int, batch: TileBatch) -> None:
        if turn == 1:
            raise Stopped("the run was stopped")


class LosesDevice(Failed):
    def before(self, turn: int, batch: TileBatch) -> None:
        raise DeviceError("the device fell off the bus")


class Crashes(Failed):
    def before(self, turn: int, batch: TileBatch) -> None:
        raise RuntimeError("nobody thought of this")


class GivesNan(Failed):
    def predict(self, batches: Iterable[TileBatch]) -> Iterator[Predictions]:
        for made in super().predict(batches):
            yield replace(made, scores=np.full_like(made.scores, np.nan))


class VectorsCrash(Vectors):
    def before(self, turn: int, batch: TileBatch) -> None:
        raise RuntimeError("nobody thought of this")


class LosesVectors(Vectors):
    def before(self, turn: int, batch: TileBatch) -> None:
        raise DeviceError("the device fell off the bus")


def refuses(error: Exception, card: ModelCard, request: RuntimeRequest) -> Runtime:
    raise error


@dataclass(slots=True)
class World:
    """A site: a slide, its results, its outbox."""

    root: Path
    encoder: ModelCard
    policy: Policy = POLICY

    @property
    def slide(self) -> Path:
        return self.root / "in" / "s.tif"

    @property
    def out(self) -> Path:
        return self.root / "out"

    def outbox(self) -> Outbox:
        return Outbox(
            open_database(str(self.root / "outbox.db")), lambda: 1_800_000_000.0, Random(1)
        )

    def post(self, *, sends: bool, full: bool = False) -> Post:
        return OutboxPost(self.outbox(), full) if sends else NoPost()

    def flags(self, step: "Step") -> list[Ended]:
        """``wsi-ai run``, on stand-ins; raises what a command would end with."""
        assembly = Assembly(
            flags_for(step.policy or self.policy, step.cases, self.out, step.options),
            step.policy or self.policy,
            step.options,
            (replace(MEAN_CARD, weights=self.root / "none.onnx"),),
            partial(open_trouble, step.kind, self.root) if step.opens is None else step.opens,
        )
        return self._through(assembly, step)

    def embed(self, step: "Step") -> list[Ended]:
        opened = partial(open_trouble, step.vectors, self.root)
        assembly = Assembly(
            vectors_for(self.out),
            self.policy,
            step.options,
            (self.encoder,),
            opened if step.opens is None else step.opens,
        )
        return self._through(assembly, step)

    def _through(self, assembly: Assembly[Any], step: "Step") -> list[Ended]:
        post = self.post(sends=step.sends, full=step.full)
        work, refused = assembly.work(NoWatcher(), post)
        for _, error in refused:
            raise error
        named = [self.root / "in" / name for name in step.slides]
        found = apart(named, step.cases, assembly.open_slide)
        outcomes = list[Ended]()
        for path in found.alone:
            task = work.publish(work.infer(work.prepare(work.begin(path))))
            outcomes += task.outcomes
        for path in found.shared:
            outcomes.append(
                assembly.failed(assembly.cards[0], path, DOUBT, post, IdentityShared(DOUBT))
            )
        for path in found.unread:
            outcomes.append(assembly.failed(assembly.cards[0], path, "a twin", post))
        return outcomes


@dataclass(frozen=True, slots=True)
class Step:
    """One command."""

    kind: type[Failed] = Failed
    vectors: type[Vectors] = Vectors
    options: RunOptions = field(default_factory=lambda: RunOptions(device="cpu"))
    cases: Cases = CASES
    policy: Policy | None = None
    sends: bool = True
    full: bool = False
    slides: tuple[str, ...] = ("s.tif",)
    opens: Callable[[ModelCard, RuntimeRequest], Runtime] | None = None


Do = Callable[[World], None]


def _nothing(world: World) -> None:
    """A slide that nobody ran yet."""


def _run(world: World, step: Step) -> None:
    world.flags(step)


def _strict(world: World, step: Step) -> None:
    world.policy = STRICT
    world.flags(step)


def _retracted(world: World) -> None:
    world.flags(Step())
    (line, *_) = world.outbox().lines()
    world.outbox().retract(line.flag_id, Retraction.OPERATOR)


def _glass(world: World) -> None:
    write_slide(world.slide, SIDE, glass=True)
    world.flags(Step())


STATES: Mapping[str, Do] = {
    "nothing": _nothing,
    "expedite, not sent": lambda w: _run(w, Step(sends=False)),
    "expedite, sent": lambda w: _run(w, Step()),
    "standard, not sent": lambda w: _strict(w, Step(sends=False)),
    "standard, sent": lambda w: _strict(w, Step()),
    "stopped by a gate, sent": _glass,
    "failed, sent": lambda w: _run(w, Step(kind=LosesDevice)),
    "early expedite sent, then killed": lambda w: _run(w, Step(kind=Dies)),
    "killed without a flag": lambda w: _strict(w, Step(kind=Dies)),
    "expedite, not kept for sending": lambda w: _run(w, Step(full=True)),
    "expedite, taken back": _retracted,
}


def _gone(world: World) -> None:
    world.slide.unlink()


def _folder_in_place(world: World) -> None:
    world.slide.unlink()
    world.slide.mkdir()


def _other(world: World) -> None:
    write_slide(world.root / "in" / "t.tif", SIDE, seed=9)


def _other_wrong(world: World) -> None:
    (world.root / "in" / "t.tif").write_bytes(b"II*\0")


CPU = RunOptions(device="cpu")
_OTHER = FileClaim("s.tif", "s.tif", {**ROW, "accession": "A2"})
WRONG_TABLE = Cases((_OTHER,), None, {"accession": "A1"})


@dataclass(frozen=True, slots=True)
class Mistake:
    """What a person, a device or a share does wrong, and the command that meets it."""

    step: Step
    before: Do = _nothing
    alone: bool = True
    """The slide of the state is the only one that the command names."""
    doubt: bool = False
    """It casts doubt on whose slide it is: nobody relies on a ``standard`` then."""


MISTAKES: Mapping[str, Mistake] = {
    "the device fails in the middle": Mistake(Step(kind=LosesDevice, vectors=LosesVectors)),
    "an error that nobody thought of": Mistake(Step(kind=Crashes, vectors=VectorsCrash)),
    "the device does not open": Mistake(Step(opens=partial(refuses, NoDevice("no device here")))),
    "the model does not open": Mistake(Step(opens=partial(refuses, ModelError("no such model")))),
    "--reader of another format": Mistake(Step(options=replace(CPU, reader="dicom"))),
    "--reader that there is not": Mistake(Step(options=replace(CPU, reader="abacus"))),
    "--mpp 2": Mistake(Step(options=replace(CPU, mpp=2.0))),
    "--mpp 0.25": Mistake(Step(options=replace(CPU, mpp=0.25))),
    "--mpp 2 --force": Mistake(Step(options=replace(CPU, mpp=2.0, force=True))),
    "--force, and the device fails": Mistake(
        Step(kind=LosesDevice, vectors=LosesVectors, options=replace(CPU, force=True))
    ),
    "the share is gone": Mistake(Step(), _gone),
    "a second path of it is on a share that is gone": Mistake(
        Step(slides=("s.tif", "t.tif")), alone=False
    ),
    "a folder stands in its place": Mistake(Step(), _folder_in_place),
    "the table contradicts itself": Mistake(Step(cases=WRONG_TABLE)),
    "the outbox is full": Mistake(Step(full=True)),
    "another slide with its identity, later": Mistake(
        Step(slides=("t.tif",)), _other, alone=False, doubt=True
    ),
    "another slide with its identity, beside it": Mistake(
        Step(slides=("s.tif", "t.tif")), _other, alone=False, doubt=True
    ),
    "a broken slide with its identity": Mistake(
        Step(slides=("t.tif",)), _other_wrong, alone=False, doubt=True
    ),
}


def digests(out: Path) -> dict[str, str]:
    """Of all files of answers that stand, and of journals; not of runs' records."""
    found = {}
    for path in sorted(out.rglob("*")):
        kept = ".kept" in str(path)
        stands = any(_stands(folder) for folder in path.parents if folder != out)
        if path.is_file() and (kept or stands):
            found[str(path.relative_to(out))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _stands(folder: Path) -> bool:
    flagged = (folder / "flag.json").is_file() and _level(folder) is not None
    return flagged or (folder / "embeddings.zarr").is_dir()


def written_levels(out: Path) -> dict[Path, int]:
    """By folder: how urgent the answer is that stands there."""
    found = {path.parent: _level(path.parent) for path in out.rglob("flag.json")}
    return {folder: _WEIGHT[level] for folder, level in found.items() if level}


def _level(folder: Path) -> Level | None:
    """By the files alone, not by the code that is tested."""
    level = Level(json.loads((folder / "flag.json").read_text())["result"]["level"])
    failed = json.loads((folder / "run.json").read_text())["failed"]
    return None if failed and level is Level.NOT_ASSESSED else level


def sent_levels(world: World) -> dict[str, int]:
    """By flag: how urgent what holds at its receivers is; what was taken back is not there."""
    outbox = world.outbox()
    holds = {line.flag_id: outbox.standing(line.flag_id) for line in outbox.lines()}
    return {name: _WEIGHT[found.level] for name, found in holds.items() if found}


def has_scores(world: World) -> bool:
    """Of every tile, in a folder of results."""
    records = [json.loads(path.read_text()) for path in world.out.rglob("run.json")]
    return any("scores" in told for told in records)


def batches(world: World) -> list[str]:
    """That went through the network."""
    notes = world.root / "s.ran"
    return notes.read_text().splitlines() if notes.exists() else []


def copied(world: World, to: Path) -> World:
    shutil.copytree(world.root, to)
    return replace(world, root=to)
