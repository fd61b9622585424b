"""The service under the load of a region: slides that come, people who look, and what both wait.

    python -m benchmarks.service [--seconds 60] [--speed-up 10] [--sockets 340] [--viewers 50]
                                 [--lines 18000] [--run-s 2] [--workers 3] [--json] [DATABASE-URL]

A real ``wsi-ai serve`` and stand-in workers (``service_stand_in``: a set time a slide, no pixels),
on a file of SQLite, or on the database of the URL, which is empty.  6,000 slides a day, times
``--speed-up``, one in ten urgent, by the API.  Of the sockets, ``--viewers`` are on slides in pairs
and move 5 times a second; the others look at the worklist, of which a page is asked for twice a
second.  Everything runs on this machine: the load's own cost is in the figures.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import websockets
from sqlalchemy import Engine, func, select

from benchmarks.worklist import seed_lines
from tests.delivery.servers import free_port
from tests.service.rooms.parts import fresh_room, judged
from wsi_ai.delivery.receiver.tables import newest
from wsi_ai.service.access import rights, sessions, tokens
from wsi_ai.service.access.who import ONE_PERSON, REGION, Right, Role
from wsi_ai.service.database.opening import open_service_database
from wsi_ai.service.jobs import JobState, job
from wsi_ai.service.rooms.notes import Room

A_DAY = 6000
MOVES_A_SECOND = 5
TRUST = "R01"


@dataclass
class Seen:
    """Seconds, by what was waited for."""

    submit: list[float] = field(default_factory=list)
    page: list[float] = field(default_factory=list)
    line: list[float] = field(default_factory=list)
    cursor: list[float] = field(default_factory=list)
    submitted: dict[str, tuple[float, bool]] = field(default_factory=dict)
    """When each job was asked for, and whether it is urgent."""
    errors: list[str] = field(default_factory=list)
    until: float = 0.0
    """Lines that come later are not waited for: the sockets are closed."""


@dataclass(frozen=True)
class Place:
    base: str
    cookie: str
    token: str
    rooms: Sequence[Room]


def prepared(engine: Engine, folder: Path, lines: int, rooms: int) -> tuple[str, str, list[Room]]:
    """A session, a token, and slides that people can be at."""
    now = time.time()
    seed_lines(engine, lines)
    token = tokens.make(engine, ONE_PERSON, "benchmark", now + 86_400, now)
    for role in Role:
        for to in ("subject:benchmark", "token:benchmark"):
            rights.grant(engine, ONE_PERSON, to, Right(role, REGION), now)
    person = sessions.Person("subject:benchmark", "Benchmark", trust=TRUST)
    cookie = sessions.begin(engine, person, now)
    made = [fresh_room(TRUST) for _ in range(rooms)]
    for number, room in enumerate(made):
        judged(engine, folder, room, name=f"slide{number}")
    return cookie, token, made


@contextlib.contextmanager
def started(arguments: Sequence[str], log: Path) -> Iterator["subprocess.Popen[str]"]:
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments], stdout=file, stderr=file, text=True
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


async def submits(place: Place, seen: Seen, end: float, every_s: float) -> None:
    headers = {"authorization": f"Bearer {place.token}"}
    number, at = 0, time.monotonic()
    async with httpx.AsyncClient(base_url=place.base, headers=headers, timeout=30) as client:
        while (now := time.monotonic()) < end:
            await asyncio.sleep(max(0.0, at - now))
            at += every_s
            number += 1
            urgent = number % 10 == 0
            case = {"accession": f"B26-{number:06d}", "slide_id": f"B26-{number:06d}-A1"}
            body = {"trust": TRUST, "slide": f"file:///slides/{number}.svs", "case": case,
                    "models": ["demo-tumour@1.1.0"],
                    "priority": "urgent" if urgent else "routine"}  # fmt: skip
            start = time.perf_counter()
            answer = await client.post("/v1/jobs", json=body)
            seen.submit.append(time.perf_counter() - start)
            if answer.status_code == 202:
                seen.submitted[answer.json()["job_id"]] = (time.time(), urgent)
            else:
                seen.errors.append(f"submit: {answer.status_code} {answer.text[:200]}")


async def asks_pages(place: Place, seen: Seen, end: float) -> None:
    cookies = {"wsi-ai": place.cookie}
    async with httpx.AsyncClient(base_url=place.base, cookies=cookies, timeout=30) as client:
        while time.monotonic() < end:
            start = time.perf_counter()
            answer = await client.get("/")
            seen.page.append(time.perf_counter() - start)
            if answer.status_code != 200:
                seen.errors.append(f"page: {answer.status_code}")
            await asyncio.sleep(0.5)


def connected(place: Place) -> Any:
    url = place.base.replace("http", "ws") + "/v1/live"
    headers = {"cookie": f"wsi-ai={place.cookie}"}
    return websockets.connect(
        url, additional_headers=headers, origin=place.base, open_timeout=60, compression=None
    )


async def watches(place: Place, seen: Seen, end: float, after: int) -> None:
    """One that looks at the worklist: how long each new line took from its commit."""
    async with connected(place) as socket:
        await socket.send(json.dumps({"type": "watch", "after": after}))
        while (left := end - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                message = json.loads(await asyncio.wait_for(socket.recv(), left))
                if message["type"] == "lines":
                    seen.line.append(time.time())
                elif message["type"] == "refused":
                    seen.errors.append(str(message))


async def looks(place: Place, room: Room, seen: Seen, end: float) -> None:
    """One of two at a slide: where the other's cursor is, and how old that is."""
    async with connected(place) as socket:
        joining = {"type": "join", "slide": room.slide[:32], "sha256": room.slide, "since": 0}
        await socket.send(json.dumps(joining))

        async def moves() -> None:
            while time.monotonic() < end:
                at = [round(time.time() % 1e5, 4), random.randint(0, 99_999)]
                await socket.send(json.dumps({"type": "here", "at": at, "view": [0, 0, 100, 100]}))
                await asyncio.sleep(1 / MOVES_A_SECOND)

        moving = asyncio.create_task(moves())
        try:
            while (left := end - time.monotonic()) > 0:
                with contextlib.suppress(TimeoutError):
                    message = json.loads(await asyncio.wait_for(socket.recv(), left))
                    if message["type"] == "here" and message.get("at"):
                        seen.cursor.append(time.time() % 1e5 - message["at"][0])
                    elif message["type"] == "refused":
                        seen.errors.append(str(message))
        finally:
            moving.cancel()


async def load(place: Place, seen: Seen, options: argparse.Namespace, after: int) -> None:
    end = time.monotonic() + options.seconds
    every_s = 86_400 / (A_DAY * options.speed_up)
    tasks = [submits(place, seen, end, every_s), asks_pages(place, seen, end)]
    tasks += [looks(place, place.rooms[n // 2], seen, end) for n in range(options.viewers)]
    one = Seen()
    others = [watches(place, one, end, after) for _ in range(options.sockets - options.viewers)]
    done = await asyncio.gather(*tasks, *others, return_exceptions=True)
    seen.errors += [repr(error) for error in done if isinstance(error, BaseException)]
    seen.line = one.line
    seen.errors += one.errors


def began(logs: Sequence[Path]) -> dict[str, float]:
    found = [re.findall(r"^began (\S+) (\S+)$", log.read_text(), re.MULTILINE) for log in logs]
    return {name: float(at) for one in found for name, at in one}


def share(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("nan")


def line_delays(engine: Engine, seen: Seen, since: float) -> list[float]:
    """From each line's commit to the first socket that had lines after it."""
    with engine.connect() as connection:
        meanwhile = newest.c.at > since, newest.c.at < seen.until
        found = select(newest.c.at).where(*meanwhile).order_by(newest.c.at)
        committed = [row.at for row in connection.execute(found)]
    ordered = sorted(seen.line)
    delays = []
    for at in committed:
        after = [one - at for one in ordered if 0 <= one - at < 5]
        delays.append(after[0] if after else float("inf"))
    return delays


def left_after(engine: Engine, wait_s: float) -> int:
    """Number of jobs that are not done, once they had so long."""
    end = time.monotonic() + wait_s
    while True:
        with engine.connect() as connection:
            open_ones = job.c.state.in_([JobState.WAITING, JobState.RUNNING])
            left = connection.scalar(select(func.count()).where(open_ones)) or 0
        if not left or time.monotonic() > end:
            return int(left)
        time.sleep(0.5)


def measured(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    database = options.database or str(folder / "service.db")
    engine = open_service_database(database)
    cookie, token, rooms = prepared(engine, folder, options.lines, (options.viewers + 1) // 2)
    (folder / "access.toml").write_text(f'[trusts.{TRUST}]\nslides_below = ["/slides"]\n')
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    serve = ["wsi_ai", "serve", "--outbox", database, "--port", str(port), "--behind-proxy", base,
             "--access", str(folder / "access.toml"), "--model", "models/demo-tumour"]  # fmt: skip
    stand_in = ["benchmarks.service_stand_in", database, str(options.run_s), str(folder / "audit")]
    logs = [folder / f"worker{n}.log" for n in range(options.workers)]
    seen, start = Seen(), time.time()
    with contextlib.ExitStack() as running:
        served = running.enter_context(started(serve, folder / "serve.log"))
        for log in logs:
            running.enter_context(started(stand_in, log))
        until_ready(base, folder / "serve.log")
        before = memory_mb(served.pid)
        asyncio.run(load(Place(base, cookie, token, rooms), seen, options, 1))
        seen.until = time.time() - 2
        after = memory_mb(served.pid)
        left = left_after(engine, 60)
    log = (folder / "serve.log").read_text()
    seen.errors += re.findall(r"^.*(?:Traceback|ERROR).*$", log, re.MULTILINE)
    return figures(engine, seen, (logs, start, left), (before, after))


def figures(
    engine: Engine, seen: Seen, run: tuple[Sequence[Path], float, int], memory: tuple[float, float]
) -> dict[str, Any]:
    logs, start, left = run
    begun = began(logs)
    waits = [begun[name] - at for name, (at, urgent) in seen.submitted.items()
             if urgent and name in begun]  # fmt: skip
    with engine.connect() as connection:
        lines = connection.scalar(select(func.count()).where(newest.c.at > start)) or 0
    delays = line_delays(engine, seen, start)
    rows = {"submit": seen.submit, "page of 100 lines": seen.page, "cursor to cursor": seen.cursor,
            "new line on screen": delays, "urgent until it starts": waits}  # fmt: skip
    return {
        "seconds": {
            name: {"n": len(found), "p50": share(found, 0.5), "p95": share(found, 0.95),
                   "worst": max(found, default=float("nan"))}
            for name, found in rows.items()
        },
        "submitted": len(seen.submitted), "lines": lines, "left": left,
        "lost": len(seen.submitted) - lines,
        "memory_mb": {"before": memory[0], "after": memory[1]},
        "errors": seen.errors[:10], "load_average": os.getloadavg()[0],
    }  # fmt: skip


def until_ready(base: str, log: Path) -> None:
    end = time.monotonic() + 300
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{base}/readyz").status_code == 200:
                return
        if time.monotonic() > end:
            raise SystemExit(log.read_text())
        time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database", nargs="?")
    for name, value in (("seconds", 60), ("speed-up", 10), ("sockets", 340), ("viewers", 50),
                        ("lines", 18_000), ("run-s", 2), ("workers", 3)):  # fmt: skip
        parser.add_argument(f"--{name}", type=float if name == "run-s" else int, default=value)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measured(options, Path(folder))
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{options.sockets} sockets, {options.viewers} of them on slides; {options.lines} lines;"
          f" {A_DAY * options.speed_up} slides a day for {options.seconds} s")  # fmt: skip
    for name, row in found["seconds"].items():
        told = "  ".join(f"{what} {1000 * row[what]:8.1f} ms" for what in ("p50", "p95", "worst"))
        print(f"{name:26} n {row['n']:6}  {told}")
    print({name: value for name, value in found.items() if name != "seconds"})


if __name__ == "__main__":
    main()
