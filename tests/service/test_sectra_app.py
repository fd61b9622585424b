"""The application of a Sectra PACS, served for real, called by a strict double of the PACS."""

import logging
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.delivery.servers import HOST, free_port, serving, until
from tests.delivery.test_sectra import endpoint_of
from tests.models_for_tests import red_network, write_model
from tests.service.conftest import asked
from tests.service.test_work import FAST
from tests.stand_in_runs import write_slide
from wsi_ai.cli import app as command_line
from wsi_ai.delivery.messages import Endpoint
from wsi_ai.delivery.posting import Posting, open_posting
from wsi_ai.delivery.sinks.http import Answer
from wsi_ai.delivery.sinks.sectra_api import open_api
from wsi_ai.errors import TryAgain
from wsi_ai.models.manifest import load_card
from wsi_ai.service.database.opening import make_service_tables
from wsi_ai.service.jobs import JobState
from wsi_ai.service.local_runs import LocalRuns
from wsi_ai.service.queue import Queue
from wsi_ai.service.sectra.app import sectra_app
from wsi_ai.service.sectra.application import Application
from wsi_ai.service.sectra.download import safe_name, save
from wsi_ai.service.sectra.fetch import PacsFetch
from wsi_ai.service.sectra.image_info import PacsSite, address_of, is_of
from wsi_ai.service.work import Worker
from wsi_ai.testing import SectraPacs, SectraSlide, serving_pacs

SECRET = "an-unguessable-secret"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "red", red_network(), mpp=0.5)


@pytest.fixture(scope="module")
def tiff(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_slide(tmp_path_factory.mktemp("slide") / "a.tif").read_bytes()


@pytest.fixture
def pacs(tiff: bytes) -> Iterator[SectraPacs]:
    slide = SectraSlide("guid-1", "S26-1-A1-1", "S26-1", width=512, height=512,
                        files=(("../../etc/S26 1.tif", tiff),))  # fmt: skip
    with serving_pacs(SectraPacs([slide])) as pacs:
        yield pacs


@pytest.fixture
def posting(pacs: SectraPacs, tmp_path: Path) -> Iterator[Posting]:
    (tmp_path / "password").write_text(pacs.password)
    (tmp_path / "sinks.toml").write_text(
        f"[[sink]]\nname = 'pacs'\nurl = 'sectra+{pacs.url}'\ntrusts = ['RXX']\n"
        f"[sink.oauth]\nclient_id = '{pacs.user}'\nclient_secret = 'file:{tmp_path}/password'\n"
    )
    (tmp_path / "out").mkdir()
    with open_posting([str(tmp_path / "sinks.toml")], str(tmp_path / "outbox.db")) as posting:
        yield posting


@pytest.fixture
def queue(posting: Posting) -> Queue:
    engine = posting.relay.outbox.engine
    make_service_tables(engine)
    return Queue(engine, time.time, Random(1))


@pytest.fixture
def application(pacs: SectraPacs, queue: Queue, model: Path) -> Application:
    site = PacsSite(endpoint_of(pacs), "RXX", "net-2")
    return Application(queue, site, [(str(model), load_card(model))], f"http://x/{SECRET}",
                       frozenset({"H&E"}))  # fmt: skip


@pytest.fixture
def base(application: Application) -> Iterator[str]:
    with serving(sectra_app(application, SECRET)) as base:  # type: ignore[arg-type]
        yield f"{base}/{SECRET}"


@pytest.fixture
def worker(queue: Queue, posting: Posting, tmp_path: Path, pacs: SectraPacs) -> Worker:
    (endpoint,) = posting.endpoints
    fetch = PacsFetch(endpoint, queue)
    runs = LocalRuns(tmp_path / "out", queue, posting, fetches={address_of(endpoint, ""): fetch})
    return Worker(queue, runs, threading.Event(), FAST)


def call(pacs: SectraPacs, **more: Any) -> dict[str, Any]:
    told = {"applicationId": "wsi-ai", "slideId": "guid-1", "callbackInfo": pacs.callback()}
    return told | more


def create(pacs: SectraPacs, **more: Any) -> dict[str, Any]:
    asked = {"action": "create", "input": {"type": "wholeSlide"}, "cancellationToken": "c1"}
    return call(pacs, **asked | more)


def post(url: str, content: Any) -> Any:
    answer = httpx.post(url, json=content, headers={"X-Sectra-ApiVersion": "1.10"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Sectra-ApiVersion"] == "1.9"
    assert answer.headers["X-Sectra-SoftwareVersion"]
    return answer.json()


def test_it_registers_and_says_its_version(base: str) -> None:
    for end in ("", "/"):
        told = httpx.get(base + end).json()
        assert told["applicationId"] == "wsi-ai"
        assert told["url"].endswith(SECRET)
        assert told["inputTemplate"] == {"type": "wholeSlide"}
        assert set(told) == {"applicationId", "displayName", "manufacturer", "url",
                             "inputTemplate", "context"}  # fmt: skip
    assert httpx.get(f"{base}/info").json()["apiVersion"] == "1.9"


def test_from_notice_to_result_on_the_slide(
    pacs: SectraPacs, base: str, queue: Queue, worker: Worker, posting: Posting, tmp_path: Path
) -> None:
    for _ in range(3):
        assert post(f"{base}/imagenotification", call(pacs, imageInfo={})) == {}
    assert queue.counts() == {"waiting": 1}
    pacs.expire_tokens()  # those of notices live no longer than the notices
    assert worker.step()
    assert posting.drain(10) == 0
    (flag,) = posting.relay.outbox.flags()
    assert flag["case"]["accession"]["value"] == "S26-1"
    assert flag["slide"]["slide_id"]["value"] == "S26-1-A1-1"
    assert flag["tenant"] == {"network": "net-2", "trust_ods": "RXX"}
    (result,) = pacs.results_on("guid-1")
    assert result["data"]["context"]["flagId"] == flag["flag_id"]
    assert result["data"]["context"]["level"] == flag["result"]["level"]
    assert pacs.refusals == []
    tokens = ("call-", "alone-", pacs.password)
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name != "password":
            content = path.read_bytes()
            assert not [word for word in tokens if word.encode() in content], path.name
    assert not list(tmp_path.parent.rglob("etc"))


def test_a_person_sees_at_once_that_it_is_in_progress_and_then_what_came_out(
    pacs: SectraPacs, base: str, queue: Queue, worker: Worker, posting: Posting
) -> None:
    start = time.perf_counter()
    stored = post(base, create(pacs))
    assert time.perf_counter() - start < 10  # it waits for no slide
    assert stored["id"] == 1
    assert "in progress" in stored["displayResult"]
    assert post(base, create(pacs))["id"] == 1
    assert worker.step()
    assert posting.drain(10) == 0
    (result,) = pacs.results_on("guid-1")
    assert result["id"] == 1
    assert "in progress" not in result["displayResult"]
    again = post(base, create(pacs))
    assert again == result
    assert post(base, call(pacs, action="modify", input={})) == result
    assert post(base, call(pacs, action="delete")) == {}
    assert queue.counts() == {"done": 1}
    assert pacs.refusals == []


def test_who_asked_may_cancel_and_what_was_announced_goes_on(
    pacs: SectraPacs, base: str, queue: Queue, worker: Worker
) -> None:
    post(base, create(pacs))
    assert post(base, call(pacs, action="cancel", cancellationToken="another")) == []
    assert queue.counts() == {"waiting": 1}
    assert post(base, call(pacs, action="cancel", cancellationToken="c1")) == []
    assert queue.counts() == {"cancelled": 1}
    assert "cancelled; not assessed" in pacs.results_on("guid-1")[0]["displayResult"]
    post(f"{base}/imagenotification", call(pacs))
    post(base, create(pacs))
    assert post(base, call(pacs, action="cancel", cancellationToken="c1")) == []
    assert queue.counts() == {"cancelled": 1, "waiting": 1}


def test_what_was_said_before_the_pacs_was_a_sink_is_shown_when_a_person_asks(
    pacs: SectraPacs, base: str, queue: Queue, worker: Worker, posting: Posting, tmp_path: Path
) -> None:
    """Else it would be in progress for ever: nothing new is to be said."""
    post(base, create(pacs))
    elsewhere = replace(posting, endpoints=(replace(posting.endpoints[0], name="elsewhere"),))
    runs = replace(worker.runs, posting=elsewhere)  # type: ignore[type-var]
    assert replace(worker, runs=runs).step()
    (flag,) = posting.relay.outbox.flags()
    assert "in progress" in pacs.results_on("guid-1")[0]["displayResult"]
    address, models = address_of(posting.endpoints[0], "guid-1"), worker_models(queue)
    more = {"slide_uri": address, "models": models, "network": "net-2", "same": ("again",)}
    queue.submit(asked(**more))
    assert worker.step()
    assert posting.drain(5) >= 0
    until(lambda: "in progress" not in pacs.results_on("guid-1")[0]["displayResult"], "stays", 5)
    assert flag["flag_id"] == pacs.results_on("guid-1")[0]["data"]["context"]["flagId"]


def worker_models(queue: Queue) -> tuple[str, ...]:
    (line,) = queue.lines([JobState.DONE])
    return tuple(line.models)


def test_other_stains_are_passed_over_and_unknown_ones_are_not(
    pacs: SectraPacs, base: str, queue: Queue
) -> None:
    post(f"{base}/imagenotification", call(pacs, imageInfo={"staining": {"displayName": "Ki67"}}))
    assert queue.counts() == {}
    post(f"{base}/imagenotification", call(pacs, imageInfo={"staining": {"displayName": "H&E"}}))
    post(f"{base}/imagenotification", call(pacs, slideId="guid-2", imageInfo=None))
    assert queue.counts() == {"waiting": 2}


NOT_FOR_US: list[dict[str, Any]] = [
    {"applicationId": "another"},
    {"slideId": ".."},
    {"slideId": ""},
    {"slideId": 7},
    {"slideId": "a\nb"},
    {"slideId": "x" * 201},
    {"callbackInfo": None},
    {"callbackInfo": {"url": "https://evil.example/v1", "token": "t"}},
    {"callbackInfo": {"url": "http://127.0.0.1:1/v1", "token": "t"}},
    {"callbackInfo": {"url": "http://[", "token": "t"}},
    {"action": "explode"},
    {"input": {"type": "taggedPolygon"}},
    {"input": None},
]


def test_a_call_that_is_not_for_us_is_refused_and_nothing_is_asked_of_anyone(
    pacs: SectraPacs, base: str, queue: Queue
) -> None:
    for more in NOT_FOR_US:
        assert httpx.post(base, json=create(pacs, **more)).status_code == 400, more
    assert queue.counts() == {}
    assert pacs.requests == []


def test_a_token_that_is_none_is_refused(pacs: SectraPacs, base: str) -> None:
    for token in ("", "a\r\nX-Evil: 1", "\u00e9", None):
        told = create(pacs, callbackInfo={"url": pacs.url, "token": token})
        assert httpx.post(base, json=told).status_code in (400, 502)


def test_what_is_no_call_is_refused_and_the_next_one_is_taken(
    pacs: SectraPacs, base: str, queue: Queue
) -> None:
    for body in (b"", b"{", b"[]", b"\xff", b"[" * 100_000, b"x" * (2 << 20)):
        assert httpx.post(f"{base}/imagenotification", content=body).status_code == 400
    post(f"{base}/imagenotification", call(pacs))
    assert queue.counts() == {"waiting": 1}


def test_without_the_secret_there_is_nothing(base: str, pacs: SectraPacs, queue: Queue) -> None:
    wrong = base.replace(SECRET, "another-secret-of-some")
    answers = [httpx.get(wrong), httpx.get(f"{wrong}/info"), httpx.post(wrong, json=create(pacs)),
               httpx.get(base.removesuffix(SECRET))]  # fmt: skip
    assert [one.status_code for one in answers] == [404] * 4
    assert queue.counts() == {}


def test_a_slide_that_was_deleted_meanwhile_is_said_to_be_gone_and_the_others_go_on(
    pacs: SectraPacs, base: str, queue: Queue, worker: Worker, posting: Posting, tiff: bytes
) -> None:
    info = pacs.slides[0].info
    post(f"{base}/imagenotification", call(pacs, imageInfo=info))
    pacs.slides[:] = [SectraSlide("guid-2", "S26-1-A1-2", "S26-1", width=512, height=512,
                                  files=(("b.tif", tiff),))]  # fmt: skip
    post(f"{base}/imagenotification", call(pacs, slideId="guid-2"))
    assert worker.step()
    assert worker.step()
    assert queue.counts() == {"done": 2}
    levels = {flag["slide"]["slide_id"]["value"]: flag for flag in posting.relay.outbox.flags()}
    gone = levels["S26-1-A1-1"]["result"]
    assert (gone["level"], gone["explanation"]) == (
        "not_assessed", "the PACS does not have the slide any more"
    )  # fmt: skip
    assert levels["S26-1-A1-2"]["result"]["level"] != "not_assessed"


def test_a_pacs_that_is_away_is_asked_again_later(
    pacs: SectraPacs, base: str, queue: Queue, worker: Worker
) -> None:
    post(f"{base}/imagenotification", call(pacs))
    password, pacs.password = pacs.password, "changed"
    assert worker.step()
    (line,) = queue.lines([JobState.WAITING])
    assert "token server answered 401" in line.reason
    pacs.password = password
    assert worker.step()
    assert queue.counts() == {"done": 1}


def test_logs_name_no_slide(
    pacs: SectraPacs, base: str, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    post(f"{base}/imagenotification", call(pacs))
    httpx.post(base, json=create(pacs, action="S26-1-A1-1"))
    assert worker.step()
    ours = [one.getMessage() for one in caplog.records if one.name.startswith("wsi_ai")]
    assert not [text for text in ours if "S26" in text or "guid" in text]


@given(name=st.text(max_size=300))
def test_a_name_from_a_server_is_one_plain_name(name: str) -> None:
    safe = safe_name(name)
    assert Path(safe).name == safe
    assert not safe.startswith((".", "-"))
    assert safe.isascii()
    assert 0 < len(safe) <= 120


def saved(folder: Path, body: bytes, kind: str, pieces: int = 7, **headers: str) -> Path:
    answer = Answer(200, {"content-type": kind, **headers}, b"")
    return save(answer, iter([body[n : n + pieces] for n in range(0, len(body), pieces)]), folder)


def parts(*named: tuple[str, bytes], end: bytes = b"--bnd--\r\n") -> bytes:
    return b"".join(
        b'--bnd\r\nContent-Disposition: attachment; filename="%s"\r\n\r\n%s\r\n'
        % (name.encode(), content)
        for name, content in named
    ) + end  # fmt: skip


RELATED = 'multipart/related; boundary="bnd"'


def test_several_files_are_kept_under_plain_names(tmp_path: Path) -> None:
    folder = saved(tmp_path, parts(("../a.dcm", b"A" * 3000), ("a.dcm", b"\r\n--bn"), ("", b"C")),
                   RELATED)  # fmt: skip
    assert folder == tmp_path
    contents = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert contents == {"a.dcm": b"A" * 3000, "1-a.dcm": b"\r\n--bn", "slide": b"C"}


def test_a_mirax_slide_lies_beside_the_folder_of_its_name(tmp_path: Path) -> None:
    body = parts(("Index.dat", b"I"), ("s.mrxs", b"J"), ("Data0000.dat", b"D"))
    assert saved(tmp_path, body, RELATED) == tmp_path / "s.mrxs"
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["Data0000.dat", "Index.dat"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (parts(("a.dcm", b"A"), end=b""), RELATED),
        (b"--bnd--\r\n", RELATED),
        (b"nonsense", RELATED),
        (parts(("a.dcm", b"A")), "multipart/related"),
        (b"", RELATED),
    ],
)
def test_files_that_break_off_are_fetched_again(tmp_path: Path, body: bytes, kind: str) -> None:
    with pytest.raises(TryAgain):
        saved(tmp_path, body, kind)


def test_a_file_that_is_shorter_than_was_said_is_fetched_again(tmp_path: Path) -> None:
    with pytest.raises(TryAgain):
        saved(tmp_path, b"A" * 9, "application/octet-stream", **{"content-length": "10"})


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://pacs.example/v1", True),
        ("https://pacs.example:443/v1/", True),
        ("https://PACS.example/v1", True),
        ("https://pacs.example/v10", False),
        ("http://pacs.example/v1", False),
        ("https://pacs.example.evil/v1", False),
        ("https://pacs.example@evil.example/v1", False),
        ("https://user@pacs.example/v1", False),
        ("https://pacs.example/v1?x", False),
        ("https://pacs.example:99999/v1", False),
        ("", False),
    ],
)
def test_only_our_own_pacs_is_called_back(url: str, *, same: bool) -> None:
    assert is_of(Endpoint("pacs", "sectra+https://pacs.example/v1", None), url) is same


def test_a_tile_can_be_asked_for(pacs: SectraPacs) -> None:
    with closing(open_api(endpoint_of(pacs))) as api:
        api.begin()
        assert api.tile("guid-1", 8, 0, 0, datetime.now(UTC)).startswith(b"\xff\xd8")


def test_the_command_listens_beyond_this_machine_only_to_whom_it_knows(
    tmp_path: Path, model: Path, posting: Posting
) -> None:
    words = ["sectra-app", "--outbox", f"{tmp_path}/outbox.db", "--send", f"{tmp_path}/sinks.toml",
             "--trust", "RXX", "--model", str(model)]  # fmt: skip
    (tmp_path / "short").write_text("short")
    for more, why in (
        (["--host", "0.0.0.0"], "beyond this machine"),
        (["--secret", f"file:{tmp_path}/short"], "16 signs"),
        (["--sink", "none"], "--sink"),
    ):
        done = CliRunner().invoke(command_line, [*words, *more])
        assert (done.exit_code, why in done.output + done.stderr) == (2, True), done.output
    wrong = [*words[:6], "RYY", *words[7:]]
    assert "does not take" in CliRunner().invoke(command_line, wrong).output


def test_the_command_serves_in_tls_to_a_pacs_that_shows_its_certificate(
    tmp_path: Path, model: Path, posting: Posting, authority: Path, pacs: SectraPacs, queue: Queue
) -> None:
    port = free_port()
    words = [sys.executable, "-m", "wsi_ai", "sectra-app", "--outbox", f"{tmp_path}/outbox.db",
             "--send", f"{tmp_path}/sinks.toml", "--trust", "RXX", "--model", str(model),
             "--port", str(port), "--cert", f"{authority}/server.pem",
             "--key", f"{authority}/server.key", "--ca", f"{authority}/ca.pem",
             "--url", "https://proxy.example/wsi"]  # fmt: skip
    context = ssl.create_default_context(cafile=str(authority / "ca.pem"))
    stranger = ssl.create_default_context(cafile=str(authority / "ca.pem"))
    context.load_cert_chain(authority / "client.pem", authority / "client.key")
    base = f"https://{HOST}:{port}"
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            with httpx.Client(verify=context) as client:

                def registers() -> bool:
                    try:
                        return bool(client.get(base).json()["url"] == "https://proxy.example/wsi/")
                    except httpx.TransportError:
                        return False

                until(registers, "it did not start", 30)
                told = client.post(f"{base}/imagenotification", json=call(pacs))
                assert told.status_code == 200
            with httpx.Client(verify=stranger) as client, pytest.raises(httpx.TransportError):
                client.get(base)
        finally:
            process.terminate()
    assert queue.counts() == {"waiting": 1}


def test_no_call_is_redirected(base: str, pacs: SectraPacs) -> None:
    """Kludex/starlette#464, #1396, #2748, eneo-ai/eneo#871: behind a proxy a redirect for a slash
    leads to another host or to plain HTTP, and a POST loses its content."""
    for end in ("", "/"):
        told = httpx.post(f"{base}/imagenotification{end}", json=call(pacs))
        assert told.status_code == 200
        assert httpx.get(f"{base}{end}").status_code == 200
    assert httpx.get(f"{base}//info").status_code == 404
