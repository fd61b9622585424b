"""The law of docs/runs.md: no mistake lowers a level that was sent, or removes a result.

Every state of a slide's folder and outbox, met by everything that can go wrong or be mistyped, by
``run``, ``run --send`` and ``embed``; without ``WSI_AI_EXHAUSTIVE`` the states of most weight.
``python -m tests.run.law_mutants`` breaks the code.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from tests.models_for_tests import mean_network, write_encoder
from tests.run.law import (
    CASES,
    CPU,
    MISTAKES,
    SIDE,
    STATES,
    STRICT,
    GivesNan,
    Step,
    World,
    batches,
    copied,
    digests,
    has_scores,
    sent_levels,
    written_levels,
)
from tests.stand_in_runs import write_slide
from wsi_ai.core.flags import Level
from wsi_ai.errors import WsiAiError
from wsi_ai.models.manifest import load_card
from wsi_ai.results.sealed import with_seal
from wsi_ai.run.outcome import Outcome
from wsi_ai.slides.identity import load_cases
from wsi_ai.triage.policy import Policy

EXHAUSTIVE = "WSI_AI_EXHAUSTIVE" in os.environ
MET = (
    ("expedite, sent", "run --send"),
    ("expedite, sent", "embed"),
    ("standard, sent", "run"),
    ("early expedite sent, then killed", "run --send"),
)
"""Of all states and commands, those of most weight."""
COMMANDS = ("run", "run --send", "embed")
visited = set[tuple[str, str, str]]()


@pytest.fixture(scope="module", autouse=True)
def no_disk_to_wait_for() -> Iterator[None]:
    """What is tested here is no power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: None)
        yield


class Worlds(dict[str, World]):
    """One of each state, made when it is first asked for; with embeddings where there are
    results."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        encoder = write_encoder(folder / "encoder", mean_network(side=64), side=64, mpp=0.5)
        self._card = load_card(encoder)

    def __missing__(self, name: str) -> World:
        world = self[name] = World(self._folder / str(len(self)), self._card)
        (world.root / "in").mkdir(parents=True)
        world.out.mkdir()
        write_slide(world.slide, SIDE)
        STATES[name](world)
        if name != "nothing":
            world.embed(Step())
        return world


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, World]:
    return Worlds(tmp_path_factory.mktemp("law"))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_no_mistake_lowers_a_sent_level_or_removes_a_result(
    worlds: dict[str, World], mistake: str, tmp_path: Path
) -> None:
    met = product(STATES, COMMANDS) if EXHAUSTIVE else MET
    for number, (state, command) in enumerate(met):
        world = copied(worlds[state], tmp_path / str(number))
        made = MISTAKES[mistake]
        made.before(world)
        before, sent = digests(world.out), sent_levels(world)
        levels = written_levels(world.out)
        folders = [path.parent for path in world.out.rglob("flag.json")]
        step = replace(made.step, sends=command == "run --send")
        try:
            outcomes = world.embed(step) if command == "embed" else world.flags(step)
        except WsiAiError:
            outcomes = []
            assert digests(world.out) == before
            assert sent_levels(world) == sent
        where = f"{mistake} / {state} / {command}"
        anew = {o.folder for o in outcomes if o.fresh and o.folder and o.reason == ""}
        anew |= {o.folder for o in outcomes if o.fresh and isinstance(o, Outcome) and o.folder}
        after, levels_after = digests(world.out), written_levels(world.out)
        for name in before:
            folder = world.out / Path(*Path(name).parts[:2])
            assert after.get(name) == before[name] or ".kept" in name or folder in anew, where
        assert all(levels_after.get(f, -1) >= level for f, level in levels.items()), where
        asks = command == "run --send" and not made.step.full and made.step.cases is CASES
        known = levels or (asks and any(sent.values()))
        if made.alone and known:
            assert set(world.out.rglob("flag.json")) == {f / "flag.json" for f in folders}, where
        now = sent_levels(world)
        for flag in sent:
            lowered = now.get(flag, 0) < sent[flag]
            assert not lowered or (not made.alone and sent[flag] == 1), where
        visited.add((state, mistake, command))
    print(len(visited), "states visited")


@pytest.mark.parametrize("state", STATES)
def test_what_would_take_back_a_sent_level_is_listed_and_sent_only_with_amend(
    worlds: dict[str, World], state: str, tmp_path: Path
) -> None:
    """Another policy is a question asked on purpose: its results stand in the folder.  Nothing is
    inferred where scores stand."""
    world = copied(worlds[state], tmp_path / "w")
    sent, scored, ran = sent_levels(world), has_scores(world), batches(world)
    (outcome,) = world.flags(Step(policy=STRICT))
    assert isinstance(outcome, Outcome)
    assert outcome.judged_again is (scored and outcome.fresh)
    assert (batches(world) == ran) is (scored or state == "stopped by a gate, sent")
    now = sent_levels(world)
    assert all(now[flag] >= sent[flag] for flag in sent)
    lowers = any(level == 2 for level in sent.values())
    assert bool(outcome.held_back) == lowers
    if lowers:
        assert "--amend sends it" in outcome.held_back
        (again,) = world.flags(Step(policy=STRICT))
        assert isinstance(again, Outcome)
        assert (again.held_back, again.fresh) == (outcome.held_back, False)
        world.flags(Step(policy=STRICT, options=replace(CPU, amend=True)))
        assert set(sent_levels(world).values()) == {1}


def test_a_standard_that_was_sent_is_not_taken_back_by_an_answer_that_says_nothing(
    worlds: dict[str, World], tmp_path: Path
) -> None:
    world = copied(worlds["standard, sent"], tmp_path / "w")
    (outcome,) = world.flags(Step(kind=GivesNan, options=replace(CPU, force=True)))
    assert isinstance(outcome, Outcome)
    assert outcome.level is Level.NOT_ASSESSED
    assert "STANDARD was sent, and NOT ASSESSED would take it back" in outcome.held_back
    assert set(sent_levels(world).values()) == {1}


def test_finishing_an_early_flag_is_no_change(worlds: dict[str, World], tmp_path: Path) -> None:
    world = copied(worlds["early expedite sent, then killed"], tmp_path / "w")
    assert not written_levels(world.out)
    assert set(sent_levels(world).values()) == {2}
    (outcome,) = world.flags(Step())
    assert isinstance(outcome, Outcome)
    assert (outcome.level, outcome.held_back) == (Level.EXPEDITE, "")
    assert set(sent_levels(world).values()) == {2}


def test_a_failed_slide_is_tried_again_and_its_answer_sent(
    worlds: dict[str, World], tmp_path: Path
) -> None:
    world = copied(worlds["failed, sent"], tmp_path / "w")
    assert set(sent_levels(world).values()) == {0}
    world.flags(Step())
    assert set(sent_levels(world).values()) == {2}


def explanations(world: World) -> list[str]:
    outbox = world.outbox()
    found = {line.flag_id: outbox.standing(line.flag_id) for line in outbox.lines()}
    return [s.flag["result"]["explanation"] for s in found.values() if s and s.flag]


@pytest.mark.parametrize(("state", "level"), [("expedite, sent", 2), ("standard, sent", 0)])
def test_a_newcomer_under_a_known_identity_is_not_judged_and_casts_doubt(
    worlds: dict[str, World], state: str, level: int, tmp_path: Path
) -> None:
    """A standing expedite stays, and says so; nobody relies on a standing standard."""
    world = copied(worlds[state], tmp_path / "w")
    MISTAKES["another slide with its identity, later"].before(world)
    step = Step(slides=("t.tif",))
    (outcome,) = world.flags(step)
    assert isinstance(outcome, Outcome)
    assert outcome.level is Level.NOT_ASSESSED
    assert "another slide came under the same accession" in outcome.reason
    assert set(sent_levels(world).values()) == {level}
    assert "identity in doubt" in explanations(world)[0]
    (again,) = world.flags(Step())  # the first one anew: the doubt stays
    assert isinstance(again, Outcome)
    assert "identity in doubt" in again.held_back
    assert set(sent_levels(world).values()) == {level}


def test_said_to_be_a_new_scan_the_newcomer_is_judged(
    worlds: dict[str, World], tmp_path: Path
) -> None:
    world = copied(worlds["standard, sent"], tmp_path / "w")
    MISTAKES["another slide with its identity, later"].before(world)
    world.policy = replace(world.policy)
    step = Step(slides=("t.tif",), options=replace(CPU, rescan=True))
    (outcome,) = world.flags(step)
    assert isinstance(outcome, Outcome)
    assert outcome.level is Level.STANDARD


@pytest.mark.parametrize("named", ["1", "s.tif", "2", "t.tif"])
def test_a_row_that_says_of_what_it_is_a_new_scan_counts_for_its_own_slide_only(
    worlds: dict[str, World], named: str, tmp_path: Path
) -> None:
    """By the slide's id, or by the file that was judged; what names another one says nothing."""
    world = copied(worlds["standard, sent"], tmp_path / "w")
    MISTAKES["another slide with its identity, later"].before(world)
    row = "t.tif,RXX,A1,1," + named
    cases = world.slide.with_name("cases.csv")
    cases.write_text(f"file,trust,accession,slide_id,rescan_of\ns.tif,RXX,A1,1,\n{row}\n")
    told = load_cases(cases)
    (outcome,) = world.flags(Step(slides=("t.tif",), cases=told))
    assert isinstance(outcome, Outcome)
    is_right = named in ("1", "s.tif")
    assert outcome.level is (Level.STANDARD if is_right else Level.NOT_ASSESSED)
    assert ("rescan_of names neither" in outcome.reason) != is_right
    (first,) = world.flags(Step(cases=told))  # its row says nothing
    assert "identity in doubt" in (first.reason if is_right else first.held_back)  # type: ignore[attr-defined]


@pytest.mark.parametrize("amend", [False, True])
@pytest.mark.parametrize(("was", "planted"), [(None, STRICT), (STRICT, None)])
def test_results_that_are_not_those_that_were_put_neither_lower_nor_amend_what_was(
    worlds: dict[str, World],
    was: Policy | None,
    planted: Policy | None,
    amend: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    """This site's own seal and question, and another level: from another disk, or an older day."""
    world = copied(worlds["nothing"], tmp_path / "w")
    world.flags(Step(policy=was))
    sent = sent_levels(world)
    lines = len(world.outbox().lines())
    (folder,) = (path.parent for path in world.out.rglob("flag.json"))
    record, flag = (json.loads((folder / name).read_text()) for name in ("run.json", "flag.json"))
    level = "standard" if planted else "expedite"
    flag["result"]["level"] = level
    record.pop("seal")
    (folder / "flag.json").write_text(json.dumps(flag))
    (folder / "run.json").write_text(json.dumps(with_seal(record, flag)))
    (outcome,) = world.flags(Step(policy=was, options=replace(CPU, amend=amend)))
    assert isinstance(outcome, Outcome)
    assert outcome.level.value != level
    assert "what was put holds" in outcome.held_back
    assert sent_levels(world) == sent
    assert len(world.outbox().lines()) == lines


def test_two_slides_with_one_identity_and_other_bytes_are_both_not_judged(
    worlds: dict[str, World], tmp_path: Path
) -> None:
    world = copied(worlds["nothing"], tmp_path / "w")
    MISTAKES["another slide with its identity, beside it"].before(world)
    outcomes = world.flags(Step(slides=("s.tif", "t.tif")))
    assert [o.reason.split(":")[0] for o in outcomes] == ["identity in doubt"] * 2
    assert len(sent_levels(world)) == 1
    assert len({line.revision for line in world.outbox().lines()}) == 1


def test_the_same_bytes_twice_under_one_identity_are_one_slide(
    worlds: dict[str, World], tmp_path: Path
) -> None:
    world = copied(worlds["nothing"], tmp_path / "w")
    (world.root / "in" / "t.tif").write_bytes(world.slide.read_bytes())
    outcomes = world.flags(Step(slides=("s.tif", "t.tif")))
    assert {o.level for o in outcomes if isinstance(o, Outcome)} == {Level.EXPEDITE}
