"""``wsi-ai serve``: who comes in, and every role on one box from a slide in a folder to a line."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from tests.delivery.servers import free_port
from tests.models_for_tests import red_network, write_model
from tests.stand_in_runs import write_slide
from wsi_ai.cli import app
from wsi_ai.core.flags import STATEMENT


@contextmanager
def serving(folder: Path, *words: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """The address that it prints, and its process."""
    log = folder / "serve.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "wsi_ai", "serve", "--outbox", str(folder / "db"), *words],
            stdout=file, stderr=file, stdin=subprocess.DEVNULL, cwd=folder,
        )  # fmt: skip
    try:
        end = time.monotonic() + 60
        while (found := re.search(r"^open (\S+)", log.read_text(), re.MULTILINE)) is None:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield found[1], process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(90)
        assert "Traceback" not in log.read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--host", "0.0.0.0"), "needs TLS"),
        (("--host", "0.0.0.0", "--cert", "c.pem"), "give --url"),
        (("--url", "https://a.example"), "--url needs --cert"),
        (("--behind-proxy", "http://a.example"), "https://"),
        (("--behind-proxy", "https://a.example", "--url", "https://a.example"), "not both"),
        (("--all",), "--all needs"),
        (("--all", "--slides", ".", "--trust", "RXX", "--out", "out"), "which model"),
    ],
)
def test_what_would_let_others_in_or_leave_slides_unjudged_is_refused_at_once(
    words: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    done = CliRunner().invoke(app, ["serve", "--outbox", str(tmp_path / "db"), *words])
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


def test_one_person_has_the_pages_by_the_printed_address_and_nobody_else(tmp_path: Path) -> None:
    with serving(tmp_path, "--port", "0") as (address, _):
        base = address.partition("/?")[0]
        with httpx.Client(base_url=base) as other:
            assert other.get("/").status_code == 403
            assert other.get("/healthz").status_code == 200
        with httpx.Client(base_url=base) as one:
            page = one.get(address)
            assert page.status_code == 200
            assert STATEMENT in page.text
            for place in ("/", "/queue", "/admin", "/v1/jobs", "/v1/worklist", "/metrics"):
                assert one.get(place).status_code == 200, place
            assert one.get("/nothing").status_code == 404
            assert one.get("/", headers={"host": "evil.example"}).status_code == 403
            written = one.post("/worklist/acknowledgements", headers={"origin": "http://evil"})
            assert written.status_code == 403
            chunks = (b"a" * 65_536 for _ in range(64))  # without a length
            own = {"origin": base, "content-type": "application/x-www-form-urlencoded"}
            large = one.post("/worklist/acknowledgements", headers=own, content=chunks)
            assert large.status_code == 413


def test_a_service_with_people_asks_who_they_are(tmp_path: Path) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with serving(tmp_path, "--port", str(port), "--behind-proxy", base) as (address, _):
        assert address == f"{base}/"
        with httpx.Client(base_url=base, headers={"accept": "text/html"}) as somebody:
            page = somebody.get("/")
            assert (page.status_code, page.headers["location"]) == (303, "/login")
            assert somebody.get("/v1/jobs").status_code == 401
            assert somebody.get("/metrics").status_code == 401
            assert somebody.get("/readyz").status_code == 200
            made = CliRunner().invoke(
                app, ["tokens", "make", "--admin", "--outbox", str(tmp_path / "db")]
            )
            (token,) = re.findall(r"wsi_\S+", made.output)
            own = {"authorization": f"Bearer {token}"}
            assert somebody.get("/v1/jobs", headers=own).status_code == 200
            assert somebody.get("/metrics", headers=own).status_code == 200


def test_from_a_slide_in_a_folder_to_a_line_on_the_list(
    tmp_path: Path,
) -> None:
    model = write_model(tmp_path / "red", red_network(), mpp=0.5)
    slides = tmp_path / "slides"
    slides.mkdir()
    (tmp_path / "cases.csv").write_text("file,trust,accession,slide_id\ncase.tif,RXX,S26-1,A1\n")
    words = ("--all", "--port", "0", "--slides", "slides", "--trust", "RXX", "--model", str(model),
             "--out", "out", "--cases", "cases.csv", "--every-s", "1")  # fmt: skip
    with serving(tmp_path, *words) as (address, _):
        write_slide(slides / "case.tif")
        with httpx.Client(base_url=address.partition("/?")[0]) as one:
            one.get(address)
            end = time.monotonic() + 120
            while not (lines := one.get("/v1/worklist").json()["lines"]):
                assert time.monotonic() < end, one.get("/v1/jobs").text
                time.sleep(0.2)
            assert lines[0]["accession"] == "S26-1"
            assert "S26-1" in one.get("/").text
