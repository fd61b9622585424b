"""Workers in processes of their own that end, or stand still, at one point of their way."""

import logging
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Connection

from wsi_ai.app import RunOptions
from wsi_ai.delivery.posting import open_posting
from wsi_ai.results.slide import Pages
from wsi_ai.service.database.opening import make_service_tables
from wsi_ai.service.jobs import Job
from wsi_ai.service.local_lines import LocalLines
from wsi_ai.service.local_runs import LocalRuns
from wsi_ai.service.queue import Answer, Queue
from wsi_ai.service.work import Pace, Worker
from wsi_ai.service.workers import Station

LEASE_S = 2.0
PACE = Pace(idle_s=0.05, beat_s=0.1, ready_s=0.2, fault_s=0.3, insist_s=0.2, linger_s=0.5)
_SOME_TILES = 8


class Point(StrEnum):
    NOWHERE = "nowhere"
    MID_SLIDE = "mid-slide"
    BEFORE_FLAG = "between results and flag"
    BEFORE_DONE = "between flag and done"


@dataclass(frozen=True)
class Place:
    """Where a trial is: a folder of its own, and a database."""

    folder: Path
    database: str
    plugins: Path

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def scans(self) -> Path:
        return self.folder / "scans"

    @property
    def arrived(self) -> Path:
        return self.folder / "arrived"

    @property
    def audit(self) -> Path:
        return self.folder / "audit.jsonl"


@dataclass(frozen=True, slots=True)
class BadQueue(Queue):
    """Does ``signal_at`` to its own process, the first time that the point is reached."""

    point: Point = Point.NOWHERE
    mark: Path = Path()
    signal_at: int = signal.SIGKILL

    def _reach(self, point: Point) -> None:
        if self.point is point and not self.mark.exists():
            self.mark.touch()
            with self.engine.begin():
                pass  # no other thread holds SQLite's lock now, as long as we stand
            os.kill(os.getpid(), self.signal_at)

    def beat(self, mine: Job, planned: int | None = None, passed: int | None = None) -> None:
        Queue.beat(self, mine, planned, passed)
        if (passed or 0) >= _SOME_TILES:
            self._reach(Point.MID_SLIDE)

    def fence(self, mine: Job, connection: Connection) -> None:
        if any(self.mark.parent.glob("out/**/findings.geojson")) or any(
            self.mark.parent.glob("out/.*/findings.geojson")
        ):
            self._reach(Point.BEFORE_FLAG)
        Queue.fence(self, mine, connection)

    def done(self, mine: Job, answer: Answer) -> None:
        self._reach(Point.BEFORE_DONE)
        Queue.done(self, mine, answer)


def queue_on(engine: Any, place: Place, **bad: Any) -> BadQueue:
    make_service_tables(engine)
    ahead_s = bad.pop("ahead_s", 0.0)
    return BadQueue(
        engine,
        lambda: time.time() + ahead_s,
        Random(),
        lease_s=LEASE_S,
        waits_s=(0.1, 0.1),
        mark=place.folder / "reached",
        **bad,
    )


def work(place: Place, name: str, bad: dict[str, Any]) -> None:
    """The process: until SIGTERM."""
    with (place.folder / f"{name}.log").open("a") as log:
        os.dup2(log.fileno(), 2)
        logging.basicConfig(level=logging.WARNING)
        sys.path.insert(0, str(place.plugins))
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        sends = [f"RXX=file://{place.arrived}"]
        with open_posting(sends, place.database, place.audit) as posting:
            queue = queue_on(posting.relay.outbox.engine, place, **bad)
            options = RunOptions(device="cpu", batch_size=4, threads=1, pages=Pages.NONE)
            runs = LocalRuns(place.out, queue, posting, options, quiet_s=0)
            station = Station(name, "here", name, "test")
            worker = Worker(queue, runs, stop, PACE, name, lines=LocalLines(runs), station=station)
            worker.run()
            posting.drain(10.0)
