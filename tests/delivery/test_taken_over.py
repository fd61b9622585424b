"""An OUT, an outbox and a receiver's store of 3ffd2a8 (before flag schema 1.1) go on.

fixtures/before-1.1.tar.gz: slide a was sent and amended; b sent, amended and taken back; c was
raised while the receiver was down, so that its two revisions wait, the first of them tried.
Pictures and heatmaps are left out, and of the slides all but a.
"""

import json
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner, Result

from tests.delivery.parts import KEY
from tests.delivery.servers import serving
from wsi_ai.cli import app
from wsi_ai.cli.output import Exit
from wsi_ai.delivery.events import answer_digest
from wsi_ai.delivery.outbox import Outbox, State
from wsi_ai.delivery.outbox.check import all_wrong
from wsi_ai.delivery.outbox.database import open_existing_database
from wsi_ai.delivery.receiver.inbox import open_inbox
from wsi_ai.delivery.receiver.web import Access, receiver
from wsi_ai.delivery.routes import KEY as KEY_NAME
from wsi_ai.testing import endpoint_for

OLD_SINK = "send-43f17727"
FIXTURE = Path(__file__).parent / "fixtures" / "before-1.1.tar.gz"


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path / "before-1.1")
    monkeypatch.setenv(KEY_NAME, KEY)
    return tmp_path / "before-1.1"


@pytest.fixture
def outbox(old: Path) -> Iterator[Outbox]:
    outbox = Outbox(open_existing_database(str(old / "out" / "outbox.db")), time.time, Random(1))
    yield outbox
    outbox.engine.dispose()


def wsi_ai(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def written(old: Path) -> dict[str, dict[str, object]]:
    flags = [json.loads(path.read_text()) for path in old.glob("out/*/*/flag.json")]
    return {flag["flag_id"]: flag for flag in flags}


def test_an_old_outbox_is_whole_and_keeps_what_it_said(outbox: Outbox) -> None:
    assert list(all_wrong(outbox)) == []
    states = sorted((line.revision, line.state) for line in outbox.lines())
    assert states == [
        (1, State.DELIVERED), (1, State.DELIVERED), (1, State.PENDING),
        (2, State.DELIVERED), (2, State.DELIVERED), (2, State.PENDING), (3, State.DELIVERED),
    ]  # fmt: skip
    assert {flag["schema_version"] for flag in outbox.flags()} == {"1.0"}


def test_the_same_answer_in_the_new_version_is_no_new_revision(old: Path, outbox: Outbox) -> None:
    before = {line.event_id for line in outbox.lines()}
    for flag_id, flag in written(old).items():
        newer = {**flag, "schema_version": "1.1", "extensions": {"regions": []}, "revision": 1}
        newer |= {"action": "raise", "supersedes": None, "retraction_reason": None}
        kept = outbox.put(newer, [endpoint_for(OLD_SINK)])
        assert kept["flag_id"] == flag_id
        assert outbox.put_early(newer, [endpoint_for(OLD_SINK)])["revision"] == kept["revision"]
    assert {line.event_id for line in outbox.lines()} == before


def test_a_new_answer_follows_the_old_one_by_its_old_id(old: Path, outbox: Outbox) -> None:
    line = next(one for one in outbox.lines() if one.revision == 2)
    flag = written(old)[line.flag_id]
    result = {**flag["result"], "score": 0.99}  # type: ignore[dict-item]
    newer = {**flag, "schema_version": "1.1", "extensions": {}, "result": result}
    kept = outbox.put(newer, [endpoint_for(OLD_SINK)])
    assert (kept["revision"], kept["supersedes"]) == (3, line.event_id)


def test_nothing_is_sent_again_lowered_or_lost(old: Path) -> None:
    with closing(open_inbox(old / "inbox.db")) as inbox:
        before, shown = inbox.arrivals(), {f["flag_id"]: f for f in inbox.worklist()}
        assert all(line["answer_digest"] for line in inbox.held())
        with serving(receiver(inbox, Access((KEY,)), time.time)) as base:
            (old / "sinks.toml").write_text(
                f'[[sink]]\nname = "region"\nurl = "{base}/flags"\ntrusts = ["RXX"]\n'
                f'signing_keys = ["env:{KEY_NAME}"]\nread_back = "{base}/flags"\n'
            )
            send = ["--send", "sinks.toml"]
            done = wsi_ai("run", "a.svs", "--model", "red", "--out", "out",
                          "--cases", "cases.csv", *send)  # fmt: skip
            assert done.exit_code == Exit.WAITING, done.output
            assert "\\u000a" not in done.output
            assert f"2 deliveries wait for {OLD_SINK}" in done.output
            assert inbox.arrivals() == before
            at = ["--outbox", "out/outbox.db"]
            assert f"wsi-ai outbox adopt {OLD_SINK} --outbox" in done.output
            assert wsi_ai("outbox", "adopt", OLD_SINK, *at, *send).exit_code == 0
            assert wsi_ai("outbox", "drain", *at, *send).exit_code == 0
            assert wsi_ai("outbox", "reconcile", *at, *send).exit_code == 0
        arrived = inbox.arrivals()[len(before) :]
        assert [(revision, became) for *_, revision, became in arrived] == [
            (1, "newest"), (2, "newest"),
        ]  # fmt: skip
        after = {f["flag_id"]: f for f in inbox.worklist()}
        held = {line["flag_id"]: line["answer_digest"] for line in inbox.held()}
    assert {k: v for k, v in after.items() if k in shown} == shown
    assert len(after) == len(shown) + 1
    assert held == {name: answer_digest(flag) for name, flag in written(old).items()}
    assert wsi_ai("audit", "verify", "out/outbox.db.audit.jsonl").exit_code == 0
