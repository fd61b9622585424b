"""Nothing waits unseen, and no outbox is made by mistake."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner, Result

from tests.delivery.conftest import new_id
from tests.delivery.parts import FAST, KEY
from tests.delivery.servers import free_port, serving
from wsi_ai.cli import app
from wsi_ai.delivery.messages import Version
from wsi_ai.delivery.outbox import Outbox, State, open_database
from wsi_ai.delivery.posting import open_outbox, open_posting, open_relay
from wsi_ai.delivery.receiver.inbox import Inbox, open_inbox
from wsi_ai.delivery.receiver.web import Access, receiver
from wsi_ai.delivery.relay import Relay
from wsi_ai.delivery.routes import KEY as KEY_NAME
from wsi_ai.delivery.routes import load_endpoints
from wsi_ai.testing import MemorySink, endpoint_for, example_body


def wsi_ai(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_NAME, KEY)


@pytest.fixture
def database(tmp_path: Path) -> str:
    return str(tmp_path / "outbox.db")


@pytest.fixture
def url() -> str:
    return f"http://127.0.0.1:{free_port()}/flags"


def named(folder: Path, url: str, name: str = "region", trust: str = "RXX", more: str = "") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(
        f'[[sink]]\nname = "{name}"\nurl = "{url}"\ntrusts = ["{trust}"]\n'
        f'signing_keys = ["env:{KEY_NAME}"]\n{more}'
    )
    return path


def put(database: str, places: Sequence[object]) -> None:
    with open_posting([str(place) for place in places], database) as posting:
        posting.put(example_body(new_id()))


def waiting(database: str) -> set[str]:
    with open_outbox(database) as outbox:
        return {line.sink for line in outbox.lines((State.PENDING,))}


COMMANDS = [
    ["outbox", "list"], ["outbox", "check"], ["outbox", "purge"], ["outbox", "show", "evt_1"],
    ["outbox", "replay", "evt_1"], ["outbox", "skip", "evt_1"], ["outbox", "backup", "copy.db"],
    ["outbox", "drain", "--send", "URL"], ["outbox", "reconcile", "--send", "URL"],
    ["outbox", "adopt", "x", "--send", "URL"], ["relay", "--send", "URL"],
    ["flags", "list"], ["flags", "show", "x"], ["flags", "retract", "x", "--reason", "operator"],
    ["recall", "--model", "m", "--version", "1"],
]  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("there", ["nothing", "an empty file", "another database", "a folder"])
def test_no_command_takes_a_mistyped_outbox_for_one_or_makes_it(
    words: list[str], there: str, tmp_path: Path, url: str
) -> None:
    place = tmp_path / "outbox.dp"
    if there == "an empty file":
        place.touch()
    elif there == "a folder":
        place.mkdir()
    elif there == "another database":
        with closing(open_inbox(place)):
            pass
    done = wsi_ai(*(word.replace("URL", url) for word in words), "--outbox", place)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "there is no outbox there" in done.stderr
    assert place.exists() == (there != "nothing")
    assert not list(tmp_path.glob("*audit*"))


def test_init_makes_an_outbox_and_leaves_one_that_is_there_as_it_is(database: str) -> None:
    assert wsi_ai("outbox", "init", "--outbox", database).exit_code == 0
    with open_outbox(database) as outbox:
        outbox.put(example_body(new_id()), [endpoint_for("here")])
    assert wsi_ai("outbox", "init", "--outbox", database).exit_code == 0
    with open_outbox(database) as outbox:
        assert len(outbox.lines()) == 1


def test_a_recall_of_nothing_is_no_success(database: str) -> None:
    wsi_ai("outbox", "init", "--outbox", database)
    done = wsi_ai("recall", "--model", "mean", "--version", "1", "--outbox", database)
    assert done.exit_code == 1
    assert "nothing to take back" in done.stdout


def test_a_url_and_the_same_url_in_a_settings_file_are_one_sink(
    database: str, tmp_path: Path, url: str
) -> None:
    put(database, [url])
    assert waiting(database) == {load_endpoints([url])[0].name}
    put(database, [named(tmp_path, url)])  # what waits for the URL has a name now
    assert waiting(database) == {"region"}
    put(database, [url])
    put(database, [url, named(tmp_path, url)])
    assert waiting(database) == {"region"}


def test_a_flag_that_a_named_sink_does_not_take_is_not_given_to_it(
    database: str, tmp_path: Path, url: str
) -> None:
    put(database, [url])
    put(database, [named(tmp_path, url, trust="RYY")])
    assert "region" not in waiting(database)


def test_what_waits_for_a_sink_that_is_not_set_up_is_named_with_what_adopts_it(
    database: str, tmp_path: Path, url: str
) -> None:
    put(database, [named(tmp_path, url, "old")])
    send = named(tmp_path, f"{url}/new", "new")
    with open_relay([str(send)], database) as posting:
        assert posting.waiting_elsewhere() == {"old": 1}
        assert posting.relay.outbox.backlog("new", {"new"}).elsewhere == 1
    done = wsi_ai("outbox", "adopt", "old", "--outbox", database, "--send", send)
    assert (done.exit_code, done.stdout) == (0, "1 delivery adopted\n")
    assert waiting(database) == {"new"}
    assert wsi_ai("outbox", "adopt", "old", "--outbox", database, "--send", send).exit_code == 1


def test_adopting_brings_no_older_revision_behind_a_newer_one(tmp_path: Path) -> None:
    outbox = Outbox(open_database(str(tmp_path / "outbox.db")), time.time, Random(1))
    old, new, name = endpoint_for("old", "RXX"), endpoint_for("new", "RXX"), new_id()
    outbox.put(example_body(name, score=0.6), [old])
    outbox.claim("old")  # tried, so it is not passed over
    outbox.put(example_body(name, score=0.7), [new])
    sink = MemorySink(new)
    Relay(outbox, [sink], FAST).step(sink)
    from wsi_ai.delivery.outbox import adoption

    with outbox.writing() as connection:
        assert adoption.adopt(connection, "old", [new], outbox.clock()) == 1
    assert outbox.waiting() == 0
    outbox.engine.dispose()


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    inbox = open_inbox(tmp_path / "inbox.db")
    yield inbox
    inbox.close()


def test_a_sender_that_lives_does_not_hide_another_of_the_same_trust_that_is_dead(
    inbox: Inbox, tmp_path: Path
) -> None:
    now = [1_780_000_000.0]
    with serving(receiver(inbox, Access((KEY,)), lambda: now[0])) as base:
        send = str(named(tmp_path, f"{base}/flags", more="heartbeat_s = 60\n"))
        for name in ("one.db", "other.db"):
            database = str(tmp_path / name)
            wsi_ai("outbox", "init", "--outbox", database)
            with open_relay([send], database) as posting:
                relay = Relay(
                    Outbox(posting.relay.outbox.engine, lambda: now[0], Random(1)),
                    posting.relay.sinks,
                )
                assert relay.beat(relay.sinks[0]) == 60  # type: ignore[arg-type]
                now[0] += 200
        senders = inbox.senders(now[0] - 180)
    assert [one["trusts"] for one in senders] == [["RXX"], ["RXX"]]
    assert sorted(one["silent"] for one in senders) == [False, True]
    assert len({one["sender"] for one in senders}) == 2


def test_a_receiver_of_version_1_0_hears_heartbeats_of_1_0(
    inbox: Inbox, database: str, tmp_path: Path
) -> None:
    with serving(receiver(inbox, Access((KEY,)), time.time)) as base:
        more = 'heartbeat_s = 60\nschema_version = "1.0"\n'
        send = named(tmp_path, f"{base}/flags", more=more)
        wsi_ai("outbox", "init", "--outbox", database)
        with open_relay([str(send)], database) as posting:
            assert posting.endpoints[0].version is Version.V1_0
            posting.relay.beat(posting.relay.sinks[0])  # type: ignore[arg-type]
            posting.put(example_body(new_id()))
            posting.relay.step(posting.relay.sinks[0])
    assert inbox.senders(time.time())[0]["sender"] is None
    assert json.loads(json.dumps(inbox.worklist()))[0]["level"] == "expedite"
