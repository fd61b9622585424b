"""The small receivers of docs/receiving.md keep the contract; its vector and its keys are right."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from standardwebhooks.webhooks import Webhook
from typer.testing import CliRunner

from tests.conftest import ROOT
from tests.delivery.conftest import new_id
from tests.delivery.parts import KEY, webhook_endpoint
from tests.delivery.servers import HOST, free_port, missing, serving, until
from wsi_ai.cli import app
from wsi_ai.core.flags import Level
from wsi_ai.delivery.events import Revision, message_of, next_revision, retraction
from wsi_ai.delivery.messages import Kind, Message, Retraction, Secret
from wsi_ai.delivery.receiver.inbox import open_inbox
from wsi_ai.delivery.receiver.verify import is_genuine
from wsi_ai.delivery.receiver.web import Access, receiver
from wsi_ai.delivery.routes import KEY as KEY_NAME
from wsi_ai.delivery.sinks.signing import signed_headers
from wsi_ai.delivery.sinks.webhook import WebhookSink, open_sink
from wsi_ai.delivery.trial_event import trial_event
from wsi_ai.errors import Conflict, Paused
from wsi_ai.testing import example_body

PAGE = (ROOT / "docs" / "receiving.md").read_text("utf-8")
RECEIVERS = ROOT / "docs" / "receivers"


@dataclass(frozen=True)
class Running:
    sink: WebhookSink
    file: Path

    def kept(self) -> list[dict[str, object]]:
        lines = self.file.read_text("utf-8").splitlines() if self.file.exists() else []
        return [json.loads(line) for line in lines]


def command(name: str) -> list[str]:
    if name.endswith(".py"):
        return [sys.executable, str(RECEIVERS / name)]
    if (node := shutil.which("node")) is None:
        missing("no node: apt-get install nodejs")
    return [str(node), str(RECEIVERS / name)]


def is_up(base: str) -> bool:
    try:
        return httpx.post(base, content=b"{}").status_code == 401
    except httpx.HTTPError:
        return False


@pytest.fixture(params=["receiver.py", "receiver.mjs"])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    (tmp_path / "key").write_text(KEY + "\n")
    file, port = tmp_path / "flags.jsonl", free_port()
    words = [*command(request.param), str(tmp_path / "key"), str(file), str(port)]
    server = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    try:
        until(lambda: is_up(f"http://{HOST}:{port}/flags"), "the receiver did not start")
        with closing(open_sink(webhook_endpoint(f"http://{HOST}:{port}"))) as sink:
            yield Running(sink, file)
    finally:
        server.kill()
        server.wait()


def now() -> datetime:
    return datetime.now(UTC)


def revisions() -> tuple[Message, Message, Message]:
    """Raised, amended, taken back."""
    first = example_body(new_id(), Level.STANDARD, 0.2)
    raised = message_of(first)
    before = Revision(raised.event_id, 1, Kind.RAISED, Level.STANDARD, raised.answer)
    second = next_revision(example_body(first["flag_id"], Level.EXPEDITE, 0.9), before)
    assert second is not None
    amended = message_of(second)
    after = Revision(amended.event_id, 2, Kind.AMENDED, Level.EXPEDITE, amended.answer)
    return raised, amended, message_of(retraction(second, after, Retraction.OPERATOR, now()))


def test_a_small_receiver_keeps_each_revision_once_and_refuses_what_does_not_follow(
    running: Running,
) -> None:
    raised, amended, taken = revisions()
    for message in (raised, raised, amended, raised, taken, amended):
        assert running.sink.send(message, now()).held is not None
    assert [event["id"] for event in running.kept()] == [
        message.event_id for message in (raised, amended, taken)
    ]
    stranger = message_of(example_body(raised.flag_id, Level.EXPEDITE, 0.5))
    with pytest.raises(Conflict) as refused:
        running.sink.send(stranger, now())
    assert getattr(refused.value.held, "event_id", "") == taken.event_id
    assert len(running.kept()) == 3


def test_a_small_receiver_keeps_no_heartbeat_no_test_and_nothing_unsigned(running: Running) -> None:
    running.sink.beat(trial_event(uuid.uuid4(), now()), now())
    assert httpx.post(running.sink.endpoint.url, content=b"{}").status_code == 401
    old = datetime.fromtimestamp(time.time() - 400, UTC)
    with pytest.raises(Paused, match="401"):
        running.sink.send(revisions()[0], old)
    assert running.kept() == []


def test_the_small_receivers_are_small() -> None:
    for path in RECEIVERS.glob("receiver.*"):
        lines = [line for line in path.read_text("utf-8").splitlines() if line.strip()]
        assert len(lines) <= 62, path.name


def vector() -> dict[str, str]:
    section = PAGE.partition("### A test vector")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `?([\w ().-]+?)`? \| `([^`]+)` \|$", section, re.MULTILINE))


def test_the_vector_of_the_page_is_right() -> None:
    told, body = vector(), (RECEIVERS / "sample-event.json").read_bytes()
    assert hashlib.sha256(body).hexdigest() == told["SHA-256 of the body"]
    at = int(told["webhook-timestamp"])
    keys = [Secret(told[name].encode()) for name in ("key (v1)", "private key (v1a)")]
    made = signed_headers(told["webhook-id"], body, keys, datetime.fromtimestamp(at, UTC))
    assert made["webhook-signature"] == f"{told['signature (v1)']} {told['signature (v1a)']}"
    for key in ("key (v1)", "public key (v1a)"):
        assert is_genuine(made, body, [told[key]], at)
        assert not is_genuine(made, body + b" ", [told[key]], at)
    assert json.loads(body)["id"] == told["webhook-id"]
    hook = Webhook(told["key (v1)"])
    moment = datetime.fromtimestamp(at, UTC)
    assert hook.sign(told["webhook-id"], moment, body.decode()) == told["signature (v1)"]


def test_the_sample_event_is_what_a_sender_sends() -> None:
    body = json.loads((RECEIVERS / "sample-event.json").read_bytes())
    assert message_of(body["data"]).body == (RECEIVERS / "sample-event.json").read_bytes()


def test_the_keys_that_the_page_makes_sign_and_verify(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        missing("no openssl")
    section = PAGE.partition("### Keys of your own")[2].partition("\n## ")[0]
    (script,) = re.findall(r"^```bash\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    subprocess.run(["bash", "-euc", script], cwd=tmp_path, check=True, capture_output=True)
    key, private, public = ((tmp_path / n).read_text().strip() for n in ("key", "whsk", "whpk"))
    assert len(base64.b64decode(key.removeprefix("whsec_"))) == 32
    secrets = [Secret(one.encode()) for one in (key, private)]
    headers = signed_headers("evt_1", b"x", secrets, now())
    for one in (key, public):
        assert is_genuine(headers, b"x", [one], time.time())


def test_a_test_event_has_nothing_of_a_flag_and_is_shown_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_NAME, KEY)
    event = json.loads(trial_event(uuid.uuid4(), now()).body)
    assert event["type"] == "org.wsi_ai.test.v1"
    assert event["data"].keys() == {"test", "note"}
    inbox = open_inbox(tmp_path / "inbox.db")
    with serving(receiver(inbox, Access((KEY,)), time.time)) as base:
        done = CliRunner().invoke(app, ["sinks", "test", f"{base}/flags"])
        assert (done.exit_code, "took the test event" in done.stdout) == (0, True)
        assert httpx.get(f"{base}/worklist").json()["worklist"] == []
        assert inbox.arrivals() == inbox.held() == []
        monkeypatch.setenv(KEY_NAME, "whsec_" + base64.b64encode(bytes(32)).decode())
        wrong = CliRunner().invoke(app, ["sinks", "test", f"{base}/flags"])
        assert (wrong.exit_code, "compare key, token and clock" in wrong.stdout) == (1, True)
    inbox.close()
