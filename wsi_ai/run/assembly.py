"""What one device needs to run slides, put together."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic

from wsi_ai.core.cards import ModelCard, RuntimeRequest
from wsi_ai.core.contracts import (
    Aggregator,
    Post,
    Runtime,
    RuntimeWithSource,
    Slide,
    TileSource,
    Watcher,
)
from wsi_ai.core.environment import threads
from wsi_ai.errors import DeviceError, ModelError
from wsi_ai.models.fastest.open_fastest import open_fastest
from wsi_ai.models.parity import hold_to_golden
from wsi_ai.results.folder import Places
from wsi_ai.run.answer import AnswerFor
from wsi_ai.run.engine import Engine
from wsi_ai.run.opening import open_scaled
from wsi_ai.run.options import RunOptions
from wsi_ai.run.outcome import Out
from wsi_ai.run.pipeline import Pipeline
from wsi_ai.run.several_models import OpenOnce, SlideTasks
from wsi_ai.run.steps import Elsewhere, SlideSteps, no_other_device
from wsi_ai.slides.readers.hashing import hashed_beside
from wsi_ai.tiles.planning import plan_for
from wsi_ai.tiles.reading import HostTiles, SharedTiles
from wsi_ai.tissue.overview import OverviewOf, OverviewOnce, overview_of
from wsi_ai.triage.policy import Policy, policy_for

OpenRuntime = Callable[[ModelCard, RuntimeRequest], Runtime]
ModelRefused = tuple[ModelCard, ModelError | DeviceError]
"""A model that does not run, and why."""


@dataclass(frozen=True, slots=True)
class Assembly(Generic[Out]):
    """All that a run's devices share.  It can be sent to another process."""

    answer_for: AnswerFor[Out]
    policy: Policy | None
    """The policy that was asked for; ``None``: the one that comes with each model, else the
    default."""
    options: RunOptions
    cards: Sequence[ModelCard] = ()
    open_runtime: OpenRuntime = open_fastest
    devices: int = 1
    """Number of those that share the host's processors."""
    epoch: float = field(default_factory=time.perf_counter)
    """The run's beginning on ``time.perf_counter()``, one clock for all processes of a machine."""

    def work(
        self, watch: Watcher, post: Post, elsewhere: Elsewhere = no_other_device
    ) -> tuple[SlideTasks[Out], list[ModelRefused]]:
        """With the runtimes opened and held to the golden tiles, and the models that have none."""
        engines, refused = self.engines(post)
        return self.tasks(engines, watch, post, elsewhere), refused

    def engines(self, post: Post) -> tuple[list[Engine], list[ModelRefused]]:
        """The runtimes, opened and held to the golden tiles, and the models that have none."""
        found, refused = list[Engine](), list[ModelRefused]()
        look = OverviewOnce() if len(self.cards) > 1 else overview_of
        for card in self.cards:
            aggregate = self.answer_for(card, post).open_aggregator
            try:
                found.append(self._engine(card, look, aggregate()))
            except (ModelError, DeviceError) as error:
                refused.append((card, error))
        if len(found) > 1:
            self._share(found)
        return found, refused

    def tasks(
        self, engines: Sequence[Engine], watch: Watcher, post: Post, elsewhere: Elsewhere
    ) -> SlideTasks[Out]:
        """What leads slides through ``engines``, which may be another assembly's with the same
        ``engine_terms``."""
        open_slide, places = OpenOnce(self._open_beside), Places(self.options.published.fetch)
        works = [
            SlideSteps(
                engine=engine,
                answer=self.answer_for(engine.card, post),
                open_slide=open_slide,
                reopen=self.open_slide,
                force=self.options.force,
                elsewhere=elsewhere,
                epoch=self.epoch,
                places=places,
            )
            for engine in engines
        ]
        return SlideTasks(works, watch)

    def engine_terms(self, post: Post) -> tuple[object, ...]:
        """All that engines depend on; where two assemblies agree, either can use the other's."""
        answers = tuple(type(self.answer_for(card, post)) for card in self.cards)
        asked = self.options.request(), self.options.threads, self.options.extent
        return tuple(self.cards), self.policy, asked, self.devices, self.open_runtime, answers

    def open_slide(self, path: Path) -> Slide:
        return open_scaled(path, self.options)

    def _open_beside(self, path: Path) -> Slide:
        """The same, while a large one is still being hashed."""
        with hashed_beside():
            return self.open_slide(path)

    def on(self, device: str, devices: int = 1) -> "Assembly[Out]":
        return replace(self, options=replace(self.options, device=device), devices=devices)

    def failed(
        self, card: ModelCard, slide: Path, reason: str, post: Post, error: Exception | None = None
    ) -> Out:
        """The slide got no answer of this model."""
        answer = self.answer_for(card, post)
        job = answer.begin(slide)
        try:
            return answer.failed(job, reason, error)
        except (OSError, ValueError):
            return answer.unwritten(job, f"{reason}; and its flag could not be written")

    def not_judged(self, card: ModelCard, slide: Path, reason: str, post: Post) -> Out:
        """The slide is left alone."""
        answer = self.answer_for(card, post)
        return answer.unwritten(answer.begin(slide), reason, judged=False)

    def _engine(self, card: ModelCard, look: OverviewOf, aggregate: Aggregator | None) -> Engine:
        def opened(request: RuntimeRequest) -> Runtime:
            runtime = self.open_runtime(card, request)
            hold_to_golden(runtime, request.precision)
            return runtime

        def build_pipeline(runtime: Runtime) -> Pipeline:
            source = source_for(runtime, self._threads)
            policy = policy_for(card, self.policy)
            plan = self.options.extent.plan if self.options.extent else plan_for
            return Pipeline(source, runtime, policy.triage, policy.quality, look, aggregate, plan)

        return Engine(opened, self.options.request(), build_pipeline)

    def _share(self, engines: Sequence[Engine]) -> None:
        """Among those of one batch size: a runtime fills up what is smaller than its own."""
        sources = dict[int, TileSource]()
        for engine in engines:
            size = engine.batch_size
            shared = sources.setdefault(size, SharedTiles(HostTiles(size, self._threads)))
            engine.share(shared)

    @property
    def _threads(self) -> int:
        asked = self.options.threads
        return threads(share=self.devices) if asked is None else max(1, asked // self.devices)


def source_for(runtime: Runtime, threads: int) -> TileSource:
    """The runtime's own, where it has one; else into plain memory."""
    if isinstance(runtime, RuntimeWithSource):
        return runtime.source(threads)
    return HostTiles(runtime.batch_size, threads)
