"""A worker feeds its line from the queue, makes room for urgent slides, and is seen by others."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import pytest
from sqlalchemy import select

from tests.delivery.conftest import FakeClock
from tests.service.conftest import asked
from wsi_ai.errors import Stopped
from wsi_ai.service import changes, workers
from wsi_ai.service.access.who import ONE_PERSON
from wsi_ai.service.changes import What
from wsi_ai.service.database.tables import act
from wsi_ai.service.job_watch import MOST_PREEMPTED, JobWatch
from wsi_ai.service.jobs import Job, JobState, Priority, job
from wsi_ai.service.keeping import Keeping
from wsi_ai.service.queue import Answer, LostJob, Queue
from wsi_ai.service.work import DIED, Came, Pace, Worker
from wsi_ai.service.workers import Doing, Station

FAST = Pace(idle_s=0.005, beat_s=0.01, ready_s=15, fault_s=60, insist_s=0.01, linger_s=0.01)
DONE = Answer(level="standard", reason="seen")
TILES = 4


@dataclass
class Line:
    """Infers one while the next is prepared; ``tile`` is called at each tile."""

    ended: Callable[[Job, Came], None]
    tile: Callable[[str, JobWatch, int], None]
    ran: list[str]

    def run(self, jobs: Iterator[tuple[Job, JobWatch]]) -> None:
        with ThreadPoolExecutor(1) as pool:
            under_way = deque[Future[None]]()
            for mine, watch in jobs:
                under_way.append(pool.submit(self._infer, mine, watch))
                while sum(not one.done() for one in under_way) >= 2:
                    wait(under_way, return_when=FIRST_COMPLETED)
                    under_way = deque(one for one in under_way if not one.done())

    def _infer(self, mine: Job, watch: JobWatch) -> None:
        name = mine.asked.slide_uri.rpartition("/")[2].removesuffix(".svs")
        self.ended(mine, lambda: self._inferred(name, watch))

    def _inferred(self, name: str, watch: JobWatch) -> Answer:
        watch.go_on()
        watch.infers = True
        watch.planned(TILES, 0)
        for done in range(1, TILES + 1):
            self.tile(name, watch, done)
            watch.passed(done)
        self.ran.append(name)
        return DONE


@dataclass
class Lines:
    """See ``work.Lines`` and ``work.Runs``."""

    tile: Callable[[str, JobWatch, int], None] = lambda *_: None
    lines: int = 0
    ran: list[str] = field(default_factory=list)
    alone: list[str] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)

    def shares(self, mine: Job, other: Job) -> bool:
        return mine.asked.models == other.asked.models

    def line(self, ended: Callable[[Job, Came], None]) -> Line:
        self.lines += 1
        return Line(ended, self.tile, self.ran)

    def run(self, mine: Job, watch: JobWatch) -> Answer:
        self.alone.append(mine.asked.slide_uri)
        return DONE

    def give_up(self, mine: Job, reason: str) -> Answer:
        self.given_up.append(reason)
        return Answer(level="not_assessed", reason=reason)


def worker(queue: Queue, lines: Lines, stop: threading.Event | None = None) -> Worker:
    station = Station("w", "here", "cpu", "test")
    workers.enter(queue.engine, station, queue.clock())
    stop = stop or threading.Event()
    return Worker(queue, lines, stop, FAST, "w", lines=lines, station=station)


def row(queue: Queue, slide: str) -> object:
    with queue.engine.connect() as connection:
        found = select(job).where(job.c.slide_uri == f"file:///scans/{slide}.svs")
        return connection.execute(found).one()


def until(happens: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_jobs_of_the_same_models_go_through_one_line(queue: Queue) -> None:
    for slide in "abc":
        queue.submit(asked(slide))
    lines = Lines()
    assert worker(queue, lines).step()
    assert queue.counts() == {"done": 3}
    assert (lines.lines, lines.ran) == (1, ["a", "b", "c"])


def test_jobs_of_other_models_wait_for_a_line_of_their_own(queue: Queue, clock: FakeClock) -> None:
    for slide, model in (("a", "m@1"), ("b", "n@1"), ("c", "n@1")):
        queue.submit(asked(slide, models=(model,)))
        clock.move(1)
    lines = Lines()
    it = worker(queue, lines)
    while it.step():
        pass
    assert queue.counts() == {"done": 3}
    assert (lines.lines, lines.ran) == (2, ["a", "b", "c"])


def test_a_job_whose_worker_died_runs_alone_so_that_it_takes_no_other_down(
    queue: Queue, clock: FakeClock
) -> None:
    queue.submit(asked("a"))
    assert queue.claim("dies")
    clock.move(100)
    queue.claim("looks")
    clock.move(100)
    queue.submit(asked("b"))
    lines = Lines()
    it = worker(queue, lines)
    while it.step():
        pass
    assert queue.counts() == {"done": 2}
    assert lines.alone == ["file:///scans/a.svs"]
    assert lines.ran == ["b"]


def test_what_an_idle_worker_would_take_is_not_claimed_ahead(
    queue: Queue, clock: FakeClock
) -> None:
    for slide in "ab":
        queue.submit(asked(slide))
    workers.enter(queue.engine, Station("idle", "there", "cpu", "test"), clock())
    lines = Lines()
    worker(queue, lines).queue.claim("w")
    assert queue.claim_ahead("w") is None
    clock.move(16)  # it has not beaten for a while
    assert queue.claim_ahead("w") is not None


def test_an_urgent_slide_goes_first_and_the_others_come_back_without_a_lost_attempt(
    queue: Queue, clock: FakeClock
) -> None:
    for slide in "ab":
        queue.submit(asked(slide, priority=Priority.BATCH))
        clock.move(1)

    def tile(name: str, watch: JobWatch, done: int) -> None:
        if name == "a" and done == 1 and queue.submit(asked("u", priority=Priority.URGENT))[1]:
            until(lambda: watch.room)

    lines = Lines(tile)
    assert worker(queue, lines).step()
    assert queue.counts() == {"done": 3}
    assert lines.ran == ["u", "a", "b"]
    first, second = row(queue, "a"), row(queue, "b")
    assert first.attempt - first.given_back == 1  # type: ignore[attr-defined]
    assert (first.preempted, second.preempted) == (1, 0)  # type: ignore[attr-defined]


def test_a_slide_makes_room_three_times_and_no_more() -> None:
    watch = JobWatch(threading.Event())
    assert watch.may_make_room(MOST_PREEMPTED)  # it is only prepared: it costs nothing
    watch.infers = True
    watch.planned(100, 0)
    assert watch.may_make_room(MOST_PREEMPTED - 1)
    assert not watch.may_make_room(MOST_PREEMPTED)


def test_a_slide_that_is_nearly_done_is_finished_first() -> None:
    watch = JobWatch(threading.Event(), infers=True)
    watch.planned(100, 0)
    time.sleep(0.02)
    watch.passed(1)
    assert 0 < watch.seconds_left() < 100
    watch.passed(99)
    assert not watch.may_make_room(0)
    watch.passed(100)
    assert watch.seconds_left() == 0


def test_a_routine_slide_makes_no_room_for_a_batch(queue: Queue) -> None:
    queue.submit(asked("a", priority=Priority.BATCH))
    assert not queue.must_make_room("w")
    queue.submit(asked("u", priority=Priority.URGENT))
    assert queue.must_make_room("w")
    workers.enter(queue.engine, Station("idle", "there", "cpu", "test"), queue.clock())
    assert not queue.must_make_room("w")


def test_a_worker_that_is_drained_gives_back_what_it_has(queue: Queue) -> None:
    queue.submit(asked("a"))
    stop = threading.Event()

    def tile(name: str, watch: JobWatch, done: int) -> None:
        if done == 2:
            assert workers.drain(queue.engine, "w", ONE_PERSON, queue.clock())
            until(stop.is_set)

    it = worker(queue, Lines(tile), stop)
    it.run()
    assert queue.counts() == {"waiting": 1}
    found = row(queue, "a")
    assert (found.attempt, found.given_back) == (1, 1)  # type: ignore[attr-defined]
    assert workers.up(queue.engine, queue.clock()) == []


def test_a_job_that_killed_three_workers_is_said_to_be_dead_by_whoever_looks(
    queue: Queue, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """At once, before all others, and also where no worker is left."""
    name, _ = queue.submit(asked("a", priority=Priority.BATCH))
    queue.submit(asked("b", priority=Priority.URGENT))
    urgent = queue.claim("other")
    assert urgent is not None

    def later() -> None:
        for _ in range(2):
            clock.move(31)
            queue.beat(urgent)

    for turn in range(3):
        assert queue.claim("dies")
        later()
        if turn < 2:
            assert queue.claim("looks") is None
            later()
    lines = Lines()
    with caplog.at_level(logging.ERROR):
        it = worker(queue, lines)
        assert it.bury()
        assert not it.bury()
    assert lines.given_up == [DIED]
    assert row(queue, "a").state == "dead"  # type: ignore[attr-defined]
    assert name in caplog.text
    assert "scans" not in caplog.text


def test_each_change_of_a_job_is_seen_by_those_who_follow_its_trust(queue: Queue) -> None:
    name, _ = queue.submit(asked("a", network="N1"))
    mine = queue.claim("w")
    assert mine is not None
    queue.beat(mine)  # says nothing new
    queue.beat(mine, 10, 3)
    queue.give_back(mine, 0, "x")
    again = queue.claim("w")
    assert again is not None
    with pytest.raises(LostJob):
        queue.done(mine, DONE)
    queue.done(again, DONE)
    seen = changes.since(queue.engine, 0)
    assert [one.seq for one in seen] == [1, 2, 3, 4, 5, 6]
    assert {(c.what, c.id, c.trust, c.network) for c in seen} == {(What.JOB, name, "RXX", "N1")}


def test_who_cancels_a_job_or_changes_its_priority_is_written_down(
    queue: Queue, clock: FakeClock
) -> None:
    queue.submit(asked("a"))
    clock.move(1)
    late, _ = queue.submit(asked("b", priority=Priority.BATCH))
    assert queue.set_priority(late, Priority.URGENT, ONE_PERSON)
    first = queue.claim("w")
    assert first is not None
    assert first.job_id == late
    assert first.asked.urgent
    assert queue.cancel_job(late, ONE_PERSON)
    assert not queue.cancel_job(late, ONE_PERSON)
    assert not queue.set_priority(late, Priority.BATCH, ONE_PERSON)
    with pytest.raises(LostJob):
        queue.beat(first)
    with queue.engine.connect() as connection:
        found = connection.execute(select(act.c.what, act.c.trust, act.c.ids)).all()
    assert [tuple(one) for one in found] == [
        ("priority urgent", "RXX", {"job": late}),
        ("job cancelled", "RXX", {"job": late}),
    ]
    assert queue.submit(asked("b", priority=Priority.BATCH))[1]


def test_a_worker_is_gone_after_a_minute_until_another_takes_its_place(
    queue: Queue, clock: FakeClock
) -> None:
    engine = queue.engine
    first = Station("first", "here", "cuda:0", "test")
    workers.enter(engine, first, clock())
    workers.enter(engine, Station("other", "here", "cuda:1", "test"), clock())
    clock.move(59)
    assert not any(one.gone for one in workers.up(engine, clock()))
    assert not workers.forget(engine, "other", ONE_PERSON, clock())
    clock.move(2)
    assert [one.gone for one in workers.up(engine, clock())] == [True, True]
    workers.enter(engine, Station("second", "here", "cuda:0", "test"), clock())
    assert [one.worker_id for one in workers.up(engine, clock())] == ["other", "second"]
    assert workers.forget(engine, "other", ONE_PERSON, clock())
    assert not workers.beat(engine, first, Doing(), clock())  # it was only slow
    assert len(workers.up(engine, clock())) == 2
    clock.move(-7200)  # a clock that was set back: nobody has been heard of
    assert all(one.gone for one in workers.up(engine, clock()))


def test_a_stopped_line_loses_no_job(queue: Queue) -> None:
    for slide in "abc":
        queue.submit(asked(slide))

    class Broken(Lines):
        def line(self, ended: Callable[[Job, Came], None]) -> Line:
            class Breaking(Line):
                def run(self, jobs: Iterator[tuple[Job, JobWatch]]) -> None:
                    next(jobs)
                    next(jobs)
                    raise Stopped("the line broke")

            return Breaking(ended, self.tile, self.ran)

    assert worker(queue, Broken()).step()
    assert queue.counts() == {"waiting": 3}
    assert queue.lines([JobState.RUNNING]) == []


def test_a_worker_that_stood_still_and_claims_its_own_job_again_has_one_of_the_two(
    queue: Queue, clock: FakeClock
) -> None:
    """Its first claim is lost, and says nothing; the second one is given back, and not counted."""
    queue.submit(asked("a"))
    late = threading.Event()

    def tile(name: str, watch: JobWatch, done: int) -> None:
        if done == 1 and not late.is_set():
            clock.move(200)  # past its lease, with no beat
            assert queue.claim("looks") is None
            clock.move(200)
            late.set()
            until(lambda: watch.lost)

    lines = Lines(tile)
    it = worker(queue, lines)
    while it.step():
        clock.move(1)
    found = row(queue, "a")
    assert (found.state, lines.ran + lines.alone) != ("done", [])  # type: ignore[attr-defined]
    assert len(lines.ran) + len(lines.alone) == 1


def test_a_job_outlives_the_row_of_its_worker(queue: Queue, clock: FakeClock) -> None:
    workers.enter(queue.engine, Station("dies", "here", "cpu", "test"), clock())
    queue.submit(asked("a"))
    assert queue.claim("dies")
    clock.move(61)
    assert workers.forget(queue.engine, "dies", ONE_PERSON, clock())
    assert queue.claim("looks") is None
    clock.move(11)
    assert queue.claim("looks") is not None


def test_only_what_is_before_an_urgent_slide_makes_room_for_it(queue: Queue) -> None:
    keep = Keeping(queue, "w", threading.Event(), 1.0)
    watches = []
    for slide, priority in (("a", Priority.BATCH), ("u", Priority.URGENT), ("b", Priority.BATCH)):
        queue.submit(asked(slide, priority=priority))
        mine = queue.claim("w")
        assert mine is not None
        watches.append(keep.take(mine))
    watches[0].planned(TILES, 0)
    keep.beat()
    assert [watch.room for watch in watches] == [True, False, False]
    watches[0].room = False
    watches[1].planned(TILES, 0)  # it has begun
    keep.beat()
    assert not any(watch.room for watch in watches)
