"""A worker: one job after another, or jobs that can share a line together, until it is stopped."""

import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from wsi_ai.core.attempt import error_of
from wsi_ai.errors import DeviceError, OutputError, Stopped, WsiAiError
from wsi_ai.service import workers
from wsi_ai.service.claiming import MOST_FAILURES
from wsi_ai.service.job_watch import JobWatch
from wsi_ai.service.jobs import Job
from wsi_ai.service.keeping import Keeping
from wsi_ai.service.queue import Answer, LostJob, Queue
from wsi_ai.service.slide_places import NotReady
from wsi_ai.service.workers import Station

log = logging.getLogger(__name__)

READY_S = 15.0

DIED = f"{MOST_FAILURES} workers ended on this slide before it was judged"


class SiteFault(WsiAiError):
    """No job can be run: the model, the device or the place of results is at fault."""


class Runs(Protocol):
    """What runs a job.  Both raise LostJob, or OutputError where the database refuses."""

    def run(self, mine: Job, watch: JobWatch) -> Answer:
        """Raises NotReady, Stopped or SiteFault too."""
        ...

    def give_up(self, mine: Job, reason: str) -> Answer:
        """The slide's ``not_assessed`` flag, where no answer stands."""
        ...


Came = Callable[[], Answer]
"""What came of a job.  Raises as ``Runs.run``, and DeviceError."""
Write = Callable[[Job, Answer], None]


class Line(Protocol):
    """Jobs that are at work in one worker at the same time."""

    def run(self, jobs: Iterator[tuple[Job, JobWatch]]) -> None:
        """Ask for the next job whenever there is room, until there are no more.  Raises
        SiteFault."""
        ...


class Lines(Protocol):
    """What runs several jobs at once."""

    def shares(self, mine: Job, other: Job) -> bool:
        """Whether they can go through one line; one that cannot share a line with itself runs
        alone."""
        ...

    def line(self, ended: Callable[[Job, Came], None]) -> Line:
        """``ended`` is called once for each job, from any thread."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    idle_s: float = 1.0
    """Between two looks at an empty queue."""
    beat_s: float = 5.0
    ready_s: float = READY_S
    """Until a slide that is not there yet is looked for again."""
    fault_s: float = 60.0
    """Until it is tried again whether jobs can be run."""
    insist_s: float = 5.0
    """Between two tries to write down what came of a job."""
    linger_s: float = 30.0
    """How long models are kept at hand when there is nothing to do."""
    most_on_a_line: int = 50
    """Then its record is written, and a new line is begun."""


@dataclass(frozen=True, slots=True)
class Worker:
    """Killed at any moment, it has lost nothing: its job goes to the next one."""

    queue: Queue
    runs: Runs
    stop: threading.Event
    pace: Pace = Pace()
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Anew for each start: no worker takes another's job for its own."""
    lines: Lines | None = None
    """``None``: one job after another."""
    station: Station | None = None
    """Of the same name; ``None``: it is in no list of workers."""

    def run(self) -> None:
        with self._keeping().running() as keep:
            keep.beat()  # the list has it from the start
            while not self.stop.is_set():
                try:
                    found = self._step(keep)
                except OutputError as error:
                    log.error("the queue cannot be used: %s", error)  # noqa: TRY400
                    found = False
                if not found:
                    self.stop.wait(self.pace.idle_s)
        self._leave()

    def step(self) -> bool:
        """Run one job, and those that share its line.  Returns whether there was one."""
        with self._keeping().running() as keep:
            return self._step(keep)

    def bury(self) -> bool:
        """Say of one job whose workers all died that its slide was not assessed.  Returns whether
        there was one."""
        mine = self.queue.claim_dead(self.name)
        if mine is None:
            return False
        with self._keeping().running() as keep:
            self._alone(mine, keep)
        return True

    def _keeping(self) -> Keeping:
        return Keeping(self.queue, self.name, self.stop, self.pace.beat_s, self.station)

    def _leave(self) -> None:
        if self.station is None:
            return
        try:
            workers.leave(self.queue.engine, self.name, self.queue.clock())
        except OutputError as error:
            log.error("it could not be said that this worker ended: %s", error)  # noqa: TRY400

    def _step(self, keep: Keeping) -> bool:
        mine = self.queue.claim(self.name)
        if mine is None:
            return False
        lines = self.lines
        if lines is None or mine.failures or not lines.shares(mine, mine):
            self._alone(mine, keep)
        else:
            self._on_a_line(mine, keep, lines)
        return True

    def _alone(self, mine: Job, keep: Keeping) -> None:
        watch = keep.take(mine)
        try:
            if mine.failures >= MOST_FAILURES:
                log.error("job %s is dead: %s", mine.job_id, DIED)
                self._settle(mine, watch, lambda: self.runs.give_up(mine, DIED), self.queue.bury)
            else:
                self._settle(mine, watch, lambda: self.runs.run(mine, watch), self.queue.done)
        finally:
            keep.drop(mine)

    def _on_a_line(self, first: Job, keep: Keeping, lines: Lines) -> None:
        on_it = {first.claim: (first, keep.take(first))}

        def ended(mine: Job, came: Came) -> None:
            _, watch = on_it.pop(mine.claim)
            try:
                self._settle(mine, watch, came, self.queue.done)
            finally:
                keep.drop(mine)

        def jobs() -> Iterator[tuple[Job, JobWatch]]:
            yield on_it[first.claim]
            for mine in self._following(first, keep, lines):
                on_it[mine.claim] = mine, keep.take(mine)
                yield on_it[mine.claim]

        error = error_of(lambda: lines.line(ended).run(jobs()))
        for mine, _ in list(on_it.values()):
            ended(mine, _raising(error or Stopped("the line ended")))

    def _following(self, first: Job, keep: Keeping, lines: Lines) -> Iterator[Job]:
        """On the line, until there is nothing to do, or it is another one's turn."""
        for _ in range(1, self.pace.most_on_a_line):
            found = self._next(keep)
            if found is None:
                return
            if found.failures >= MOST_FAILURES:
                self._alone(found, keep)
            elif found.failures or not lines.shares(first, found):
                self._give_back(found, 0.0, "it is not of the line at hand")
                return
            else:
                yield found

    def _next(self, keep: Keeping) -> Job | None:
        """``None`` after some time in which there was nothing to do."""
        idle_s = 0.0
        while not self.stop.is_set() and idle_s < self.pace.linger_s:
            busy = bool(keep.held())
            if any(watch.fault for _, watch in keep.held()):
                return None
            try:
                claim = self.queue.claim_ahead if busy else self.queue.claim
                if (found := claim(self.name)) is not None:
                    return found
            except OutputError as error:
                log.error("the queue cannot be used: %s", error)  # noqa: TRY400
            self.stop.wait(self.pace.idle_s)
            idle_s = 0.0 if busy else idle_s + self.pace.idle_s
        return None

    def _settle(self, mine: Job, watch: JobWatch, came: Came, write: Write) -> None:
        """Write down what came of a job; ``write`` says an answer."""
        try:
            self._settled(mine, watch, came, write)
        except LostJob as error:
            log.warning("%s", error)

    def _settled(self, mine: Job, watch: JobWatch, came: Came, write: Write) -> None:
        pace, queue = self.pace, self.queue
        answers = list[Answer]()
        match error_of(lambda: answers.append(came())):
            case None:
                self._insist(lambda: write(mine, answers[0]))
            case NotReady() as error:
                self._give_back(mine, pace.ready_s, str(error))
            case Stopped() if watch.room and watch.infers and not watch.lost:
                self._insist(lambda: queue.make_room(mine))
            case Stopped():
                self._give_back(mine, 0.0, "the worker was stopped")
            case LostJob() as error:
                raise error
            case DeviceError() as error:
                reason = str(error)
                self._insist(lambda: queue.fail(mine, reason))
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
                wait_s = self.queue.random.uniform(0.5, 1.5) * self.pace.insist_s
                if self.stop.wait(wait_s):
                    raise
            else:
                return


def _raising(error: Exception) -> Came:
    def came() -> Answer:
        raise error

    return came


def run_together(workers: Sequence[Worker]) -> None:
    """Until all have stopped: several where the jobs run on other machines, or one."""
    first, *others = workers
    threads = [threading.Thread(target=worker.run, name="worker") for worker in others]
    for thread in threads:
        thread.start()
    first.run()
    for thread in threads:
        thread.join()
