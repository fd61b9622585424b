"""One device's process: takes slides from the run, and tells it all that happens."""

import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from wsi_ai.core.logs import LogSettings, start_logging
from wsi_ai.errors import ModelError, OutputError
from wsi_ai.run.assembly import Assembly
from wsi_ai.run.fleet import messages
from wsi_ai.run.fleet.asking import AskingPost, Question
from wsi_ai.run.process import prepare_process
from wsi_ai.run.several_models import SlideTask, SlideTasks
from wsi_ai.run.stages import through_stages


@dataclass(frozen=True, slots=True)
class Pipes:
    """The worker's ends.  Sent to it when it is started."""

    run: Connection
    """Slides come, news go."""
    post: Connection
    """Flags go, and come back as they were kept."""


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What a worker is told once."""

    assembly: Assembly[Any]
    logs: LogSettings


def serve(terms: WorkerSetup, wires: Pipes) -> None:
    """Run until there are no more slides, or the device fails, or the run is gone."""
    prepare_process()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run is interrupted, and stops its workers
    start_logging(terms.logs)
    line = _Worker(wires.run)
    work, refused = terms.assembly.work(line, AskingPost(_Wire(wires.post).exchange), line.give_up)
    for _, error in refused:
        line.tell(messages.RuntimeRefused(str(error), isinstance(error, ModelError)))
        return
    line.run(work)


@dataclass(slots=True)
class _Wire:
    """To the run that keeps the flags."""

    wire: Connection
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def exchange(self, question: Question) -> Any:
        try:
            with self._lock:
                self.wire.send(question)
                return self.wire.recv()
        except (EOFError, OSError):
            raise OutputError("the run that would keep the flag has ended") from None


class _Worker:
    """Slides in from the wire, through the steps, and every news out.  Also watches the steps."""

    def __init__(self, wire: Connection) -> None:
        self._wire, self._lock = wire, threading.Lock()
        self._inbox: SimpleQueue[messages.RunSlide | None] = SimpleQueue()
        self._work: SlideTasks[Any] | None = None

    def run(self, work: SlideTasks[Any]) -> None:
        self._work = work
        threading.Thread(target=self._listen, daemon=True).start()
        self.tell(messages.Ready())
        stages = work.prepare, work.infer, self._publish
        for _ in through_stages(
            self._slides(work), stages, work.stop, SlideTask.is_over, SlideTask.passes
        ):
            pass

    def tell(self, news: messages.News) -> None:
        """Where the run is gone there is no one to tell: what is under way is stopped."""
        try:
            with self._lock:
                self._wire.send(news)
        except OSError:
            self._stop()

    def give_up(self, slide: Path, reason: str) -> bool:
        """The device failed: end, and leave all that is not published to others."""
        self.tell(messages.Lost(reason))
        self._stop()
        return True

    def started(self, slide: Path) -> None:
        self.tell(messages.Started(slide))

    def planned(self, tiles: int, done: int) -> None:
        self.tell(messages.Planned(tiles, done))

    def passed(self, done: int) -> None:
        self.tell(messages.Passed(done))

    def beside(self) -> "_Worker":
        return self

    def _publish(self, task: SlideTask[Any]) -> SlideTask[Any]:
        task = self._work.publish(task) if self._work else task
        if task.is_decided:
            self.tell(messages.Done(task.number, task.outcomes))
        return task

    def _slides(self, work: SlideTasks[Any]) -> Iterator[SlideTask[Any]]:
        while True:
            self.tell(messages.Ask())
            slide = self._inbox.get()
            if slide is None:
                return
            yield work.begin(slide.path, slide.number)

    def _listen(self) -> None:
        """Until the run says that there is no more, or has given up."""
        try:
            while (slide := self._wire.recv()) is not None:
                self._inbox.put(slide)
            self._inbox.put(None)
        except (EOFError, OSError):
            self._stop()

    def _stop(self) -> None:
        if self._work is not None:
            self._work.stop()
        self._inbox.put(None)
