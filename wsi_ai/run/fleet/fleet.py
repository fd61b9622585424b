"""The run's side: starts the workers, hands out slides, and hears of everything."""

import logging
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Generic

from wsi_ai.core.contracts import Post, Watcher
from wsi_ai.core.logs import in_force
from wsi_ai.errors import DeviceError, ModelError, WsiAiError
from wsi_ai.run.assembly import Assembly
from wsi_ai.run.fleet import messages
from wsi_ai.run.fleet.asking import Question, answer_from
from wsi_ai.run.fleet.dispatch import Dispatch
from wsi_ai.run.fleet.worker import Pipes, WorkerSetup, serve
from wsi_ai.run.outcome import Out

log = logging.getLogger(__name__)
_TO_STOP_S = 60.0
"""For the batch at hand, and for what is being written."""


@dataclass(slots=True)
class _Worker:
    slot: int
    device: str
    process: SpawnProcess
    run: Connection
    post: Connection
    watch: Watcher
    ready: bool = False
    asks: int = 0
    last_words: str = ""

    def close(self) -> None:
        self.run.close()
        self.post.close()


@dataclass(slots=True)
class Fleet(Generic[Out]):
    """Runs slides on several devices of this machine.

    Flags are put to ``post`` here, by one process.  A worker that ends before its slides are done
    is started anew, and they are given to another one, once.
    """

    assembly: Assembly[Out]
    devices: Sequence[str]
    watch: Watcher
    post: Post
    _workers: dict[int, _Worker] = field(default_factory=dict)
    _refusals: list[WsiAiError] = field(default_factory=list)
    _opened: bool = False
    """Whether any worker ever had its runtime open."""
    _watches: dict[int, Watcher] = field(default_factory=dict)

    def outcomes(self, slides: Sequence[Path]) -> Iterator[Out]:
        """One a slide and model, as each slide is done.

        Raises ModelError or DeviceError where no device opens: then nothing is written.
        """
        dispatch = Dispatch(deque(range(len(slides))), set(range(len(self.devices))))
        try:
            for slot in sorted(dispatch.slots):
                self._start(slot)
            while self._workers and not dispatch.over:
                for worker in self._heard():
                    yield from self._take(worker, dispatch, slides)
                self._hand_out(dispatch, slides)
            yield from self._without_device(dispatch, slides)
            self._send_home()
        finally:
            self._end()

    def _start(self, slot: int) -> None:
        """Only the child keeps the far ends, so that its end is seen as theirs."""
        context: SpawnContext = multiprocessing.get_context("spawn")
        (run, far_run), (post, far_post) = context.Pipe(), context.Pipe()
        device = self.devices[slot]
        terms = WorkerSetup(self.assembly.on(device, len(self.devices)), in_force())
        process = context.Process(
            target=serve, args=(terms, Pipes(far_run, far_post)), name=f"wsi-ai {device}"
        )
        process.start()
        far_run.close()
        far_post.close()
        watch = self._watches.setdefault(slot, self.watch.beside() if slot else self.watch)
        self._workers[slot] = _Worker(slot, device, process, run, post, watch)

    def _heard(self) -> list[_Worker]:
        """Answers posts; returns the workers that have news, or have ended."""
        by_wire = {w.run: w for w in self._workers.values()}
        posts = {w.post: w for w in self._workers.values()}
        ready = wait([*by_wire, *posts])
        for wire in ready:
            if wire in posts:
                self._keep(posts[wire])
        return [by_wire[wire] for wire in ready if wire in by_wire]

    def _keep(self, worker: _Worker) -> None:
        """One question to the post: a flag to keep, or what stands.  A worker that has ended is
        seen on its other wire."""
        try:
            question: Question = worker.post.recv()
        except (EOFError, OSError):
            wait([worker.run])
            return
        try:
            worker.post.send(answer_from(self.post, question))
        except OSError:
            log.debug("a worker ended while its flag was kept")

    def _take(self, worker: _Worker, dispatch: Dispatch, slides: Sequence[Path]) -> Iterator[Out]:
        try:
            news: messages.News = worker.run.recv()
        except (EOFError, OSError):
            yield from self._ended(worker, dispatch, slides)
            return
        match news:
            case messages.Ready():
                worker.ready = self._opened = True
            case messages.Ask():
                worker.asks += 1
            case messages.Done(number, outcomes):
                dispatch.done(worker.slot, number)
                yield from (replace(outcome, device=worker.device) for outcome in outcomes)
            case messages.Lost(reason):
                worker.last_words = reason
            case messages.RuntimeRefused(reason, model):
                self._refusals.append(ModelError(reason) if model else DeviceError(reason))
                log.error("%s is not used: %s", worker.device, reason)
            case messages.Started() | messages.Planned() | messages.Passed():
                show(news, worker.watch)

    def _ended(self, worker: _Worker, dispatch: Dispatch, slides: Sequence[Path]) -> Iterator[Out]:
        """One whose runtime had opened, and that held slides, is started anew."""
        worker.process.join()
        worker.close()
        del self._workers[worker.slot]
        held, given_up = dispatch.ended(worker.slot)
        reason = worker.last_words or _reason(worker.process.exitcode)
        if held:
            log.error("%s: %s", worker.device, reason)
        if worker.ready and held:
            self._start(worker.slot)
            dispatch.slots.add(worker.slot)
        for number in given_up:
            told = f"{reason}; tried twice, the second time alone on {worker.device}"
            for outcome in self._failed(slides[number], told):
                yield replace(outcome, device=worker.device)

    def _hand_out(self, dispatch: Dispatch, slides: Sequence[Path]) -> None:
        for worker in list(self._workers.values()):
            while worker.asks and (number := dispatch.next_for(worker.slot)) is not None:
                worker.asks -= 1
                try:
                    worker.run.send(messages.RunSlide(number, slides[number]))
                except OSError:
                    break  # it has ended, and will be heard of

    def _without_device(self, dispatch: Dispatch, slides: Sequence[Path]) -> Iterator[Out]:
        """What is left where every worker has ended for good."""
        left = dispatch.rest()
        if left and self._refusals and not self._opened:
            raise self._refusals[0]
        reason = str(self._refusals[-1]) if self._refusals else "no device is left"
        for number in left:
            yield from self._failed(slides[number], reason)

    def _failed(self, slide: Path, reason: str) -> Iterator[Out]:
        for card in self.assembly.cards:
            yield self.assembly.failed(card, slide, reason, self.post)

    def _send_home(self) -> None:
        for worker in self._workers.values():
            try:
                worker.run.send(None)
            except OSError:
                log.debug("a worker ended by itself")

    def _end(self) -> None:
        """They stop by themselves once their wires are closed; those that do not are ended."""
        for worker in self._workers.values():
            worker.close()
        deadline = time.monotonic() + _TO_STOP_S
        for worker in self._workers.values():
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


def show(news: messages.Progress, watch: Watcher) -> None:
    """To who watches the worker's slides."""
    match news:
        case messages.Started(slide):
            watch.started(slide)
        case messages.Planned(tiles, done):
            watch.planned(tiles, done)
        case messages.Passed(done):
            watch.passed(done)


def _reason(code: int | None) -> str:
    if code is not None and code < 0:
        return f"the process that ran the slide was ended by {signal.Signals(-code).name}"
    return f"the process that ran the slide ended unexpectedly (exit status {code})"
