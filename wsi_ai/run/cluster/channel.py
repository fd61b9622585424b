"""From a worker to the runs that it works for, and back: news go by the scheduler's events, answers
are brought by a call."""

import pickle
import threading
import time
import uuid
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distributed import Worker

from wsi_ai.errors import OutputError
from wsi_ai.run.cluster.messages import FromWorker
from wsi_ai.run.fleet import messages
from wsi_ai.run.fleet.asking import Question

_PATIENCE_S = 120.0
"""For an answer."""
_LOOK_S = 0.5
_BETWEEN_S = 0.5
"""The least time between two reports of how far a slide has come."""


class Channel:
    """Of one worker."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self._open: dict[str, Future[Any]] = {}

    def of(self, topic: str, run: str, stopped: threading.Event) -> "RunChannel":
        return RunChannel(self, topic, FromWorker(run, self.worker.address, None), stopped)

    def send(self, topic: str, message: FromWorker) -> None:
        self.worker.log_event(topic, message.packed())

    def ask(self, topic: str, message: FromWorker, stopped: threading.Event) -> Any:
        """Raises OutputError where no answer comes."""
        deadline = time.monotonic() + _PATIENCE_S
        answer = self._open[message.question] = Future[Any]()
        try:
            self.send(topic, message)
            while not stopped.is_set() and time.monotonic() < deadline:
                try:
                    return answer.result(_LOOK_S)
                except TimeoutError:
                    continue
            raise OutputError("the run that would keep the flag has ended")
        finally:
            del self._open[message.question]

    def answered(self, question: str, packed: bytes) -> None:
        if (waiting := self._open.get(question)) is not None and not waiting.done():
            waiting.set_result(pickle.loads(packed))


@dataclass(slots=True)
class RunChannel:
    """Of one run on one worker.  Watches its slides: see ``contracts.Watcher``."""

    channel: Channel
    topic: str
    blank: FromWorker
    stopped: threading.Event
    _last: float = 0.0
    _tiles: int = 0

    def exchange(self, question: Question) -> Any:
        message = replace(self.blank, news=question, question=uuid.uuid4().hex)
        return self.channel.ask(self.topic, message, self.stopped)

    def started(self, slide: Path) -> None:
        self._tell(messages.Started(slide))

    def planned(self, tiles: int, done: int) -> None:
        self._tiles = tiles
        self._tell(messages.Planned(tiles, done))

    def passed(self, done: int) -> None:
        now = time.monotonic()
        if now - self._last >= _BETWEEN_S or done == self._tiles:
            self._last = now
            self._tell(messages.Passed(done))

    def beside(self) -> "RunChannel":
        return self

    def _tell(self, news: messages.News) -> None:
        self.channel.send(self.topic, replace(self.blank, news=news))
