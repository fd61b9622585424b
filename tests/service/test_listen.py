"""``wsi-ai listen``: a real process, real connections, a real kill."""

import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hl7.exceptions import HL7Exception
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.delivery.servers import HOST, free_port, until
from tests.delivery.test_listener import code, message, sent
from tests.models_for_tests import red_network, write_model
from wsi_ai.cli import app
from wsi_ai.delivery.outbox import open_database
from wsi_ai.errors import InputError
from wsi_ai.service.jobs import JobState
from wsi_ai.service.opening import open_queue
from wsi_ai.service.slide_places import (
    NotClear,
    NotReady,
    address_of,
    check_template,
    found_file,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "red", red_network(), mpp=0.5)


def words(folder: Path, model: Path, *more: str) -> list[str]:
    return ["listen", "--outbox", f"{folder}/outbox.db", "--trust", "RXX", "--model", str(model),
            "--slides", f"{folder}/scans/{{accession}}/{{slide_id}}*.svs", *more]  # fmt: skip


@contextmanager
def listening(folder: Path, model: Path, *more: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    port = free_port()
    command = [sys.executable, "-m", "wsi_ai", *words(folder, model, "--port", str(port), *more)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "listening" in process.stdout.readline()
        try:
            yield port, process
        finally:
            process.kill()


def slides_in(folder: Path) -> set[str]:
    engine = open_database(f"{folder}/outbox.db")
    lines = open_queue(engine).lines(list(JobState))
    engine.dispose()
    return {line.case["slide_id"] for line in lines}


def notice(number: int, state: str = "Y") -> bytes:
    return message(f"M{number}", state, f"S26-1-A{number}")


def test_of_a_hundred_notices_at_once_none_that_was_acknowledged_is_lost_by_a_kill(
    tmp_path: Path, model: Path
) -> None:
    acknowledged: dict[int, float] = {}

    def one(number: int, port: int) -> None:
        start = time.perf_counter()
        try:
            (answer,) = sent(port, notice(number))
        except (OSError, HL7Exception):  # it was killed
            return
        if code(answer) == "AA":
            acknowledged[number] = time.perf_counter() - start

    def burst(port: int, meanwhile: Callable[[], None]) -> None:
        threads = [threading.Thread(target=one, args=(n, port)) for n in range(100)]
        for thread in threads:
            thread.start()
        meanwhile()
        for thread in threads:
            thread.join(20)

    with listening(tmp_path, model) as (port, process):

        def kill() -> None:
            until(lambda: len(acknowledged) >= 40, "too slow")
            process.send_signal(signal.SIGKILL)

        burst(port, kill)
    killed_after = len(acknowledged)
    assert {f"S26-1-A{number}" for number in acknowledged} <= slides_in(tmp_path)
    with listening(tmp_path, model) as (port, process):
        burst(port, lambda: None)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert 40 <= killed_after <= 100
    assert slides_in(tmp_path) == {f"S26-1-A{number}" for number in range(100)}
    assert max(acknowledged.values()) < 15  # 1 s on a machine of its own


def test_only_peers_that_were_named_may_withdraw(
    tmp_path: Path, model: Path, authority: Path
) -> None:
    def say(port: int) -> bytes:
        context = ssl.create_default_context(cafile=authority / "ca.pem")
        context.load_cert_chain(authority / "client.pem", authority / "client.key")
        try:
            with (
                socket.create_connection((HOST, port), timeout=10) as plain,
                context.wrap_socket(plain, server_hostname=HOST) as caller,
            ):
                caller.sendall(b"\x0b" + notice(1, "N") + b"\x1c\r")
                return caller.recv(4096)
        except OSError:
            return b""

    tls = ["--cert", f"{authority}/server.pem", "--key", f"{authority}/server.key",
           "--ca", f"{authority}/ca.pem"]  # fmt: skip
    with listening(tmp_path, model, *tls, "--peer", "another.example") as (port, _):
        assert say(port) == b""
    with listening(tmp_path, model, *tls, "--peer", HOST) as (port, _):
        assert b"MSA|AA" in say(port)


def test_a_notice_that_names_no_place_is_refused_and_the_others_go_on(
    tmp_path: Path, model: Path
) -> None:
    with listening(tmp_path, model) as (port, _):
        strange = [message("M1", "Y", slide) for slide in ("..", "a/../b", "x" * 300)]
        answers = sent(port, *strange, notice(2))
    assert [code(answer) for answer in answers] == ["AR", "AR", "AR", "AA"]
    assert slides_in(tmp_path) == {"S26-1-A2"}


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["--host", "0.0.0.0"], "this machine only"),
        (["--peer", "a"], "name their authority"),
        (["--slides", "/scans/{patient}.svs"], "{accession}"),
        (["--slides", "/scans/{accession}.svs"], "one slide"),
        (["--slides", "scans/{slide_id}.svs"], "absolute path"),
        (["--slides", "dicomweb://{slide_id}/x"], "host"),
        (["--slides", "/scans/{slide_id}}.svs"], "{accession}"),
        (["--model", "/no/such/model"], "model"),
    ],
)
def test_a_wrong_command_is_refused_before_anything_listens(
    tmp_path: Path, model: Path, more: list[str], why: str
) -> None:
    done = CliRunner().invoke(app, words(tmp_path, model, *more))
    assert done.exit_code == 2
    assert why in done.output + done.stderr


@given(value=st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30))
def test_whatever_a_notice_says_leads_to_one_name_in_the_sites_own_folder(
    tmp_path_factory: pytest.TempPathFactory, value: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "a [b] 100%"
    folder.mkdir(exist_ok=True)
    values = {"slide_id": value}
    try:
        address = address_of(f"{folder}/{{slide_id}}*.svs", values)
    except InputError:
        return
    with pytest.raises(NotReady):
        found_file(address)
    try:
        (path := folder / f"{value} (1).svs").touch()
    except OSError:
        return  # too long a name for this disk
    try:
        assert found_file(address) == path
    finally:
        path.unlink()


def test_an_asterisk_of_a_value_stands_for_itself(tmp_path: Path) -> None:
    for name in ("S1.svs", "S2.svs", "S*.svs"):
        (tmp_path / name).touch()
    assert (
        found_file(address_of(f"{tmp_path}/{{slide_id}}.svs", {"slide_id": "S*"})).name == "S*.svs"
    )
    with pytest.raises(NotClear):
        found_file(address_of(f"{tmp_path}/{{slide_id}}*.svs", {"slide_id": "S"}))
    assert address_of("dicomweb://h/studies/{study_uid}/series/{series_uid}",
                      {"study_uid": "1.2", "series_uid": "1.3"}) == (
        "dicomweb://h/studies/1.2/series/1.3")  # fmt: skip
    for template in ("/s/{slide_id}.svs", "https://h/{series_uid}"):
        check_template(template)
