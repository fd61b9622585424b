"""What is old and settled is forgotten; what is not yet done is kept, and nothing goes wrong."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.delivery.conftest import FakeClock, new_id
from tests.delivery.test_outbox import HERE, accept, fail
from wsi_ai.cli import app
from wsi_ai.delivery.audit import verify
from wsi_ai.delivery.messages import Held, Retraction
from wsi_ai.delivery.outbox import Outbox, State
from wsi_ai.errors import OutputError, Refused
from wsi_ai.testing import endpoint_for, example_body

DAY_S = 86400.0


def delivered(outbox: Outbox) -> str:
    """A flag that the receiver has."""
    flag_id = new_id()
    outbox.put(example_body(flag_id), [HERE])
    accept(outbox, outbox.claim("here"))
    return flag_id


def test_only_what_is_old_and_settled_is_forgotten(outbox: Outbox, clock: FakeClock) -> None:
    delivered(outbox)
    outbox.put(example_body(new_id()), [HERE])
    fail(outbox, outbox.claim("here"), Refused("no"))
    outbox.put(example_body(new_id()), [endpoint_for("there")])
    nobodys = example_body(new_id(), identity=None)
    outbox.put(nobodys, [HERE])
    clock.move(90 * DAY_S)
    delivered(outbox)
    assert outbox.purge(clock() - 89 * DAY_S) == 2  # the first, and nobody's
    left = {line.state: outbox.body(line.event_id) for line in outbox.lines()[:4]}
    assert left[State.DELIVERED] == left[State.SKIPPED] == b""
    assert left[State.DEAD]
    assert left[State.PENDING]
    assert outbox.purge(clock() - 89 * DAY_S) == 0
    assert len(outbox.lines()) == 5


def test_what_is_forgotten_is_not_said_again_and_cannot_be_taken_back_unseen(
    outbox: Outbox, clock: FakeClock
) -> None:
    flag_id = delivered(outbox)
    body, (line,) = example_body(flag_id), outbox.lines()
    clock.move(1)
    outbox.purge(clock())
    assert outbox.flag(flag_id) is None
    assert list(outbox.flags()) == []
    assert outbox.put(body, [HERE])["revision"] == 1
    assert outbox.claim("here") == []
    for again in (outbox.replay, outbox.replay_old):
        with pytest.raises(OutputError, match="purged"):
            again(line.event_id)
    with pytest.raises(OutputError, match="tell its receiver"):
        outbox.retract(flag_id, Retraction.OPERATOR)
    assert not any(batch.event_ids for batch in outbox.recall("mean", "1"))
    assert outbox.beyond_recall("mean", "1") == 1
    assert outbox.mismatches("here", {flag_id: Held(1, line.event_id, None)}) == []
    assert outbox.put(example_body(flag_id, score=0.9), [HERE])["revision"] == 2


def test_a_flag_that_was_taken_back_is_not_beyond_recall(outbox: Outbox, clock: FakeClock) -> None:
    outbox.retract(delivered(outbox), Retraction.OPERATOR)
    accept(outbox, outbox.claim("here"))
    clock.move(1)
    assert outbox.purge(clock()) == 2
    assert outbox.beyond_recall("mean", "1") == 0


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_no_byte_of_the_case_is_left_on_the_disk(
    outbox: Outbox, clock: FakeClock, tmp_path: Path
) -> None:
    def on_disk() -> bytes:
        return b"".join(path.read_bytes() for path in tmp_path.glob("outbox.db*"))

    for _ in range(20):
        delivered(outbox)
    assert b"S26-1234" in on_disk()
    clock.move(1)
    assert outbox.purge(clock()) == 20
    assert b"S26-1234" not in on_disk()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_a_person_does_by_hand_is_in_the_audit(outbox: Outbox, database: str) -> None:
    """The outbox's clock is long past: all of it is older than 90 days."""

    def wsi_ai(*words: str) -> str:
        done = CliRunner().invoke(app, [*words, "--outbox", database])
        assert done.exit_code in (0, 1), done.output
        return done.stdout

    outbox.put(example_body(new_id()), [HERE])
    name = outbox.lines()[0].event_id
    for words in (["skip", name], ["skip", name], ["replay", name], ["skip", name], ["purge"]):
        told = wsi_ai("outbox", *words)
    assert told == "the content of 1 event is purged; ids, levels and hashes stay\n"
    recalled = wsi_ai("recall", "--model", "mean", "--version", "1")
    assert "1 more is purged: tell their receivers" in recalled
    path = Path(f"{database}.audit.jsonl")
    verify(path)
    deeds = [json.loads(line) for line in path.read_text().splitlines()]
    assert [deed["did"] for deed in deeds] == ["skip", "replay", "skip", "purge"]
    assert deeds[-1]["events"] == 1
