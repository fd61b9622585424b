"""A bad disk, or a hand in the outbox's file: nothing changed is signed or missing unsaid."""

import os
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from tests.delivery.conftest import new_id
from tests.delivery.parts import FAST, webhook
from wsi_ai.cli import app
from wsi_ai.core.flags import Level
from wsi_ai.delivery.messages import Message
from wsi_ai.delivery.outbox import Outbox, State, adoption, open_database
from wsi_ai.delivery.outbox.check import all_wrong
from wsi_ai.delivery.relay import Relay
from wsi_ai.errors import OutputError, Refused
from wsi_ai.testing import MemorySink, endpoint_for, example_body, example_message

MEMORY = Path("/dev/shm")
HERE = endpoint_for("here", "RXX")
FLIPS = int(os.environ.get("WSI_AI_FLIPS", "25"))


def filled(database: Path, flags: int) -> tuple[set[bytes], set[bytes]]:
    """An outbox whose flags wait, every third amended: what is to be sent, and all that was ever
    put (a spoiled index may lead to a revision that was superseded; its receiver refuses it)."""
    outbox = Outbox(open_database(str(database)), time.time, Random(1))
    for n in range(flags):
        name = new_id()
        outbox.put(example_body(name, Level.EXPEDITE, 0.6), [HERE])
        if n % 3 == 0:
            outbox.put(example_body(name, Level.EXPEDITE, 0.7), [HERE])
    wait, ever = (
        {outbox.body(line.event_id) or b"" for line in outbox.all_lines(states)}
        for states in ((State.PENDING,), tuple(State))
    )
    outbox.engine.dispose()
    with closing(sqlite3.connect(database)) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return wait, ever


def relayed(database: Path) -> tuple[list[bytes], bool]:
    """What a relay signs, and whether anything was said to be wrong: by relay, list or check."""
    said, sink = list[str](), MemorySink(HERE)
    try:
        outbox = Outbox(open_database(str(database)), time.time, Random(1))
        relay = Relay(outbox, [sink], FAST, alarm=said.append)
        relay.look_for_damage()
        for _ in range(20):
            with suppress(OutputError):
                if not relay.step(sink):
                    break
        relay.sound_alarms()
        said += [line.event_id for line in outbox.lines((State.DEAD,))]
        with outbox.reading() as connection:
            said += adoption.waiting_elsewhere(connection, {"here"})
        said += all_wrong(outbox)
        outbox.engine.dispose()
    except OutputError as error:
        said.append(str(error))
    return [message.body for message in sink.got], bool(said)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    if not MEMORY.is_dir():
        return tmp_path
    folder = MEMORY / f"wsi-ai-{tmp_path.name}-{os.getpid()}"
    folder.mkdir()
    return folder


def test_whatever_bit_is_turned_nothing_changed_is_signed_and_nothing_is_missing_unsaid(
    place: Path,
) -> None:
    """WSI_AI_FLIPS for more than a few."""
    whole, chance = place / "whole.db", Random(14)
    wait, ever = filled(whole, 20)
    content = whole.read_bytes()
    counts = {"sent whole": 0, "told": 0, "changed": 0, "missing": 0}
    for n in range(FLIPS):
        flipped = bytearray(content)
        at = chance.randrange(len(flipped))
        flipped[at] ^= 1 << chance.randrange(8)
        spoiled = place / f"{n}.db"
        spoiled.write_bytes(flipped)
        sent, told = relayed(spoiled)
        counts["changed"] += len(set(sent) - ever)
        whole_set = set(sent) >= wait
        counts["sent whole"] += whole_set
        counts["told"] += told
        counts["missing"] += not whole_set and not told
        for left in place.glob(f"{n}.db*"):
            left.unlink()
    shutil.rmtree(place) if place.parent == MEMORY else None
    print(FLIPS, "flips:", counts)
    assert (counts["changed"], counts["missing"]) == (0, 0)


CHANGES = {
    "body": "UPDATE event SET body = CAST(replace(body, 'expedite', 'standard') AS BLOB)",
    "level": "UPDATE event SET level = 'standard'",
    "trust": "UPDATE event SET trust = 'RYY'",
    "hash": "UPDATE event SET body_sha256 = answer_sha256",
    "kind": "UPDATE event SET kind = 'retracted'",
    "revision": "UPDATE event SET revision = 9",
    "nothing left": "UPDATE event SET body = x''",
    "no bytes": "UPDATE event SET body = 7",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_row_that_was_changed_is_dead_with_an_alarm_and_the_others_go_out(
    change: str, tmp_path: Path
) -> None:
    database, said = tmp_path / "outbox.db", list[str]()
    filled(database, 3)
    outbox = Outbox(open_database(str(database)), time.time, Random(1))
    spoiled = outbox.lines((State.PENDING,))[0].event_id
    with closing(sqlite3.connect(database)) as raw, raw:
        raw.execute(f"{CHANGES[change]} WHERE event_id = ?", (spoiled,))
    sink = MemorySink(HERE)
    relay = Relay(outbox, [sink], FAST, alarm=said.append)
    while relay.step(sink):
        pass
    relay.sound_alarms()
    assert len(said) == 1
    assert len(sink.got) == 2
    assert spoiled not in {message.event_id for message in sink.got}
    (dead,) = outbox.lines((State.DEAD,))
    assert dead.event_id == spoiled
    outbox.engine.dispose()
    done = CliRunner().invoke(app, ["outbox", "check", "--outbox", str(database)])
    assert (done.exit_code, spoiled in done.output) == (1, True)


def test_an_outbox_as_it_was_written_is_found_whole(tmp_path: Path) -> None:
    filled(tmp_path / "outbox.db", 5)
    done = CliRunner().invoke(app, ["outbox", "check", "--outbox", str(tmp_path / "outbox.db")])
    assert (done.exit_code, done.output) == (0, "0 things are not what was written\n")


STUCK = {
    "a state that is none": "UPDATE delivery SET state = 'pendinf'",
    "a rank that is none": "UPDATE delivery SET rank = 5",
    "due in a thousand years": "UPDATE delivery SET next_at = 4e10",
    "leased for ever": "UPDATE delivery SET state = 'inflight', lease_until = 4e10",
    "of no event": "UPDATE delivery SET event_id = 'evt_x'",
    "gone": "DELETE FROM delivery",
}


@pytest.mark.parametrize("change", STUCK)
def test_a_delivery_that_no_relay_would_come_upon_is_told(change: str, tmp_path: Path) -> None:
    database, said = tmp_path / "outbox.db", list[str]()
    filled(database, 1)
    with closing(sqlite3.connect(database)) as raw, raw:
        raw.execute(f"{STUCK[change]} WHERE (event_id, sink) = (SELECT event_id, sink FROM delivery"
                    " WHERE state = 'pending' LIMIT 1)")  # fmt: skip
    outbox = Outbox(open_database(str(database)), time.time, Random(1))
    assert Relay(outbox, [MemorySink(HERE)], FAST, alarm=said.append).look_for_damage()
    assert said
    outbox.engine.dispose()


def test_what_changed_after_it_was_claimed_is_not_signed() -> None:
    message = example_message(new_id())
    changed = message.body.replace(b'"expedite"', b'"standard"')
    other = Message(
        message.event_id, message.flag_id, 1, message.kind, "RXX", True, changed, message.sha256
    )
    with closing(webhook("http://127.0.0.1:9")) as sink, pytest.raises(Refused, match="not what"):
        sink.send(other, None)  # type: ignore[arg-type]
