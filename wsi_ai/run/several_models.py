"""Several models on one slide: it is opened and looked at once, tiles that several want are decoded
once, and each model has its own results, flag and failures."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.contracts import Slide, Watcher
from wsi_ai.errors import ModelError
from wsi_ai.results import record
from wsi_ai.run.job import SlideJob
from wsi_ai.run.no_ops import NoWatcher
from wsi_ai.run.outcome import Out
from wsi_ai.run.steps import SlideSteps

_THROUGH = object()


@dataclass(slots=True)
class SlideTask(Generic[Out]):
    """One slide, and a job for each model."""

    path: Path
    jobs: list[SlideJob[Out]]
    number: int = 0
    """In a run of several processes."""

    def is_over(self) -> bool:
        """Whether no model has anything left to do."""
        return all(job.over for job in self.jobs)

    def passes(self) -> bool:
        """Whether there is nothing to infer, by any model."""
        return all(job.over or job.prepared is None for job in self.jobs)

    @property
    def is_decided(self) -> bool:
        """Whether every model has its outcome: else the run was stopped, or another device takes
        the slide."""
        return all(job.outcome is not None for job in self.jobs)

    @property
    def outcomes(self) -> list[Out]:
        """In the models' order."""
        return [job.outcome for job in self.jobs if job.outcome is not None]


@dataclass(frozen=True, slots=True)
class SlideTasks(Generic[Out]):
    """The three steps of a slide, by every model in turn."""

    works: Sequence[SlideSteps[Out]]
    watch: Watcher

    def begin(self, slide: Path, number: int = 0) -> SlideTask[Out]:
        return SlideTask(slide, [work.begin(slide) for work in self.works], number)

    def prepare(self, task: SlideTask[Out]) -> SlideTask[Out]:
        for work, job in zip(self.works, task.jobs, strict=True):
            work.prepare(job)
        for group in self._groups(task)[:1]:
            for work, job in group:
                work.read_ahead(job)
        return task

    def infer(self, task: SlideTask[Out]) -> SlideTask[Out]:
        """Models that want the same tiles take turns, batch by batch; others come after them."""
        self.watch.started(task.path)
        for group in self._groups(task):
            watches = [self.watch, *(NoWatcher() for _ in group[1:])]
            turns = [
                work.inferring(job, watch)
                for (work, job), watch in zip(group, watches, strict=True)
            ]
            while turns:
                turns = [turn for turn in turns if next(turn, _THROUGH) is not _THROUGH]
        return task

    def publish(self, task: SlideTask[Out]) -> SlideTask[Out]:
        for work, job in zip(self.works, task.jobs, strict=True):
            work.publish(job)
        return task

    def stop(self) -> None:
        for work in self.works:
            work.stop()

    def _groups(self, task: SlideTask[Out]) -> list[list[tuple[SlideSteps[Out], SlideJob[Out]]]]:
        """By the tiles that they want, in the models' order."""
        groups: dict[str, list[tuple[SlideSteps[Out], SlideJob[Out]]]] = {}
        for work, job in zip(self.works, task.jobs, strict=True):
            plan = record.plan_digest(job.prepared.plan) if job.prepared else "none"
            if not job.over:
                groups.setdefault(plan, []).append((work, job))
        return list(groups.values())


def refuse_same_model(card: ModelCard, others: Sequence[ModelCard]) -> None:
    """Their results would go to the same place.  Raises ModelError."""
    if any(card.ref.label == other.ref.label for other in others):
        raise ModelError(f"two of the models are called {card.ref.label}; give each once")


@dataclass(slots=True)
class _Shared:
    slide: Slide
    held: ExitStack
    users: int = 0


@dataclass(frozen=True, slots=True)
class OpenOnce:
    """Opens each slide once, however many use it at the same time; the last one closes it."""

    open_slide: Callable[[Path], Slide]
    _open: dict[Path, _Shared] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def __call__(self, path: Path) -> Iterator[Slide]:
        """Raises what opening raises, at each attempt."""
        with self._lock:
            shared = self._open.get(path) or self._opened(path)
            shared.users += 1
        try:
            yield shared.slide
        finally:
            with self._lock:
                shared.users -= 1
                if not shared.users:
                    del self._open[path]
                    shared.held.close()

    def _opened(self, path: Path) -> _Shared:
        held = ExitStack()
        shared = _Shared(held.enter_context(self.open_slide(path)), held)
        self._open[path] = shared
        return shared
