"""A connection to a cluster, by which any number of runs give it slides."""

import logging
import pickle
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from distributed import Client, Future, KilledWorker

from wsi_ai.core.attempt import error_of
from wsi_ai.core.logs import in_force
from wsi_ai.errors import DeviceError, InputError
from wsi_ai.run.cluster.messages import Ended, FromWorker, WorkerGone, unpacked
from wsi_ai.run.cluster.settings import AT_HAND, SLIDES
from wsi_ai.run.cluster.worker import (
    LinePlugin,
    RunPlugin,
    RunTerms,
    answered,
    key_start,
    plugin_name,
    run_slide,
)
from wsi_ai.run.fleet import messages
from wsi_ai.run.fleet.asking import Answer

log = logging.getLogger(__name__)
GONE = (
    "the cluster's scheduler does not answer any more; what is done is kept, and the same command"
    " goes on from there"
)
_EVERYTHING = "all"
"""The topic of what happens to a cluster."""
_RESULT_S = 10.0
_MESSENGERS = 32
_RESTART_S = 60.0
_PATIENCE_S, SECOND_PATIENCE_S = 5.0, 90.0
"""With a slide that another process is at work on: that may be the worker of a run that was just
killed; and what a lost machine holds on a file server is free after that time at the latest."""
News = FromWorker | WorkerGone | tuple[int, Future[Any]]
"""Of a task that is over: its slide's number, and the future."""
Inbox = SimpleQueue[News]


@dataclass(slots=True)
class Session:
    """Called by any thread."""

    client: Client
    close: Callable[[], None]
    topic: str = field(default_factory=lambda: f"wsi-ai-{uuid.uuid4().hex}")
    _runs: dict[str, Inbox] = field(default_factory=dict)
    _listens_to: set[str] = field(default_factory=set)
    _messengers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_MESSENGERS))

    def begin(self) -> None:
        """Raises InputError where a worker cannot take our plugin."""
        for topic, listener in ((self.topic, self._heard), (_EVERYTHING, self._happened)):
            self.client.subscribe_topic(topic, listener)
            self._listens_to.add(topic)
        self._register(LinePlugin(in_force()), LinePlugin.name)

    def end(self) -> None:
        self._forget_news()
        for topic in (self.topic, _EVERYTHING):
            if self.is_alive and topic in self._listens_to:
                self.client.unsubscribe_topic(topic)
        self._messengers.shutdown(wait=False, cancel_futures=True)
        self.close()

    @property
    def is_alive(self) -> bool:
        return bool(self.client.status == "running")

    def workers(self) -> Mapping[str, Mapping[str, Any]]:
        """What the scheduler knows of each, by address.  Raises DeviceError."""
        if not self.is_alive:
            raise DeviceError(GONE)
        try:
            found: dict[str, Any] = self.client.scheduler_info(n_workers=-1)
        except (OSError, TimeoutError):
            raise DeviceError(GONE) from None
        return dict(found["workers"])

    @contextmanager
    def run(self, terms: RunTerms) -> Iterator[Inbox]:
        """While the block runs, the workers have what they need of this run."""
        inbox = self._runs[terms.run] = Inbox()
        try:
            self._register(RunPlugin(terms), plugin_name(terms.run))
            yield inbox
        finally:
            del self._runs[terms.run]
            self._unregister(plugin_name(terms.run))
            self._forget_news()

    def submit(
        self, run: str, slide: messages.RunSlide, worker: str, key: str, *, alone: bool
    ) -> Future[Any]:
        """Give a slide to a worker: its end comes to the run's inbox."""
        future = self.client.submit(
            run_slide,
            run,
            slide,
            SECOND_PATIENCE_S if alone else _PATIENCE_S,
            key=f"{key_start(run)}{key}",
            workers=[worker],
            allow_other_workers=False,
            resources={SLIDES: AT_HAND if alone else 1},
            priority=1 if alone else 0,
            retries=0,
            pure=False,
        )
        self.hear_of(slide.number, future, run)
        return future

    def hear_of(self, number: int, future: Future[Any], run: str) -> None:
        """At the task's end, or now where it is over."""
        inbox = self._runs[run]
        future.add_done_callback(lambda done: inbox.put((number, done)))

    def answer(self, message: FromWorker, answer: Answer) -> None:
        """Where the worker is gone there is no one to answer; one that is frozen keeps nobody else
        waiting."""
        packed = pickle.dumps(answer)

        def bring() -> None:
            self.client.run(
                answered, message.question, packed, workers=[message.worker], on_error="ignore"
            )

        def try_to_bring() -> None:
            if error_of(bring) is not None:
                log.debug("a worker ended while its flag was kept")

        self._messengers.submit(try_to_bring)

    def restart(self, worker: str) -> None:
        """By its nanny; meanwhile the run goes on."""

        def restart() -> None:
            error = error_of(
                lambda: self.client.restart_workers([worker], _RESTART_S, raise_for_error=False)
            )
            if error is not None:
                log.debug("a worker was not started anew", exc_info=error)

        threading.Thread(target=restart, daemon=True).start()

    def _register(self, plugin: LinePlugin | RunPlugin, name: str) -> None:
        error = error_of(lambda: self.client.register_plugin(plugin, name))
        if isinstance(error, OSError | TimeoutError):
            raise DeviceError(GONE)
        if error is not None:
            log.debug("the workers took no plugin", exc_info=error)
            raise InputError(
                "the cluster's workers cannot run slides: the same version of wsi_ai, and of"
                " Python, has to be installed on all of them"
            )

    def _unregister(self, name: str) -> None:
        """The workers stop what is left of the run."""
        if not self.is_alive:
            return
        if error := error_of(lambda: self.client.unregister_worker_plugin(name)):
            log.debug("a run's plugin stays", exc_info=error)

    def _heard(self, event: tuple[float, Any]) -> None:
        message = unpacked(event[1])
        if (inbox := self._runs.get(message.run)) is not None:
            inbox.put(message)

    def _happened(self, event: tuple[float, Any]) -> None:
        _, what = event
        if isinstance(what, dict) and what.get("action") == "remove-worker":
            gone = WorkerGone(what["worker"], bool(what["expected"]))
            for inbox in list(self._runs.values()):
                inbox.put(gone)

    def _forget_news(self) -> None:
        """The scheduler keeps events, and flags are among ours."""
        topic = self.topic

        def forget(dask_scheduler: Any) -> None:
            dask_scheduler._broker.truncate(topic)

        error = error_of(lambda: self.client.run_on_scheduler(forget)) if self.is_alive else None
        if error is not None:
            log.debug("the scheduler keeps our news", exc_info=error)


def result_of(future: Future[Any]) -> Ended | WorkerGone | None:
    """What a task gave, or which worker was killed; ``None`` where neither is known (yet).  Raises
    DeviceError where the scheduler is gone, InputError where a worker does not know our code."""
    if future.status == "cancelled":
        raise DeviceError(GONE)
    found: list[Ended] = []
    match error_of(lambda: found.append(future.result(_RESULT_S))):
        case None:
            return found[0]
        case KilledWorker() as killed:
            return WorkerGone(killed.last_worker.address, expected=False)
        case TimeoutError():
            return None
        case OSError():
            raise DeviceError(GONE)
        case error:
            log.debug("a task failed", exc_info=error)
            raise InputError("a worker of the cluster could not run a slide: see the log")
