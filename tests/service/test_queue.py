"""The queue of jobs, on SQLite and on PostgreSQL."""

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from tests.delivery.conftest import FakeClock
from tests.service.conftest import asked
from wsi_ai.delivery.outbox import open_database
from wsi_ai.errors import OutputError, Stopped
from wsi_ai.service.database.opening import make_service_tables
from wsi_ai.service.job_watch import JobWatch
from wsi_ai.service.jobs import Job, JobState, Priority, make_job_table
from wsi_ai.service.queue import Answer, LostJob, Queue
from wsi_ai.service.slide_places import NotReady
from wsi_ai.service.work import Pace, SiteFault, Worker

FAST = Pace(idle_s=0.01, beat_s=0.01, ready_s=15, fault_s=60, insist_s=0.01)
DONE = Answer(level="standard", reason="seen")


def claimed(queue: Queue, worker: str = "w") -> Job:
    found = queue.claim(worker)
    assert found is not None
    return found


def states(queue: Queue) -> dict[str, int]:
    return queue.counts()


def test_who_asks_the_same_gets_the_same_job_even_at_the_same_time(queue: Queue) -> None:
    names: list[tuple[str, bool]] = []

    def submit() -> None:
        names.append(queue.submit(asked()))

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(names) == 8
    assert len({name for name, _ in names}) == 1
    assert sum(new for _, new in names) == 1
    assert states(queue) == {"waiting": 1}


@pytest.mark.parametrize(
    "more", [{"trust": "RYY"}, {"models": ("m@2",)}, {"same": ("1.2.3",)}, {"slide": "b"}]
)
def test_another_trust_model_series_or_slide_is_another_job(
    queue: Queue, more: Mapping[str, object]
) -> None:
    queue.submit(asked())
    assert queue.submit(asked(**more))[1]  # type: ignore[arg-type]


def test_urgent_ones_go_first_and_then_those_that_are_due_first(
    queue: Queue, clock: FakeClock
) -> None:
    for slide, more in (
        ("late", {"allowance_s": 9000}),
        ("soon", {}),
        ("urgent", {"priority": Priority.URGENT}),
    ):
        queue.submit(asked(slide, **more))
        clock.move(1)
    uris = [claimed(queue).asked.slide_uri for _ in range(3)]
    assert [uri.rpartition("/")[2] for uri in uris] == ["urgent.svs", "soon.svs", "late.svs"]
    assert queue.claim("w") is None


def test_a_job_is_one_workers_until_its_lease_ends_and_then_no_longer(
    queue: Queue, clock: FakeClock
) -> None:
    queue.submit(asked())
    first = claimed(queue, "first")
    clock.move(50)
    queue.beat(first, 100, 7)
    clock.move(50)
    assert queue.claim("second") is None
    clock.move(61)
    assert queue.claim("second") is None  # it waits a little before it is tried again
    clock.move(11)
    second = claimed(queue, "second")
    assert (second.job_id, second.attempt, second.failures) == (first.job_id, 2, 1)
    for late in (
        lambda: queue.beat(first),
        lambda: queue.done(first, DONE),
        lambda: queue.give_back(first, 0, "x"),
        lambda: queue.know(first, {}),
    ):
        with pytest.raises(LostJob):
            late()
    queue.done(second, DONE)
    assert states(queue) == {"done": 1}


def test_what_is_given_back_does_not_count_as_a_failure(queue: Queue) -> None:
    queue.submit(asked())
    for _ in range(9):
        mine = claimed(queue)
        assert mine.failures == 0
        queue.give_back(mine, 0, "not ready")
    assert claimed(queue).attempt == 10


def test_a_clock_that_was_set_back_keeps_no_job_from_being_run(
    queue: Queue, clock: FakeClock
) -> None:
    for slide in "ab":
        queue.submit(asked(slide))
    queue.give_back(claimed(queue), 15, "not ready")
    claimed(queue)
    clock.move(-86_400)
    assert queue.claim("w")
    clock.move(11)
    assert queue.claim("w")


def test_a_withdrawn_slides_jobs_are_stopped_and_stand_in_no_ones_way(
    queue: Queue, clock: FakeClock
) -> None:
    queue.submit(asked("a"))
    clock.move(1)  # of those of one moment any may be first
    queue.submit(asked("b"))
    queue.submit(asked("a", trust="RYY"))
    running = claimed(queue)
    assert queue.withdraw("RXX", "a", "S26-2") == 0
    assert queue.withdraw("RXX", "a", "S26-1") == 1
    assert queue.withdraw("RXX", "a", None) == 0
    assert states(queue) == {"cancelled": 1, "waiting": 2}
    with pytest.raises(LostJob):
        queue.done(running, DONE)
    assert queue.submit(asked("a"))[1]
    assert not queue.submit(asked("b"))[1]


def test_after_a_job_that_is_done_a_withdrawal_lets_the_same_be_asked_again(queue: Queue) -> None:
    queue.submit(asked())
    queue.done(claimed(queue), DONE)
    assert not queue.submit(asked())[1]
    assert queue.withdraw("RXX", "a", "S26-1") == 0
    assert queue.submit(asked())[1]


def test_only_what_one_person_asked_for_is_cancelled(queue: Queue) -> None:
    queue.submit(asked("a", submitted_by="amy"))
    queue.submit(asked("b", submitted_by="bob"))
    assert queue.cancel("amy") == 1
    assert queue.cancel("amy") == 0
    assert claimed(queue).asked.slide_uri.endswith("b.svs")


def test_a_job_that_is_over_is_run_once_more_when_it_is_asked_for(queue: Queue) -> None:
    name, _ = queue.submit(asked(priority=Priority.URGENT, same=("1.2",)))
    assert queue.again(name) is None
    mine = claimed(queue)
    assert queue.again(name) is None
    queue.bury(mine, DONE)
    new = queue.again(name)
    assert new not in (None, name)
    assert queue.submit(asked(priority=Priority.URGENT, same=("1.2",))) == (new, False)
    assert claimed(queue).asked.urgent
    assert queue.again("none") is None
    assert queue.again(name) is not None


def test_whose_slides_they_were_is_forgotten_of_jobs_that_are_over(
    queue: Queue, clock: FakeClock
) -> None:
    for slide in "ab":
        queue.submit(asked(slide))
    mine = claimed(queue)
    queue.done(mine, DONE)
    assert queue.forget(clock.now) == 0
    clock.move(1)
    assert queue.forget(clock.now) == 1
    assert queue.forget(clock.now) == 0
    (line,) = queue.lines([JobState.DONE])
    assert (line.case, line.slide_uri, line.level) == ({}, "", "standard")
    assert queue.again(mine.job_id) is None
    assert queue.submit(asked("a"))[1]
    assert not queue.submit(asked("b"))[1]


class Workers:
    """Two of them, and what each believes that it holds."""

    def __init__(self, queue: Queue, clock: FakeClock) -> None:
        self.queue, self.clock = queue, clock
        self.held: dict[int, Job] = {}
        self.asked_for = 0

    def submit(self, who: int) -> None:
        self.asked_for += self.queue.submit(asked("ab"[who]))[1]

    def withdraw(self, who: int) -> None:
        self.queue.withdraw("RXX", "ab"[who], None)

    def wait(self, who: int) -> None:
        self.clock.move(20 + 180 * who)

    def claim(self, who: int) -> None:
        """Who held it before may say nothing of it any more."""
        found = self.queue.claim(str(who))
        if found is None:
            return
        for job in self.held.values():
            if job.job_id == found.job_id:
                with pytest.raises(LostJob):
                    self.queue.beat(job)
        self.held[who] = found

    def say(self, who: int, do: Callable[[Job], None]) -> None:
        if who in self.held:
            with contextlib.suppress(LostJob):
                do(self.held[who])

    def beat(self, who: int) -> None:
        self.say(who, self.queue.beat)

    def done(self, who: int) -> None:
        self.say(who, lambda mine: self.queue.done(mine, DONE))

    def give_back(self, who: int) -> None:
        self.say(who, lambda mine: self.queue.give_back(mine, 5, "x"))

    def finish(self) -> None:
        for _ in range(10):
            self.clock.move(500)
            while (mine := self.queue.claim("last")) is not None:
                self.queue.done(mine, DONE)


STEPS = [Workers.submit, Workers.claim, Workers.beat, Workers.done, Workers.give_back,
         Workers.withdraw, Workers.wait]  # fmt: skip


@given(steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 1)), max_size=25))
@settings(max_examples=15)
def test_whatever_workers_do_a_job_has_one_holder_and_none_is_lost(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Callable[..., None], int]]
) -> None:
    clock = FakeClock()
    engine = open_database(str(tmp_path_factory.mktemp("queue") / "q.db"))
    make_service_tables(engine)
    workers = Workers(Queue(engine, clock, Random(1)), clock)
    for step, who in steps:
        step(workers, who)
    workers.finish()
    counts = workers.queue.counts()
    engine.dispose()
    assert counts.get("done", 0) + counts.get("cancelled", 0) == workers.asked_for
    assert sum(counts.values()) == workers.asked_for


def test_a_table_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE job (id INTEGER, what TEXT)"))
    engine.dispose()
    engine = open_database(str(path))
    with pytest.raises(OutputError, match="not ours"):
        make_job_table(engine)
    engine.dispose()


@dataclass
class Scripted:
    """Runs that do as they are told; see ``work.Runs``."""

    script: list[Exception | None] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)
    ran: int = 0

    def run(self, mine: Job, watch: JobWatch) -> Answer:
        self.ran += 1
        error = self.script.pop(0) if self.script else None
        if error is not None:
            raise error
        return DONE

    def give_up(self, mine: Job, reason: str) -> Answer:
        self.given_up.append(reason)
        return Answer(level="not_assessed", reason=reason)


def worker(queue: Queue, runs: Scripted) -> Worker:
    return Worker(queue, runs, threading.Event(), FAST)


def test_a_slide_that_three_workers_died_of_is_given_up_with_its_flag(
    queue: Queue, clock: FakeClock
) -> None:
    queue.submit(asked())
    for _ in range(3):
        claimed(queue, "dies")
        clock.move(200)
        queue.claim("looks")
        clock.move(200)
    runs = Scripted()
    assert worker(queue, runs).step()
    assert (runs.ran, len(runs.given_up)) == (0, 1)
    assert states(queue) == {"dead": 1}
    assert not worker(queue, runs).step()


def test_who_dies_while_giving_a_slide_up_leaves_that_to_the_next(
    queue: Queue, clock: FakeClock
) -> None:
    """Else the job would be dead, and nobody had said it."""
    queue.submit(asked())
    for _ in range(4):
        claimed(queue, "dies")
        clock.move(200)
        queue.claim("looks")
        clock.move(200)
    runs = Scripted()
    assert worker(queue, runs).step()
    assert len(runs.given_up) == 1
    assert states(queue) == {"dead": 1}


@pytest.mark.parametrize(
    ("error", "wait_s"),
    [(NotReady("not there"), 15), (Stopped("stopped"), 0), (SiteFault("no model"), 60),
     (OutputError("disk full"), 60)],
)  # fmt: skip
def test_what_is_no_slides_fault_costs_it_no_attempt(
    queue: Queue, clock: FakeClock, error: Exception, wait_s: float
) -> None:
    queue.submit(asked())
    runs = Scripted([error] * 5)
    for _ in range(5):
        assert worker(queue, runs).step()
        assert states(queue) == {"waiting": 1}
        if wait_s:
            assert not worker(queue, runs).step()
        clock.move(wait_s + 1)
    assert worker(queue, runs).step()
    assert states(queue) == {"done": 1}
    assert runs.given_up == []


def test_a_mistake_of_ours_costs_the_worker_nothing_and_the_slide_an_attempt(
    queue: Queue, clock: FakeClock
) -> None:
    queue.submit(asked())
    runs = Scripted([ValueError("a mistake")] * 3)
    for _ in range(4):
        assert worker(queue, runs).step()
        clock.move(61)
    assert states(queue) == {"dead": 1}
    assert len(runs.given_up) == 1


def test_a_worker_whose_job_was_withdrawn_stops_at_the_next_tiles(
    queue: Queue, clock: FakeClock
) -> None:
    queue.submit(asked())

    class Slow(Scripted):
        def run(self, mine: Job, watch: JobWatch) -> Answer:
            queue.withdraw("RXX", "a", None)
            for done in range(2000):
                threading.Event().wait(0.005)
                watch.passed(done)
            return DONE

    assert worker(queue, Slow()).step()
    assert states(queue) == {"cancelled": 1}
