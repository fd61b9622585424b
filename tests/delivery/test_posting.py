"""From a slide to the receiver's worklist, by the commands that people type."""

import json
import logging
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import httpx
import pytest
from sqlalchemy import delete
from typer.testing import CliRunner, Result

from tests.delivery.conftest import new_id
from tests.delivery.parts import KEY
from tests.delivery.servers import HOST, free_port, serving, until
from tests.models_for_tests import red_network, write_model
from wsi_ai.cli import app
from wsi_ai.core.flags import STATEMENT
from wsi_ai.delivery.audit import verify
from wsi_ai.delivery.outbox import Outbox, open_database
from wsi_ai.delivery.posting import open_posting
from wsi_ai.delivery.receiver.inbox import Inbox, open_inbox
from wsi_ai.delivery.receiver.tables import arrival, newest
from wsi_ai.delivery.receiver.web import Access, receiver
from wsi_ai.delivery.routes import KEY as KEY_NAME
from wsi_ai.delivery.routes import load_endpoints
from wsi_ai.testing import example_body


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "red", red_network(), mpp=1.0)


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    inbox = open_inbox(tmp_path / "inbox.db")
    yield inbox
    inbox.close()


@pytest.fixture
def base(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv(KEY_NAME, KEY)
    with serving(receiver(inbox, Access((KEY,)), time.time)) as base:
        yield base


def wsi_ai(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def cases(folder: Path, slide: Path, **more: str) -> Path:
    row = {"file": slide.name, "trust": "RXX", "accession": "S26-1", "slide_id": "S26-1-A1-1"}
    path = folder / "cases.json"
    path.write_text(json.dumps([{**row, **more}]))
    return path


def test_a_run_posts_what_it_finds_and_a_rerun_posts_nothing(
    cmu: Path,
    model: Path,
    tmp_path: Path,
    base: str,
    inbox: Inbox,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    out, send = tmp_path / "out", f"{base}/flags"
    words = ["run", cmu, "--model", model, "--out", out, "--send", send]
    done = wsi_ai(*words, "--cases", cases(tmp_path, cmu))
    assert done.exit_code == 0, done.output
    assert "wait" not in done.stderr
    (line,) = inbox.worklist()
    assert (line["accession"], line["level"]) == ("S26-1", "expedite")
    assert line["statement"] == STATEMENT
    (flag_json,) = out.glob("*/*/flag.json")
    written = json.loads(flag_json.read_text())
    assert (written["flag_id"], written["revision"]) == (line["flag_id"], line["revision"])
    arrived = len(inbox.arrivals())
    for again in ([], ["--force"]):
        assert wsi_ai(*words, "--cases", tmp_path / "cases.json", *again).exit_code == 0
    assert len(inbox.arrivals()) == arrived
    assert caplog.text
    assert not [word for word in ("S26-1", KEY, KEY[6:]) if word in caplog.text + done.stderr]
    assert stat.S_IMODE((out / "outbox.db").stat().st_mode) == 0o600


def test_a_flag_whose_slide_is_nobodys_is_written_and_not_sent(
    cmu: Path, model: Path, tmp_path: Path, base: str, inbox: Inbox
) -> None:
    done = wsi_ai(
        "run", cmu, "--model", model, "--out", tmp_path / "out", "--send", f"{base}/flags"
    )
    assert done.exit_code == 3
    assert f"  {cmu.name}: not sent: whose slide it is is not known" in done.stderr
    assert len(list(tmp_path.glob("out/*/*/flag.json"))) == 1
    assert inbox.arrivals() == []


def test_a_slide_that_fails_is_told_as_not_assessed(
    model: Path, tmp_path: Path, base: str, inbox: Inbox
) -> None:
    broken = tmp_path / "broken.svs"
    broken.write_bytes(b"II*\0")
    words = ["--send", f"{base}/flags", "--cases", cases(tmp_path, broken)]
    done = wsi_ai("run", broken, "--model", model, "--out", tmp_path / "out", *words)
    assert done.exit_code == 1
    assert [line["level"] for line in inbox.worklist()] == ["not_assessed"]


def test_a_stain_that_the_model_was_not_made_for_is_not_assessed(
    cmu: Path, model: Path, tmp_path: Path
) -> None:
    card = model / "model.toml"
    other = tmp_path / "model"
    other.mkdir()
    for file in model.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    (other / "model.toml").write_text(
        card.read_text().replace("[card]", '[scope]\nstain = "H&E"\n\n[card]')
    )
    told = ["--cases", cases(tmp_path, cmu, stain="PAS")]
    done = wsi_ai("run", cmu, "--model", other, "--out", tmp_path / "out", *told)
    assert done.exit_code == 1
    assert "not stained as the model needs it (H&E)" in done.stdout


def test_what_waits_goes_out_when_the_receiver_is_back(
    cmu: Path, model: Path, tmp_path: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_NAME, KEY)
    out, database = tmp_path / "out", tmp_path / "out" / "outbox.db"
    port = free_port()
    send = f"http://{HOST}:{port}/flags"
    words = ["--out", out, "--cases", cases(tmp_path, cmu), "--send", send]
    done = wsi_ai("run", cmu, "--model", model, *words)
    assert done.exit_code == 3
    assert f"{cmu.name}: waiting: no connection" in done.stderr
    assert wsi_ai("outbox", "list", "--outbox", database).exit_code == 1
    with serving(receiver(inbox, Access((KEY,)), time.time), port=port):
        drained = wsi_ai("outbox", "drain", "--outbox", database, "--send", send)
    assert (drained.exit_code, drained.stdout) == (0, "0 deliveries still wait\n")
    assert len(inbox.worklist()) == 1
    listed = wsi_ai("outbox", "list", "--outbox", database)
    assert listed.exit_code == 0
    assert "S26-1" not in listed.stdout
    assert verify(Path(f"{database}.audit.jsonl")).lines >= 3
    assert "S26-1" not in Path(f"{database}.audit.jsonl").read_text()


def sinks_file(folder: Path, base: str, more: str = "") -> Path:
    (folder / "key").write_text(KEY)
    path = folder / "sinks.toml"
    path.write_text(
        f"[[sink]]\nname = 'region'\nurl = '{base}/flags'\ntrusts = ['RXX']\n"
        f"signing_keys = ['file:{folder}/key']\nread_back = '{base}/flags'\n{more}"
    )
    return path


@pytest.fixture
def sent(tmp_path: Path, base: str) -> tuple[Path, str]:
    """One flag at the receiver; the outbox's file, and the flag's id."""
    database, flag_id = tmp_path / "outbox.db", new_id()
    with open_posting([str(sinks_file(tmp_path, base))], str(database)) as posting:
        posting.put(example_body(flag_id))
        assert posting.drain(10) == 0
    return database, flag_id


def test_taking_back_and_recalling_reach_the_worklist(
    sent: tuple[Path, str], base: str, inbox: Inbox
) -> None:
    database, flag_id = sent
    at = ["--outbox", database]
    assert wsi_ai("recall", "--model", "mean", "--version", "0.9", *at).exit_code == 1
    assert len(inbox.worklist()) == 1
    recalled = wsi_ai("recall", "--model", "mean", "--version", "1", *at)
    assert recalled.stdout.startswith("1 flag of mean 1 taken back")
    assert wsi_ai("flags", "retract", flag_id, "--reason", "operator", *at).exit_code == 1
    sinks = sinks_file(database.parent, base)
    assert wsi_ai("outbox", "drain", *at, "--send", sinks).exit_code == 0
    assert inbox.worklist() == []
    shown = json.loads(wsi_ai("flags", "show", flag_id, *at).stdout)
    assert (shown["action"], shown["retraction_reason"]) == ("retract", "model_defect")


def test_a_wrong_word_is_refused_with_what_would_do(sent: tuple[Path, str]) -> None:
    database, flag_id = sent
    at = ["--outbox", database]
    for words, told in [
        (["flags", "retract", flag_id, "--reason", "whim", *at], "slide_rescanned"),
        (["outbox", "list", "--state", "lost", *at], "pending, inflight"),
        (["outbox", "list", "--since", "2026-06-01T12:00", *at], "needs its zone"),
        (["outbox", "show", "evt_0", *at], "no such event"),
        (["flags", "list", "--outbox", "/proc/x.db"], "there is no outbox there"),
        (["outbox", "init", "--outbox", "/proc/x.db"], "the outbox refused"),
    ]:
        done = wsi_ai(*words)
        assert done.exit_code == 2
        assert told in done.stderr


def test_what_the_receiver_lost_is_found_and_sent_again(
    sent: tuple[Path, str], base: str, inbox: Inbox, tmp_path: Path
) -> None:
    database, flag_id = sent
    words = ["--outbox", database, "--send", sinks_file(tmp_path, base)]
    assert wsi_ai("outbox", "reconcile", *words).exit_code == 0
    with inbox.engine.begin() as connection:
        connection.execute(delete(newest))
        connection.execute(delete(arrival))
    found = wsi_ai("outbox", "reconcile", "--resend", *words)
    assert found.exit_code == 1
    assert f"{flag_id}: sent revision" in found.stdout
    assert wsi_ai("outbox", "drain", *words).exit_code == 0
    assert wsi_ai("outbox", "reconcile", *words).exit_code == 0


def test_receiver_and_relay_run_as_services_and_stop_when_told(
    sent: tuple[Path, str], tmp_path: Path
) -> None:
    database, _ = sent
    port = str(free_port())
    sinks = sinks_file(tmp_path, f"http://{HOST}:{port}", "heartbeat_s = 10\n")
    serve = ["receive", "--key", f"file:{tmp_path}/key", "--store", str(tmp_path / "b.db")]
    relay = ["relay", "--outbox", str(database), "--send", str(sinks)]
    program = [sys.executable, "-m", "wsi_ai"]
    services = [subprocess.Popen([*program, *serve, "--port", port])]
    try:
        until(lambda: _is_up(f"http://{HOST}:{port}/health"), "the receiver did not start")
        services.append(subprocess.Popen([*program, *relay]))
        event_id = wsi_ai("outbox", "list", "--outbox", database).stdout.split()[1]
        replayed = wsi_ai("outbox", "replay", event_id, "--force", "--outbox", database)
        assert replayed.exit_code == 0
        until(lambda: bool(_held(f"http://{HOST}:{port}/flags")), "nothing arrived")
        worklist = f"http://{HOST}:{port}/worklist"
        until(lambda: bool(httpx.get(worklist).json()["senders"]), "no heartbeat was heard")
    finally:
        for service in services:
            service.send_signal(signal.SIGTERM)
        ends = [service.wait(20) for service in services]
    assert ends[1] == 0


@pytest.mark.parametrize(("minutes", "told"), [(15, 1), (60, 0)])
def test_a_relay_tells_of_an_urgent_flag_that_is_late(
    tmp_path: Path, minutes: int, told: int
) -> None:
    """One that was put twenty minutes ago, and a receiver that is down."""
    database = str(tmp_path / "outbox.db")
    sinks = sinks_file(tmp_path, f"http://{HOST}:{free_port()}")
    engine = open_database(database)
    outbox = Outbox(engine, lambda: time.time() - 1200, Random(1))
    outbox.put(example_body(new_id()), load_endpoints([str(sinks)]))
    words = ["--outbox", database, "--send", str(sinks), "--alarm-minutes", str(minutes)]
    relay = subprocess.Popen(
        [sys.executable, "-m", "wsi_ai", "relay", *words], stderr=subprocess.PIPE, text=True
    )
    until(lambda: outbox.lines()[0].attempts > 0, "the relay did not start")
    time.sleep(0.5)
    relay.send_signal(signal.SIGTERM)
    _, said = relay.communicate(timeout=20)
    engine.dispose()
    assert said.count("1 urgent flag not delivered;") == told


def _is_up(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def _held(url: str) -> list[object]:
    return list(httpx.get(url).json()["flags"])


def test_a_receiver_beyond_this_machine_asks_for_a_token(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    key = f"file:{tmp_path}/key"
    done = wsi_ai("receive", "--key", key, "--store", tmp_path / "x.db", "--host", "0.0.0.0")
    assert done.exit_code == 2
    assert "--bearer" in done.stderr


def test_an_audit_is_verified_and_refused_with_one_byte_changed(sent: tuple[Path, str]) -> None:
    path = Path(f"{sent[0]}.audit.jsonl")
    good = wsi_ai("audit", "verify", path)
    assert good.exit_code == 0
    head = good.stdout.split()[-1]
    assert wsi_ai("audit", "verify", path, "--head", head).exit_code == 0
    assert wsi_ai("audit", "verify", path, "--head", "0" * 64).exit_code == 1
    told = path.read_bytes()
    path.write_bytes(told.replace(b'"revision":1', b'"revision":2', 1))
    spoilt = wsi_ai("audit", "verify", path)
    assert spoilt.exit_code == 1
    assert spoilt.stdout.startswith("BROKEN: line ")
