"""A service with one slide as a process of its own, and browsers at it."""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from tests.delivery.servers import HOST, free_port
from wsi_ai.service.database.opening import open_service_database
from wsi_ai.service.jobs import Asked, JobState, job, row_of

LOADED = """() => Boolean(window.wsiAi?.shown && window.viewer?.world.getItemCount()
  && viewer.world.getItemAt(0).getFullyLoaded())"""
IN_ROOM = "() => Boolean(window.room?.people.you)"
ALL_SENT = "() => room.notes.pending.length === 0"
NOTES = """() => JSON.stringify([...room.notes.log].map(([id, {last}]) =>
  [id, last.revision, last.body?.text ?? null, last.name]).sort())"""
TRUST = "RXX"
RIGHTS = [["read", f"trust:{TRUST}"], ["annotate", f"trust:{TRUST}"]]
AMY = {"subject": "subject:amy", "name": "Dr Amy Okafor", "trust": TRUST, "rights": RIGHTS}
BEN = {"subject": "subject:ben", "name": "Prof Ben Lindqvist", "trust": "RYY",
       "rights": [["read", "trust:RYY"], ["read", f"trust:{TRUST}"],
                  ["annotate", f"trust:{TRUST}"]]}  # fmt: skip
CAT = {"subject": "subject:cat", "name": "Cat Mbeki", "trust": "RZZ",
       "rights": [["read", "trust:RZZ"], ["annotate", "trust:RZZ"]]}  # fmt: skip


class Service:
    """May be killed and started again; what it wrote to its log is in ``log``."""

    def __init__(self, folder: Path, database: str, slide: Path, results: Path) -> None:
        self.folder, self.database, self.port = folder, database, free_port()
        self.people = folder / "people.json"
        self.log = folder / "server.log"
        self.let(amy=AMY, ben=BEN, cat=CAT)
        self.sha256 = _add_job(database, slide, results)
        self.sid = self.sha256[:32]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"

    def let(self, **people: Any) -> None:
        aside = self.people.with_suffix(".new")
        aside.write_text(json.dumps(people))
        aside.replace(self.people)

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.service.rooms.server", self.database]
        command += [str(self.people), str(self.folder / "cache"), str(self.port)]
        with self.log.open("ab") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            self._process = subprocess.Popen(command, **streams)  # type: ignore[call-overload]
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self._process is not None
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)

    def check(self) -> None:
        """A mistake that clients recover from by themselves is a mistake all the same."""
        log = self.log.read_text()
        assert "Traceback" not in log, log
        assert "ERROR" not in log, log

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.address}/static/common/live.js", timeout=2).close()
        except (urllib.error.URLError, OSError):
            return False
        return True


@contextmanager
def service(folder: Path, database: str, slide: Path, results: Path) -> Iterator[Service]:
    running = Service(folder, database, slide, results)
    running.start()
    try:
        yield running
    finally:
        running.stop()


class Person:
    """A browser of their own."""

    def __init__(self, browser: Any, at: Service, who: str, size: tuple[int, int]) -> None:
        self.at, self.said = at, list[str]()
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]})
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("console", self._note)
        self.who = who

    def _note(self, line: Any) -> None:
        if line.type == "error" and "WebSocket" not in line.text and "net::" not in line.text:
            self.said.append(line.text)

    def open(self, until: str = IN_ROOM) -> None:
        path = f"/slides/{self.at.sid}"
        self.page.goto(f"{self.at.address}/log-in?who={self.who}&to={path}")
        self.until(LOADED)
        self.until(until)

    def run(self, script: str, argument: Any = None) -> Any:
        return self.page.evaluate(script, argument)

    def until(self, script: str, argument: Any = None, within_s: float = 20) -> Any:
        deadline = time.monotonic() + within_s
        while not (found := self.page.evaluate(script, argument)):
            assert time.monotonic() < deadline, (script, argument, self.said, self.state())
            time.sleep(0.05)
        return found

    def state(self) -> Any:
        return self.run("() => [window.room?.live.state, room?.notes.pending, room?.notes.seq]")

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).text_content())

    def draw(self, kind: str, *places: tuple[float, float], text: str = "") -> None:
        """With the mouse; places are parts of the stage."""
        page, box = self.page, self.page.locator("#stage").bounding_box()
        page.click(f"[data-tool={kind}]")
        spots = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
        if kind in ("rectangle", "ruler"):
            page.mouse.move(*spots[0])
            page.mouse.down()
            page.mouse.move(*spots[1], steps=4)
            page.mouse.up()
        else:
            for spot in spots:
                page.mouse.click(*spot)
                page.wait_for_timeout(350)  # or else two clicks are a double one
            if kind == "polygon":
                page.keyboard.press("Enter")
        page.fill("#card-input", text)
        page.click("#card-save")

    def close(self) -> None:
        self.context.close()


def _add_job(database: str, slide: Path, results: Path) -> str:
    """One that is done.  Returns the slide's fingerprint."""
    case = {"trust": TRUST, "accession": "S26-1042", "slide_id": "A1"}
    asked = Asked(trust=TRUST, slide_uri=slide.as_uri(), models=("m@1",), submitted_by="tests",
                  case=case)  # fmt: skip
    row = row_of(asked, time.time()) | {
        "state": JobState.DONE, "level": "expedite", "result_uri": results.as_uri(),
    }  # fmt: skip
    engine = open_service_database(database)
    with engine.begin() as connection:
        connection.execute(insert(job).values(row))
    engine.dispose()
    return str(json.loads((results / "flag.json").read_text())["slide"]["image_sha256"])
