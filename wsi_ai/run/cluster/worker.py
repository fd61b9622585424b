"""A cluster's worker: one assembly line, through which the slides of all runs go.

The plugins hold what must outlive a task: ``LinePlugin`` the line and the runtimes, ``RunPlugin``
what one run asks.  A task only puts its slide on the line and waits.
"""

import hmac
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from distributed import Worker, WorkerPlugin, get_worker

from wsi_ai.core.attempt import error_of
from wsi_ai.core.environment import threads
from wsi_ai.core.logs import LogSettings, start_logging
from wsi_ai.core.seals import seal
from wsi_ai.errors import DeviceError, InputError, ModelError, OutputError, PolicyError
from wsi_ai.inference.registry import devices_asked
from wsi_ai.run.assembly import Assembly
from wsi_ai.run.cluster.channel import Channel
from wsi_ai.run.cluster.messages import Ended, GivenBack, Result
from wsi_ai.run.cluster.settings import quieten
from wsi_ai.run.engine import Engine
from wsi_ai.run.fleet import messages
from wsi_ai.run.fleet.asking import AskingPost
from wsi_ai.run.no_ops import NoPost
from wsi_ai.run.process import prepare_process
from wsi_ai.run.several_models import SlideTask, SlideTasks
from wsi_ai.run.stages import through_stages

log = logging.getLogger(__name__)
LINE = "wsi-ai-line"
_OF_RUNS = "a run's name"
_AGAIN_S = 0.5
"""Until a slide that another process was at work on is looked at again."""


def plugin_name(run: str) -> str:
    return f"wsi-ai-run-{run}"


def sealed_name(run: str) -> bytes:
    """Raises OutputError where the site has no key."""
    return seal(_OF_RUNS, run.encode())


def key_start(run: str) -> str:
    """Of the keys of a run's tasks."""
    return f"wsi-ai-{run}-"


@dataclass(eq=False)
class _Item:
    """A slide on the line, by the models of its run."""

    works: SlideTasks[Any]
    task: SlideTask[Any]
    done: Future[None] = field(default_factory=Future)

    def prepare(self) -> "_Item":
        return self._by(self.works.prepare)

    def infer(self) -> "_Item":
        return self._by(self.works.infer)

    def publish(self) -> "_Item":
        self._by(self.works.publish)
        if not self.done.done():
            self.done.set_result(None)
        return self

    def _by(self, stage: Callable[[SlideTask[Any]], SlideTask[Any]]) -> "_Item":
        """An error is for who waits for the slide; the line goes on with the next one."""

        def step() -> None:
            stage(self.task)

        if not self.done.done() and (error := error_of(step)):
            self.done.set_exception(error)
        return self

    def is_over(self) -> bool:
        return self.done.done() or self.task.is_over()

    def passes(self) -> bool:
        return self.task.passes()


class Line:
    """While one slide is inferred, the next one is opened and the last one written."""

    def __init__(self) -> None:
        self._inbox: SimpleQueue[_Item | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="line", daemon=True)
        self._thread.start()

    def through(self, works: SlideTasks[Any], task: SlideTask[Any]) -> None:
        """Returns when the slide is decided, or the run was stopped."""
        item = _Item(works, task)
        self._inbox.put(item)
        item.done.result()

    def close(self) -> None:
        self._inbox.put(None)

    def _run(self) -> None:
        stages = _Item.prepare, _Item.infer, _Item.publish
        for _ in through_stages(
            self._items(), stages, self.close, over=_Item.is_over, passes=_Item.passes
        ):
            pass

    def _items(self) -> Iterator[_Item]:
        while (item := self._inbox.get()) is not None:
            yield item


@dataclass(slots=True)
class OpenEngines:
    """Those of the last assembly that was run here stay open for the next one that wants the
    same."""

    _terms: tuple[object, ...] = ()
    _engines: list[Engine] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, assembly: Assembly[Any]) -> list[Engine]:
        """Raises ModelError or DeviceError."""
        terms = assembly.engine_terms(NoPost())
        with self._lock:
            if terms != self._terms:
                self._terms, self._engines = (), []
                found, refused = assembly.engines(NoPost())
                for _, error in refused:
                    raise error
                self._terms, self._engines = terms, found
            return self._engines


class LinePlugin(WorkerPlugin):
    """What a worker has as long as it lives."""

    name = LINE
    idempotent = True
    line: Line
    engines: OpenEngines
    channel: Channel

    def __init__(self, logs: LogSettings) -> None:
        self.logs = logs

    def setup(self, worker: Worker) -> None:
        prepare_process()
        start_logging(self.logs)
        quieten()
        self.line, self.engines, self.channel = Line(), OpenEngines(), Channel(worker)

    def teardown(self, worker: Worker) -> None:
        self.line.close()


@dataclass(frozen=True, slots=True)
class RunTerms:
    """What a worker is told of a run."""

    run: str
    topic: str
    """Where the run listens."""
    assembly: Assembly[Any]
    begun: float
    """The run's beginning on ``time.time()``: ``perf_counter`` is each machine's own."""
    workers_on: Mapping[str, int]
    """Number of workers, by host."""
    sealed: bytes
    """What the site's key makes of the run's name: it shows that a key is the same, and not the
    key."""

    def refuse_another_key(self) -> None:
        """Results and journals of such a worker would be a stranger's to every other one.  Raises
        DeviceError."""
        if not hmac.compare_digest(self.sealed, sealed_name(self.run)):
            raise DeviceError(
                "the worker has another site key than the run: give all machines the same file,"
                " and name it in site.toml: [results] key"
            )

    def assembly_on(self, host: str) -> Assembly[Any]:
        """Raises InputError or DeviceError."""
        device = devices_asked(self.assembly.options.device)[0]
        share = 1 if self.assembly.options.threads else self._share(host)
        epoch = time.perf_counter() - (time.time() - self.begun)
        return replace(self.assembly.on(device, share), epoch=epoch)

    def _share(self, host: str) -> int:
        """A batch system gives each worker processors of its own; else they share the host's."""
        has_all = threads() == os.cpu_count()
        return self.workers_on.get(host, 1) if has_all else 1


class RunPlugin(WorkerPlugin):
    """What a worker has of one run."""

    def __init__(self, terms: RunTerms) -> None:
        self.terms = terms
        self.name = plugin_name(terms.run)

    def setup(self, worker: Worker) -> None:
        self._worker = worker
        self._works: SlideTasks[Any] | None = None
        self._stopped = threading.Event()
        self._lost = ""
        self._lock = threading.Lock()

    def teardown(self, worker: Worker) -> None:
        self.stop()

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """A task that is taken back while it runs: the run, or the scheduler, is gone."""
        mine = isinstance(key, str) and key.startswith(key_start(self.terms.run))
        if mine and start == "executing" and finish not in ("memory", "error"):
            self.stop()

    def stop(self) -> None:
        """End what is under way soon; what was inferred is kept."""
        self._stopped.set()
        if self._works is not None:
            self._works.stop()

    def through(self, slide: messages.RunSlide, patience_s: float) -> Result:
        """A slide that another process is at work on is looked at again for ``patience_s``: that
        may be a worker that is about to end."""
        found: list[Result] = []
        error = error_of(lambda: found.append(self._through(slide, patience_s)))
        match error:
            case None:
                return found[0]
            case ModelError():
                return messages.RuntimeRefused(str(error), model=True)
            case DeviceError() | InputError() | OutputError() | PolicyError():
                return messages.RuntimeRefused(str(error), model=False)
        log.debug("a slide failed", exc_info=error)
        return messages.RuntimeRefused("a mistake of ours; please report it", model=False)

    def _through(self, slide: messages.RunSlide, patience_s: float) -> Result:
        deadline = time.monotonic() + patience_s
        works = self._begun()
        while True:
            task = works.begin(slide.path, slide.number)
            self._line.line.through(works, task)
            if not task.is_decided:
                return messages.Lost(self._lost) if self._lost else GivenBack(slide.number)
            is_judged = all(outcome.judged for outcome in task.outcomes)
            if is_judged or time.monotonic() > deadline or self._stopped.wait(_AGAIN_S):
                return messages.Done(slide.number, task.outcomes)

    def _begun(self) -> SlideTasks[Any]:
        """With the runtimes open.  Raises ModelError, DeviceError or InputError."""
        with self._lock:
            if self._works is None:
                self.terms.refuse_another_key()
                plugin, worker = self._line, self._worker
                host = worker.address.partition("://")[2].rpartition(":")[0]
                assembly = self.terms.assembly_on(host)
                engines = plugin.engines.of(assembly)
                line = plugin.channel.of(self.terms.topic, self.terms.run, self._stopped)
                post = AskingPost(line.exchange)
                self._works = assembly.tasks(engines, line, post, self._give_up)
            if self._stopped.is_set():
                self._works.stop()
            return self._works

    @property
    def _line(self) -> LinePlugin:
        plugin = self._worker.plugins[LINE]
        if not isinstance(plugin, LinePlugin):
            raise TypeError("another program uses our plugin's name")
        return plugin

    def _give_up(self, slide: Path, reason: str) -> bool:
        """The device failed: whoever gave the slide gives it to another worker."""
        self._lost = reason
        self.stop()
        return True


def run_slide(run: str, slide: messages.RunSlide, patience_s: float) -> Ended:
    """The task."""
    plugin = get_worker().plugins.get(plugin_name(run))
    if not isinstance(plugin, RunPlugin):
        return Ended(slide.number, GivenBack(slide.number))
    return Ended(slide.number, plugin.through(slide, patience_s))


def answered(question: str, packed: bytes, dask_worker: Worker) -> None:
    """The run's answer arrives.  Called by the run, in the worker's event loop."""
    plugin = dask_worker.plugins.get(LINE)
    if isinstance(plugin, LinePlugin):
        plugin.channel.answered(question, packed)
