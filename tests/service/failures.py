"""Bad days, with real processes, on SQLite and PostgreSQL: ``python -m tests.service.failures``.

Each trial ends with the same questions: is there one answer for each slide, said once, and is
nothing left behind?
"""

import argparse
import multiprocessing
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select

from tests.delivery import servers
from tests.models_for_tests import red_network, write_model
from tests.service.bad_reader import installed_in, write_poison, write_slow
from tests.service.bad_workers import (
    LEASE_S,
    PACE,
    WATCH_S,
    BadQueue,
    Place,
    Point,
    queue_on,
    watch,
    work,
)
from tests.stand_in_runs import write_slide
from wsi_ai.delivery.outbox import open_database
from wsi_ai.delivery.outbox.tables import delivery, event
from wsi_ai.service.jobs import Asked, JobState, Priority, job
from wsi_ai.service.watching.book import WatchState, entries

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.service.bad_workers", "tests.service.bad_reader"])
MOST_S = 90.0


@dataclass
class Lab:
    """One trial: a place, a queue to look at it with, and the processes that it started."""

    place: Place
    model: Path
    engine: Engine
    queue: BadQueue
    processes: list[BaseProcess] = field(default_factory=list)

    def start(self, name: str, **bad: Any) -> BaseProcess:
        process = _CONTEXT.Process(target=work, args=(self.place, name, bad), daemon=True)
        process.start()
        self.processes.append(process)
        return process

    def watch(self, name: str) -> BaseProcess:
        process = _CONTEXT.Process(
            target=watch, args=(self.place, name, str(self.model)), daemon=True
        )
        process.start()
        self.processes.append(process)
        return process

    def slide(self, name: str, seconds: float = 0.01, side: int = 512) -> str:
        return str(write_slow(self.place.scans / f"{name}.svs", side, seconds))

    def ask(self, path: str, priority: Priority = Priority.ROUTINE) -> str:
        name = Path(path).stem
        case = {"trust": "RXX", "accession": f"S-{name}", "slide_id": name}
        asked = Asked(
            trust="RXX",
            slide_uri=f"file://{path}",
            models=(str(self.model),),
            submitted_by="tests",
            case=case,
            priority=priority,
        )
        return self.queue.submit(asked)[0]

    def counts(self) -> Mapping[str, int]:
        return self.queue.counts()

    def row(self, job_id: str) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(select(job).where(job.c.job_id == job_id)).one()

    def events(self) -> int:
        with self.engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(event)) or 0

    def until(self, happens: Callable[[], bool], otherwise: str, seconds: float = MOST_S) -> None:
        servers.until(happens, otherwise, seconds)

    def until_done(self, jobs: int) -> None:
        self.until(lambda: self.counts().get("done", 0) == jobs, "not all slides were judged")

    def end(self) -> None:
        """As ``wsi-ai workers drain`` would: each has to end by itself."""
        for process in self.processes:
            if process.is_alive():
                process.terminate()
        for process in self.processes:
            process.join(30)
            assert not process.is_alive(), "a worker did not end"

    def close(self) -> None:
        for process in self.processes:
            if process.is_alive():
                os.kill(process.pid or 0, signal.SIGKILL)
                process.join(10)
        self.engine.dispose()

    def check(self, slides: int, *, answers: int | None = None) -> None:
        """One answer a slide, said once, and nothing of a run that ended left behind."""
        self.end()
        told = self.events()
        assert told == (slides if answers is None else answers), f"{told} revisions of {slides}"
        with self.engine.connect() as connection:
            sends = connection.scalar(select(func.count()).select_from(delivery))
        assert sends == told, f"{sends} deliveries of {told} revisions"
        left = [p for p in self.place.out.iterdir() if p.name.startswith(".") and p.is_dir()]
        assert not left, f"left behind: {len(left)}"


@contextmanager
def lab(database: str, model: Path, plugins: Path) -> Iterator[Lab]:
    folder = Path(tempfile.mkdtemp(prefix="wsi-ai-bad-"))
    where = str(folder / "outbox.db") if database == "sqlite" else database
    place = Place(folder, where, plugins)
    for made in (place.out, place.scans, place.arrived):
        made.mkdir()
    if database != "sqlite":
        servers.empty_database(database)
    engine = open_database(where)
    found = Lab(place, model, engine, queue_on(engine, place))
    try:
        yield found
    finally:
        found.close()
        shutil.rmtree(folder, ignore_errors=True)


def killed_at(point: Point) -> Callable[[Lab], str]:
    def trial(it: Lab) -> str:
        name = it.ask(it.slide("a"))
        first = it.start("first", point=point)
        first.join(MOST_S)
        assert first.exitcode == -signal.SIGKILL, f"it ended with {first.exitcode}"
        it.start("second")
        it.until_done(1)
        it.check(1)
        assert it.row(name).level != "not_assessed"
        return f"attempt {it.row(name).attempt}"

    return trial


def frozen(it: Lab) -> str:
    """On one disk, its place is its own until it wakes; then it says nothing, and another judges
    the slide."""
    name, first = _frozen(it)
    it.start("second")
    it.until(lambda: it.row(name).given_back > 0, "nobody else looked at it")
    os.kill(first.pid or 0, signal.SIGCONT)
    it.until_done(1)
    it.check(1)
    return f"{it.row(name).given_back} times given back"


def frozen_elsewhere(it: Lab) -> str:
    """Another machine has judged the slide when it wakes: it says nothing."""
    name, first = _frozen(it)
    it.start("second", out="elsewhere")
    it.until_done(1)
    before = it.row(name)
    os.kill(first.pid or 0, signal.SIGCONT)
    time.sleep(5 * PACE.beat_s)
    assert it.row(name) == before, "who was frozen changed the job"
    it.end()
    assert it.events() == 1, f"{it.events()} revisions"
    return f"attempt {before.attempt}"


def _frozen(it: Lab) -> tuple[str, BaseProcess]:
    name = it.ask(it.slide("a", seconds=0.05))
    first = it.start("first")
    it.until(lambda: (it.row(name).passed or 0) > 0, "it did not begin")
    stop_between_transactions(it, first)
    time.sleep(LEASE_S)
    return name, first


def stop_between_transactions(it: Lab, process: BaseProcess) -> None:
    """SQLite's lock would be held as long as its holder stands; PostgreSQL ends such a one."""
    for _ in range(200):
        os.kill(process.pid or 0, signal.SIGSTOP)
        it.until(lambda: _state(process) in "Tt", "it did not stand still")
        if "://" in it.place.database or _is_free(it.place.database):
            return
        os.kill(process.pid or 0, signal.SIGCONT)
        time.sleep(0.01)
    raise AssertionError("it always held the database")


def _is_free(database: str) -> bool:
    connection = sqlite3.connect(database, timeout=0.1, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()
    return True


def poisoned(it: Lab) -> str:
    """It takes three workers, and gets its flag; its neighbour is not drawn in."""
    bad = it.ask(str(write_poison(it.place.scans / "bad.svs")))
    good = it.ask(it.slide("good"))
    workers = 0
    deadline = time.monotonic() + 2 * MOST_S
    while it.counts().get("dead", 0) + it.counts().get("done", 0) < 2:
        assert time.monotonic() < deadline, f"not over: {it.counts()}"
        if not any(process.is_alive() for process in it.processes):
            workers += 1
            it.start(f"w{workers}")
        time.sleep(0.05)
    assert (it.row(bad).state, it.row(good).state) == (JobState.DEAD, JobState.DONE)
    assert it.row(bad).level == "not_assessed"
    assert it.row(good).level != "not_assessed"
    it.check(2)
    return f"{workers - 1} workers died"


def urgent(it: Lab) -> str:
    """An urgent slide starts though all are busy with a batch; the batch goes on where it was."""
    slow = it.ask(it.slide("slow", seconds=0.45), Priority.BATCH)
    it.ask(it.slide("next"), Priority.BATCH)
    it.start("only")
    it.until(lambda: (it.row(slow).passed or 0) > 0, "the batch did not begin")
    asked = time.monotonic()
    name = it.ask(it.slide("urgent", seconds=0.0), Priority.URGENT)
    it.until(lambda: it.row(name).state == "done", "the urgent one was not judged")
    took = time.monotonic() - asked
    assert it.row(slow).state != "done"
    assert took < 10, f"it took {took:.1f} s"
    row = it.row(slow)
    assert (row.preempted, row.given_back >= 1) == (1, True), (row.preempted, row.given_back)
    it.until_done(3)
    assert it.row(slow).attempt - it.row(slow).given_back == 1, "the attempt was counted"
    it.check(3)
    return f"judged after {took:.1f} s"


def drained(it: Lab) -> str:
    """SIGTERM gives everything back, and the process ends."""
    name = it.ask(it.slide("slow", seconds=0.1, side=1024))
    first = it.start("first")
    it.until(lambda: (it.row(name).passed or 0) > 0, "it did not begin")
    began = time.monotonic()
    first.terminate()
    first.join(60)
    took = time.monotonic() - began
    assert first.exitcode == 0, f"it ended with {first.exitcode}"
    row = it.row(name)
    assert (row.state, row.attempt - row.given_back) == ("waiting", 0)
    return f"ended after {took:.1f} s"


def clock_ahead(it: Lab) -> str:
    """A worker whose clock is a day ahead dies: nobody waits for a day."""
    name = it.ask(it.slide("a"))
    first = it.start("first", point=Point.MID_SLIDE, ahead_s=86_400.0)
    first.join(MOST_S)
    it.start("second")
    it.until_done(1)
    it.check(1)
    return f"attempt {it.row(name).attempt}"


def database_gone(it: Lab) -> str:
    """What was inferred is kept, and said once it is back."""
    name = it.ask(it.slide("a", seconds=0.02))
    it.start("first")
    it.until(lambda: (it.row(name).passed or 0) > 0, "it did not begin")
    it.engine.dispose()
    with away(it.place.database):
        time.sleep(3.0)
    it.until_done(1)
    assert it.row(name).level != "not_assessed"
    it.check(1)
    return f"attempt {it.row(name).attempt}"


def two_watchers(it: Lab) -> str:
    """A slow writer's slide is one job, and no part of it is."""
    whole = write_slide(it.place.folder / "whole.tif", 256).read_bytes()
    for name in ("one", "two"):
        it.watch(name)
    parts = 12
    with (it.place.scans / "a.tif").open("wb") as file:
        for part in range(parts):
            file.write(whole[len(whole) * part // parts : len(whole) * (part + 1) // parts])
            file.flush()
            time.sleep(WATCH_S / 2)
            assert not it.counts(), "a part was taken for a slide"
    it.until(lambda: bool(it.counts()), "the slide was not queued")
    time.sleep(5 * WATCH_S)
    assert it.counts() == {"waiting": 1}, it.counts()
    it.end()
    return "one job"


def share_gone(it: Lab) -> str:
    """An empty folder in its place: an alarm, nothing forgotten; back, it goes on."""
    write_slide(it.place.scans / "a.tif", 128)
    it.watch("one")
    it.until(lambda: bool(it.counts()), "the slide was not queued")
    hidden = it.place.scans.rename(it.place.folder / "away")
    it.place.scans.mkdir()
    it.until(lambda: bool(entries(it.engine, [WatchState.GONE])), "nobody noticed")
    it.place.scans.rmdir()
    time.sleep(2 * WATCH_S)
    hidden.rename(it.place.scans)
    write_slide(it.place.scans / "b.tif", 192)
    it.until(lambda: it.counts() == {"waiting": 2}, "it did not go on")
    assert not entries(it.engine, [WatchState.GONE])
    it.end()
    return "2 jobs"


def watcher_killed(it: Lab) -> str:
    """It begins anew, and no slide is queued twice or forgotten."""
    write_slide(it.place.scans / "a.tif", 128)
    first = it.watch("one")
    it.until(lambda: bool(it.counts()), "the slide was not queued")
    write_slide(it.place.scans / "b.tif", 192)
    os.kill(first.pid or 0, signal.SIGKILL)
    first.join(10)
    it.watch("two")
    it.until(lambda: it.counts() == {"waiting": 2}, "it did not go on")
    time.sleep(5 * WATCH_S)
    assert it.counts() == {"waiting": 2}, it.counts()
    it.end()
    return "2 jobs"


@contextmanager
def away(database: str) -> Iterator[None]:
    """PostgreSQL is ended at once; SQLite's file is another program's for a while."""
    if "://" not in database:
        held = sqlite3.connect(database, timeout=30, isolation_level=None)
        held.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            held.execute("ROLLBACK")
            held.close()
        return
    with servers.stopped(database):
        yield


def _state(process: BaseProcess) -> str:
    try:
        return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"


Trial = Callable[[Lab], str]
TRIALS: Mapping[str, Trial] = {
    **{f"kill -9 {point.value}": killed_at(point) for point in list(Point)[1:]},
    "SIGSTOP past the lease, then CONT": frozen,
    "the same, and another disk": frozen_elsewhere,
    "database gone": database_gone,
    "urgent while busy with a batch": urgent,
    "poison slide": poisoned,
    "SIGTERM": drained,
    "clock a day ahead": clock_ahead,
    "two watchers, slow writer": two_watchers,
    "folder away, an empty one there": share_gone,
    "kill -9 of a watcher": watcher_killed,
}


@contextmanager
def site() -> Iterator[tuple[Path, Path]]:
    """A model and the plug-in of bad days."""
    folder = Path(tempfile.mkdtemp(prefix="wsi-ai-bad-site-"))
    try:
        model = write_model(folder / "red", red_network(), mpp=0.5)
        yield model, installed_in(folder / "plugins")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(words: Sequence[str] | None = None) -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--times", type=int, default=1)
    asked.add_argument("--only", default="")
    given = asked.parse_args(words)
    bad = 0
    with site() as (model, plugins), servers.postgres() as url:
        print(f"{'':36} {'SQLite':>14} {'PostgreSQL':>14}  last")
        for name, trial in TRIALS.items():
            if given.only in name:
                results = [_tried(trial, at, given.times, model, plugins) for at in ("sqlite", url)]
                bad += sum(given.times - right for right, _ in results)
                cells = [f"{right} of {given.times}" for right, _ in results]
                print(f"{name:36} {cells[0]:>14} {cells[1]:>14}  {results[-1][1]}", flush=True)
    return 1 if bad else 0


def _tried(trial: Trial, database: str, times: int, model: Path, plugins: Path) -> tuple[int, str]:
    right, last = 0, ""
    for _ in range(times):
        with lab(database, model, plugins) as it:
            try:
                last = trial(it)
                right += 1
            except AssertionError as error:
                last = f"WRONG: {error}"
                print(last, file=sys.stderr)
    return right, last


if __name__ == "__main__":
    sys.exit(main())
