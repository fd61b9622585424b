"""The jobs that a worker has, kept by a thread that beats for all of them."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from wsi_ai.errors import OutputError
from wsi_ai.service import workers
from wsi_ai.service.job_watch import JobWatch
from wsi_ai.service.jobs import Job
from wsi_ai.service.queue import LostJob, Queue
from wsi_ai.service.workers import Doing, Station

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Keeping:
    """Each beat renews the leases, asks whether somebody wants this worker to end, and whether an
    urgent slide has to go first."""

    queue: Queue
    name: str
    stop: threading.Event
    beat_s: float
    station: Station | None = None
    """``None``: the worker is in no list."""
    _held: dict[tuple[str, int], tuple[Job, JobWatch]] = field(default_factory=dict)
    _soon: threading.Event = field(default_factory=threading.Event)
    _over: bool = False

    def take(self, mine: Job) -> JobWatch:
        watch = JobWatch(self.stop)
        self._held[mine.claim] = mine, watch
        return watch

    def drop(self, mine: Job) -> None:
        self._held.pop(mine.claim, None)
        if not self._held:
            self._soon.set()  # so that others know at once that it has nothing to do

    def held(self) -> list[tuple[Job, JobWatch]]:
        return list(self._held.values())

    @contextmanager
    def running(self) -> Iterator["Keeping"]:
        thread = threading.Thread(target=self._beat_on, name="beat", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._over = True
            self._soon.set()
            thread.join()

    def _beat_on(self) -> None:
        while not self._over:
            self._soon.wait(self.beat_s)
            self._soon.clear()
            if not self._over:
                self.beat()

    def beat(self) -> None:
        """While the database is away, nobody else gets a job either."""
        for mine, watch in self.held():
            try:
                self.queue.beat(mine, watch.tiles, watch.done)
            except LostJob:
                watch.lost = True
            except OutputError:
                return
        try:
            self._beat_as_worker()
            self._make_room()
        except OutputError as error:
            log.debug("a beat was left out: %s", error)

    def _beat_as_worker(self) -> None:
        if self.station is None:
            return
        held = self.held()
        models = sorted({name for mine, _ in held for name in mine.asked.models})
        first = next((mine.job_id for mine, watch in held if watch.infers), None)
        doing = Doing(first or (held[0][0].job_id if held else None), models)
        if workers.beat(self.queue.engine, self.station, doing, self.queue.clock()):
            self.stop.set()

    def _make_room(self) -> None:
        """At the next tiles; what is only prepared is given back as soon as it comes up.  What was
        taken after an urgent slide is behind it already."""
        held = self.held()
        last = max((n for n, one in enumerate(held) if _is_urgent_next(*one)), default=0)
        others = [one for one in held if not one[0].asked.urgent]
        if not others or not self.queue.must_make_room(self.name):
            others = [one for one in held[:last] if not one[0].asked.urgent]
        for mine, watch in others:
            watch.room = watch.room or watch.may_make_room(mine.preempted)


def _is_urgent_next(mine: Job, watch: JobWatch) -> bool:
    return mine.asked.urgent and not watch.infers
