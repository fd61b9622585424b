"""Workers on real slides: one flag for each, whatever becomes of who runs them."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from tests.delivery.servers import until
from tests.models_for_tests import red_network, write_model
from tests.service.conftest import asked
from tests.stand_in_runs import write_slide
from wsi_ai.cli import app
from wsi_ai.delivery.formats.hl7v2.notice import ImageNotice
from wsi_ai.delivery.posting import Posting, open_posting
from wsi_ai.delivery.withdrawal import take_back
from wsi_ai.service.arrivals import one_question
from wsi_ai.service.database.opening import make_service_tables
from wsi_ai.service.image_notices import QueuedNotices, Site
from wsi_ai.service.job_watch import JobWatch
from wsi_ai.service.jobs import Job, JobState
from wsi_ai.service.local_runs import LocalRuns
from wsi_ai.service.queue import Queue
from wsi_ai.service.routing.rules import Routing, Rule
from wsi_ai.service.work import DIED, Pace, Worker

FAST = Pace(idle_s=0.01, beat_s=0.05, ready_s=0, fault_s=0, insist_s=0.05)
NOTICE = ImageNotice("M1", "S26-1-A1-1", "S26-1", True, "1.2.3", "1.2.3.4")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "red", red_network(), mpp=0.5)


@contextmanager
def posting_in(folder: Path) -> Iterator[tuple[Posting, Queue]]:
    place = folder / "arrived"
    place.mkdir(exist_ok=True)
    with open_posting([f"RXX=file://{place}"], str(folder / "outbox.db")) as posting:
        engine = posting.relay.outbox.engine
        make_service_tables(engine)
        yield posting, Queue(engine, time.time, Random(1), lease_s=5)


def site(folder: Path, model: Path, template: str = "") -> Site:
    return Site(
        "RXX",
        one_question([str(model)]),
        template or f"{folder}/scans/{{accession}}/{{slide_id}}*.tif",
    )


def put_slide(folder: Path, name: str = "S26-1-A1-1 - 2026.tif") -> Path:
    place = folder / "scans" / "S26-1"
    place.mkdir(parents=True, exist_ok=True)
    path = write_slide(place / name)
    os.utime(path, (1, 1))
    return path


def runs_for(folder: Path, posting: Posting, queue: Queue) -> LocalRuns:
    return LocalRuns(folder / "out", queue, posting, quiet_s=0)


def test_a_notified_slide_becomes_one_flag_of_its_case(tmp_path: Path, model: Path) -> None:
    (tmp_path / "out").mkdir()
    with posting_in(tmp_path) as (posting, queue):
        notices = QueuedNotices(queue, posting.relay.outbox, site(tmp_path, model))
        work = Worker(queue, runs_for(tmp_path, posting, queue), threading.Event(), FAST)
        for _ in range(3):
            notices.available(NOTICE)
        assert work.step()
        assert queue.counts() == {"waiting": 1}  # the file is not there yet
        put_slide(tmp_path)
        assert work.step()
        assert queue.counts() == {"done": 1}
        (flag,) = posting.relay.outbox.flags()
        assert flag["case"]["accession"]["value"] == "S26-1"
        assert flag["slide"]["slide_id"]["value"] == "S26-1-A1-1"
        assert flag["action"] in ("raise", "amend")
        (line,) = queue.lines(["done"])  # type: ignore[list-item]
        assert (line.level, line.flag_ids) == (flag["result"]["level"], [flag["flag_id"]])
        notices.available(NOTICE)
        assert not work.step()


def test_what_a_model_on_trial_says_is_kept_and_neither_sent_nor_where_results_are_looked_for(
    tmp_path: Path, model: Path
) -> None:
    (tmp_path / "out").mkdir()
    put_slide(tmp_path)
    with posting_in(tmp_path) as (posting, queue):
        rules = Routing((Rule("shown", (str(model),)), Rule("trial", (str(model),), silent=True)))
        for choice in (rules.choices, one_question([str(model)])):
            place = replace(site(tmp_path, model), choose=choice)
            QueuedNotices(queue, posting.relay.outbox, place).available(NOTICE)
        work = Worker(queue, runs_for(tmp_path, posting, queue), threading.Event(), FAST)
        while work.step():
            pass
        assert queue.counts() == {"done": 2}
        assert len(list(posting.relay.outbox.flags())) == 1
        silent = [row for row in queue.lines([JobState.DONE]) if row.silent]
        assert [(row.level is None, list(row.flag_ids)) for row in silent] == [(False, [])]
    results = {path.relative_to(tmp_path / "out").parts[0] for path in tmp_path.rglob("flag.json")}
    assert len(results) == 2
    assert "on-trial" in results
    assert silent[0].result_uri.startswith((tmp_path / "out" / "on-trial").as_uri())


def test_a_slide_that_never_comes_gets_a_flag_that_says_so(tmp_path: Path, model: Path) -> None:
    (tmp_path / "out").mkdir()
    with posting_in(tmp_path) as (posting, queue):
        QueuedNotices(queue, posting.relay.outbox, site(tmp_path, model)).available(NOTICE)
        runs = replace(runs_for(tmp_path, posting, queue), patience_s=0)
        assert Worker(queue, runs, threading.Event(), FAST).step()
        (flag,) = posting.relay.outbox.flags()
    assert flag["result"]["level"] == "not_assessed"
    assert "not there yet" in flag["result"]["explanation"]
    assert flag["case"]["accession"]["value"] == "S26-1"


def test_two_files_that_fit_are_no_guess(tmp_path: Path, model: Path) -> None:
    (tmp_path / "out").mkdir()
    for name in ("S26-1-A1-1.tif", "S26-1-A1-10.tif"):
        put_slide(tmp_path, name)
    with posting_in(tmp_path) as (posting, queue):
        QueuedNotices(queue, posting.relay.outbox, site(tmp_path, model)).available(NOTICE)
        Worker(queue, runs_for(tmp_path, posting, queue), threading.Event(), FAST).step()
        (flag,) = posting.relay.outbox.flags()
    assert "2 files fit" in flag["result"]["explanation"]


def test_what_was_withdrawn_while_it_ran_is_never_said(tmp_path: Path, model: Path) -> None:
    (tmp_path / "out").mkdir()
    put_slide(tmp_path)
    with posting_in(tmp_path) as (posting, queue):
        notices = QueuedNotices(queue, posting.relay.outbox, site(tmp_path, model))
        notices.available(NOTICE)

        class Withdrawn(LocalRuns):
            def run(self, mine: Job, watch: JobWatch) -> object:  # type: ignore[override]
                class Withdrawing(JobWatch):
                    def passed(self, done: int) -> None:
                        notices.withdrawn(replace(NOTICE, available=False))

                return super().run(mine, Withdrawing(watch.stop))

        runs = Withdrawn(tmp_path / "out", queue, posting, quiet_s=0)
        assert Worker(queue, runs, threading.Event(), FAST).step()
        assert queue.counts() == {"cancelled": 1}
        assert list(posting.relay.outbox.flags()) == []


def test_an_image_that_is_given_back_to_its_slide_is_said_anew(tmp_path: Path, model: Path) -> None:
    (tmp_path / "out").mkdir()
    put_slide(tmp_path)
    with posting_in(tmp_path) as (posting, queue):
        outbox = posting.relay.outbox
        notices = QueuedNotices(queue, outbox, site(tmp_path, model))
        work = Worker(queue, runs_for(tmp_path, posting, queue), threading.Event(), FAST)

        def newest() -> tuple[str, str | None]:
            (flag,) = outbox.flags()
            return flag["action"], flag["retraction_reason"]

        notices.available(NOTICE)
        work.step()
        notices.withdrawn(NOTICE)
        assert newest() == ("retract", "slide_misidentified")
        notices.available(NOTICE)
        assert work.step()
        assert newest() == ("amend", None)
        notices.available(NOTICE)
        assert not work.step()
        assert posting.drain(10) == 0
        (held,) = posting.relay.reconcile().values()
    assert held == []


def test_a_withdrawal_by_another_trust_takes_nothing_back(tmp_path: Path, model: Path) -> None:
    (tmp_path / "out").mkdir()
    put_slide(tmp_path)
    with posting_in(tmp_path) as (posting, queue):
        outbox = posting.relay.outbox
        notices = QueuedNotices(queue, outbox, site(tmp_path, model))
        notices.available(NOTICE)
        Worker(queue, runs_for(tmp_path, posting, queue), threading.Event(), FAST).step()
        assert take_back(outbox, NOTICE, "RYY") == 0
        (flag,) = outbox.flags()
        assert flag["action"] != "retract"
        assert take_back(outbox, NOTICE, "RXX") == 1


KILLS_ITSELF = """
import os, signal, sys, threading
from pathlib import Path
from wsi_ai.service.local_runs import LocalRuns
from wsi_ai.service.job_watch import JobWatch
from wsi_ai.service.work import Worker
from tests.service.test_work import FAST, posting_in

class Deadly(JobWatch):
    def passed(self, done):
        os.kill(os.getpid(), signal.SIGKILL)

class Poisoned(LocalRuns):
    def run(self, mine, watch):
        return super().run(mine, Deadly(watch.stop))

folder = Path(sys.argv[1])
with posting_in(folder) as (posting, queue):
    runs = Poisoned(folder / "out", queue, posting, quiet_s=0)
    Worker(queue, runs, threading.Event(), FAST).step()
"""


def kill_once(folder: Path) -> None:
    words = [sys.executable, "-c", KILLS_ITSELF, str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_a_worker_killed_in_the_middle_leaves_its_job_to_the_next_and_one_flag_comes_out(
    tmp_path: Path, model: Path
) -> None:
    (tmp_path / "out").mkdir()
    put_slide(tmp_path)
    with posting_in(tmp_path) as (posting, queue):
        QueuedNotices(queue, posting.relay.outbox, site(tmp_path, model)).available(NOTICE)
    kill_once(tmp_path)
    with posting_in(tmp_path) as (posting, queue):
        later = replace(queue, clock=lambda: time.time() + 30)
        assert later.counts() == {"running": 1}
        later.claim("looks")
        later = replace(queue, clock=lambda: time.time() + 60)
        work = Worker(later, runs_for(tmp_path, posting, later), threading.Event(), FAST)
        assert work.step()
        (flag,) = posting.relay.outbox.flags()
        assert later.counts() == {"done": 1}
    assert flag["qc"]["analysed_fraction"] == 1


def test_a_slide_that_kills_three_workers_is_not_silent(tmp_path: Path, model: Path) -> None:
    (tmp_path / "out").mkdir()
    put_slide(tmp_path)
    with posting_in(tmp_path) as (posting, queue):
        QueuedNotices(queue, posting.relay.outbox, site(tmp_path, model)).available(NOTICE)
        for n in range(1, 4):
            at = replace(queue, clock=lambda n=n: time.time() + 100 * n)  # type: ignore[misc]
            assert at.claim("dies") is not None
            replace(queue, clock=lambda n=n: time.time() + 100 * n + 20).claim("looks")  # type: ignore[misc]
        last = replace(queue, clock=lambda: time.time() + 1000)
        runs = runs_for(tmp_path, posting, last)
        assert Worker(last, runs, threading.Event(), FAST).step()
        (flag,) = posting.relay.outbox.flags()
        assert last.counts() == {"dead": 1}
    assert (flag["result"]["level"], flag["result"]["explanation"]) == ("not_assessed", DIED)
    done = CliRunner().invoke(app, ["queue", "list", "--outbox", str(tmp_path / "outbox.db")])
    assert done.exit_code == 1
    assert "dead" in done.stdout
    assert "S26" not in done.stdout


def test_a_dead_job_touches_no_answer_that_stands(tmp_path: Path, model: Path) -> None:
    (tmp_path / "out").mkdir()
    put_slide(tmp_path)
    with posting_in(tmp_path) as (posting, queue):
        notices = QueuedNotices(queue, posting.relay.outbox, site(tmp_path, model))
        notices.available(NOTICE)
        runs = runs_for(tmp_path, posting, queue)
        Worker(queue, runs, threading.Event(), FAST).step()
        (before,) = posting.relay.outbox.flags()
        queue.submit(replace(asked(), models=(str(model),), case=dict(_case()), same=("again",)))
        mine = queue.claim("w")
        assert mine is not None
        runs.give_up(mine, DIED)
        (after,) = posting.relay.outbox.flags()
    assert before == after
    assert before["result"]["level"] != "not_assessed"


def _case() -> dict[str, str]:
    return {"trust": "RXX", "accession": "S26-1", "slide_id": "S26-1-A1-1"}


def test_the_command_works_and_sigterm_gives_the_job_back(tmp_path: Path, model: Path) -> None:
    put_slide(tmp_path)
    (tmp_path / "arrived").mkdir()
    database = str(tmp_path / "outbox.db")
    with posting_in(tmp_path) as (posting, queue):
        QueuedNotices(queue, posting.relay.outbox, site(tmp_path, model)).available(NOTICE)
        words = [sys.executable, "-m", "wsi_ai", "work", "--outbox", database, "--out",
                 str(tmp_path / "out"), "--send", f"RXX=file://{tmp_path}/arrived"]  # fmt: skip
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            until(lambda: queue.counts() == {"done": 1}, "it was not run", 60)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    arrived = list((tmp_path / "arrived").glob("*.json"))
    assert len({path.name.partition(".")[0] for path in arrived}) == 1
