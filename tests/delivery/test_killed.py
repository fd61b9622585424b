"""Processes that are killed for real, at the worst moments."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from tests.delivery.conftest import new_id
from tests.delivery.parts import FAST, KEY, webhook
from tests.delivery.servers import serving
from tests.models_for_tests import red_network, write_model
from wsi_ai.cli import app
from wsi_ai.delivery.messages import Retraction
from wsi_ai.delivery.outbox import Outbox, State, open_database
from wsi_ai.delivery.receiver.inbox import Became, Inbox, open_inbox
from wsi_ai.delivery.receiver.web import Access, receiver
from wsi_ai.delivery.relay import Relay
from wsi_ai.delivery.routes import KEY as KEY_NAME
from wsi_ai.testing import endpoint_for, example_body

_COMMON = """
import json, os, signal, sys, time
from random import Random
from wsi_ai.delivery.messages import Endpoint
from wsi_ai.delivery.outbox import Outbox, open_database

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

database, base, body = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
here = Endpoint("region", base, frozenset({"RXX"}))
"""

BEFORE_COMMIT = (
    _COMMON
    + """
from sqlalchemy import event
outbox = Outbox(open_database(database), time.time, Random(1))
event.listen(outbox.engine, "commit", die)
outbox.put(body, [here])
"""
)

AFTER_COMMIT = (
    _COMMON
    + """
outbox = Outbox(open_database(database), time.time, Random(1))
outbox.put(body, [here])
die()
"""
)

BETWEEN_SEND_AND_MARK = (
    _COMMON
    + """
from tests.delivery.parts import FAST, webhook
from wsi_ai.delivery.relay import Relay
class Fatal:
    def __init__(self, sink): self.sink, self.endpoint = sink, sink.endpoint
    def send(self, message, at):
        self.sink.send(message, at)
        die()
outbox = Outbox(open_database(database), time.time, Random(1))
sink = Fatal(webhook(base, 0.4))
Relay(outbox, [sink], FAST).step(sink)
"""
)


AFTER_THE_EARLY_FLAG = """
import os, signal, sys
from pathlib import Path
from wsi_ai.app import RunOptions, run_slides
from wsi_ai.delivery.posting import open_posting

slide, model, out, cases, send = sys.argv[1:]
with open_posting([send], f"{out}/outbox.db") as posting:
    class Fatal:
        put = staticmethod(posting.put)
        standing = staticmethod(posting.standing)
        def put_early(self, flag):
            posting.put_early(flag)
            posting.drain(20)
            os.kill(os.getpid(), signal.SIGKILL)
    options = RunOptions(cases=Path(cases))
    list(run_slides([Path(slide)], Path(model), Path(out), options, post=Fatal()))
"""


def test_a_run_killed_after_its_early_flag_amends_it_when_it_is_run_again(
    cmu: Path, tmp_path: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_model(tmp_path / "red", red_network(), mpp=1.0)
    cases, out = tmp_path / "cases.json", tmp_path / "out"
    row = {"file": cmu.name, "trust": "RXX", "accession": "S26-1", "slide_id": "S26-1-A1-1"}
    cases.write_text(json.dumps([row]))
    out.mkdir()
    monkeypatch.setenv(KEY_NAME, KEY)
    with serving(receiver(inbox, Access((KEY,)), time.time)) as base:
        send = f"{base}/flags"
        words = [sys.executable, "-c", AFTER_THE_EARLY_FLAG, cmu, model, out, cases, send]
        killed = subprocess.run(words, capture_output=True, text=True, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        (early,) = inbox.worklist()
        words = ["run", cmu, "--model", model, "--out", out, "--cases", cases, "--send", send]
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        (final,) = inbox.worklist()
    assert (early["revision"], early["level"]) == (1, "expedite")
    assert 0 < early["analysed_fraction"] < 1
    assert (final["flag_id"], final["revision"]) == (early["flag_id"], 2)
    assert (final["level"], final["analysed_fraction"]) == ("expedite", 1)
    assert [became for *_, became in inbox.arrivals()] == [Became.NEWEST] * 2


def kill_in(script: str, database: str, base: str, body: dict[str, object]) -> None:
    words = [sys.executable, "-c", script, database, base, json.dumps(body)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.fixture
def live(database: str) -> Iterator[Outbox]:
    """An outbox on the real clock."""
    engine = open_database(database)
    yield Outbox(engine, time.time, Random(1))
    engine.dispose()


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    inbox = open_inbox(tmp_path / "inbox.db")
    yield inbox
    inbox.close()


def test_killed_before_the_commit_leaves_nothing_and_the_next_run_says_it(
    live: Outbox, database: str
) -> None:
    body = example_body(new_id())
    kill_in(BEFORE_COMMIT, database, "http://127.0.0.1", body)
    assert live.lines() == []
    assert live.put(body, [endpoint_for("region", "RXX")])["revision"] == 1


def test_killed_after_the_commit_has_said_it_and_the_next_run_says_nothing_new(
    live: Outbox, database: str
) -> None:
    body = example_body(new_id())
    kill_in(AFTER_COMMIT, database, "http://127.0.0.1", body)
    assert [line.state for line in live.lines()] == [State.PENDING]
    assert live.put(body, [endpoint_for("region", "RXX")])["revision"] == 1
    assert len(live.lines()) == 1


def test_killed_between_send_and_mark_sends_the_same_event_again(
    live: Outbox, database: str, inbox: Inbox
) -> None:
    body = example_body(new_id())
    live.put(body, [endpoint_for("region", "RXX")])
    with (
        serving(receiver(inbox, Access((KEY,)), time.time)) as base,
        closing(webhook(base)) as sink,
    ):
        kill_in(BETWEEN_SEND_AND_MARK, database, base, body)
        assert [line.state for line in live.lines()] == [State.INFLIGHT]
        relay = Relay(live, [sink], FAST)
        end = time.monotonic() + 30
        while not relay.step(sink):
            assert time.monotonic() < end
            time.sleep(0.05)
            live.hurry()
    assert [line.state for line in live.lines()] == [State.DELIVERED]
    (first, again) = inbox.arrivals()
    assert first[:3] == again[:3]
    assert [first[3], again[3]] == [Became.NEWEST, Became.DUPLICATE]


def test_a_flag_taken_back_while_no_relay_runs_reaches_the_receiver_as_taken_back(
    live: Outbox, inbox: Inbox
) -> None:
    body = example_body(new_id())
    live.put(body, [endpoint_for("region", "RXX")])
    with (
        serving(receiver(inbox, Access((KEY,)), time.time)) as base,
        closing(webhook(base)) as sink,
    ):
        relay = Relay(live, [sink], FAST)
        relay.step(sink)
        assert len(inbox.worklist()) == 1
        live.retract(body["flag_id"], Retraction.SLIDE_RESCANNED)
        relay.step(sink)
        assert inbox.worklist() == []
        assert live.replay_old(live.lines()[0].event_id) == 1
        relay.step(sink)
    assert inbox.worklist() == []
