"""A worker: one job after another, until it is asked to stop."""

import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from wsi_ai.core.attempt import error_of
from wsi_ai.errors import OutputError, Stopped, WsiAiError
from wsi_ai.service.jobs import Job
from wsi_ai.service.queue import MOST_FAILURES, Answer, LostJob, Queue
from wsi_ai.service.slide_places import NotReady

log = logging.getLogger(__name__)

READY_S = 15.0

DIED = f"{MOST_FAILURES} workers ended on this slide before it was judged"


class SiteFault(WsiAiError):
    """No job can be run: the model, the device or the place of results is at fault."""


class Runs(Protocol):
    """What runs a job.  Both raise LostJob, or OutputError where the database refuses."""

    def run(self, mine: Job, watch: "JobWatch") -> Answer:
        """Raises NotReady, Stopped or SiteFault too."""
        ...

    def give_up(self, mine: Job, reason: str) -> Answer:
        """The slide's ``not_assessed`` flag, where no answer stands."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    idle_s: float = 1.0
    """Between two looks at an empty queue."""
    beat_s: float = 10.0
    ready_s: float = READY_S
    """Until a slide that is not there yet is looked for again."""
    fault_s: float = 60.0
    """Until it is tried again whether jobs can be run."""
    insist_s: float = 5.0
    """Between two tries to write down what came of a job."""


@dataclass(slots=True)
class JobWatch:
    """See ``contracts.Watcher``: of one job, which may be stopped or lost."""

    stop: threading.Event
    lost: bool = False
    tiles: int | None = None
    done: int | None = None

    def started(self, slide: Path) -> None: ...

    def planned(self, tiles: int, done: int) -> None:
        self.tiles, self.done = tiles, done

    def passed(self, done: int) -> None:
        self.done = done
        if self.lost or self.stop.is_set():
            raise Stopped("the job was stopped")

    def beside(self) -> "JobWatch":
        return self


@dataclass(frozen=True, slots=True)
class Worker:
    """Killed at any moment, it has lost nothing: its job goes to the next one."""

    queue: Queue
    runs: Runs
    stop: threading.Event
    pace: Pace = Pace()
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Anew for each start: no worker takes another's job for its own."""

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                found = self.step()
            except OutputError as error:
                log.error("the queue cannot be used: %s", error)  # noqa: TRY400
                found = False
            if not found:
                self.stop.wait(self.pace.idle_s)

    def step(self) -> bool:
        """Run one job.  Returns whether there was one."""
        mine = self.queue.claim(self.name)
        if mine is None:
            return False
        with self._beating(mine) as watch:
            try:
                self._work(mine, watch)
            except LostJob as error:
                log.warning("%s", error)
        return True

    def _work(self, mine: Job, watch: JobWatch) -> None:
        pace, queue = self.pace, self.queue
        if mine.failures >= MOST_FAILURES:
            log.error("a job is dead: %s", DIED)
            answer = self.runs.give_up(mine, DIED)
            self._insist(lambda: queue.bury(mine, answer))
            return
        answers = list[Answer]()
        match error_of(lambda: answers.append(self.runs.run(mine, watch))):
            case None:
                self._insist(lambda: queue.done(mine, answers[0]))
            case NotReady() as error:
                self._give_back(mine, pace.ready_s, str(error))
            case Stopped():
                self._give_back(mine, 0.0, "the worker was stopped")
            case LostJob() as error:
                raise error
            case SiteFault() | OutputError() as error:
                log.error("no job can be run: %s", error)
                self._give_back(mine, pace.fault_s, str(error))
            case error:
                log.error("a job failed: a mistake of ours, see the log at its finest")
                log.debug("a job", exc_info=error)
                self._insist(lambda: queue.fail(mine, "a mistake of ours"))

    def _give_back(self, mine: Job, after_s: float, why: str) -> None:
        self._insist(lambda: self.queue.give_back(mine, after_s, why))

    def _insist(self, write: Callable[[], None]) -> None:
        """While the database is away, what came of the job is not lost."""
        while True:
            try:
                write()
            except LostJob:
                raise
            except OutputError as error:
                log.error("a job is not written down yet: %s", error)  # noqa: TRY400
                if self.stop.wait(self.pace.insist_s):
                    raise
            else:
                return

    @contextmanager
    def _beating(self, mine: Job) -> Iterator[JobWatch]:
        watch, over = JobWatch(self.stop), threading.Event()

        def beat() -> None:
            while not over.wait(self.pace.beat_s):
                try:
                    self.queue.beat(mine, watch.tiles, watch.done)
                except LostJob:
                    watch.lost = True
                    return
                except OutputError:
                    continue  # the database is away: nobody else gets the job either

        thread = threading.Thread(target=beat, name="beat", daemon=True)
        thread.start()
        try:
            yield watch
        finally:
            over.set()
            thread.join()


def run_together(workers: Sequence[Worker]) -> None:
    """Until all have stopped: several where the jobs run on other machines, or one."""
    first, *others = workers
    threads = [threading.Thread(target=worker.run, name="worker") for worker in others]
    for thread in threads:
        thread.start()
    first.run()
    for thread in threads:
        thread.join()
