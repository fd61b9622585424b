"""What one device needs to run slides, put together."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from wsi_ai.core.cards import ModelCard, RuntimeRequest
from wsi_ai.core.contracts import Post, Runtime, RuntimeWithSource, Slide, TileSource, Watcher
from wsi_ai.errors import DeviceError, ModelError
from wsi_ai.inference.registry import open_aggregator, open_runtime
from wsi_ai.models.parity import hold_to_golden
from wsi_ai.run.engine import Engine
from wsi_ai.run.options import RunOptions
from wsi_ai.run.outcome import Failures, Outcome
from wsi_ai.run.pipeline import Pipeline
from wsi_ai.run.several_models import OpenOnce, SlideTasks
from wsi_ai.run.steps import Elsewhere, SlideWork, no_other_device
from wsi_ai.slides.identity import Cases, load_cases
from wsi_ai.slides.registry import open_slide
from wsi_ai.tiles.reading import HostTiles, SharedTiles
from wsi_ai.tissue.overview import OverviewOf, OverviewOnce, overview_of
from wsi_ai.triage.policy import Policy, load_policy, policy_for

OpenRuntime = Callable[[ModelCard, RuntimeRequest], Runtime]
ModelRefused = tuple[ModelCard, ModelError | DeviceError]
"""A model that does not run, and why."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """All that a run's devices share.  It can be sent to another process."""

    policy: Policy | None
    """What was asked for; ``None``: what comes with each model, else the default."""
    cases: Cases
    out: Path
    options: RunOptions
    cards: Sequence[ModelCard] = ()
    open_runtime: OpenRuntime = open_runtime
    devices: int = 1
    """So many share the host's processors."""
    epoch: float = field(default_factory=time.perf_counter)
    """The run's beginning on ``time.perf_counter()``, one clock for all processes of a machine."""

    def work(
        self, watch: Watcher, post: Post, elsewhere: Elsewhere = no_other_device
    ) -> tuple[SlideTasks[Outcome], list[ModelRefused]]:
        """With the runtimes opened and held to the golden tiles, and the models that have none."""
        engines, refused = self._engines()
        if len(engines) > 1:
            self._share(engines)
        open_slide = OpenOnce(self.open_slide)
        works = [
            SlideWork(
                engine=engine,
                policy=policy_for(engine.card, self.policy),
                out=self.out,
                open_slide=open_slide,
                force=self.options.force,
                cases=self.cases,
                post=post,
                formats=self.options.formats,
                elsewhere=elsewhere,
                epoch=self.epoch,
            )
            for engine in engines
        ]
        return SlideTasks(works, watch), refused

    def open_slide(self, path: Path) -> Slide:
        return open_slide(path, self.options.spacing(path), self.options.reader)

    def on(self, device: str, devices: int = 1) -> "Assembly":
        return replace(self, options=replace(self.options, device=device), devices=devices)

    def failed(self, card: ModelCard, slide: Path, reason: str, post: Post) -> Outcome:
        """The slide was not assessed by this model."""
        failures = Failures(card, policy_for(card, self.policy), self.out, post)
        return failures.record(slide, reason, self.cases.identity_of(slide))

    def _engines(self) -> tuple[list[Engine], list[ModelRefused]]:
        engines, refused = list[Engine](), list[ModelRefused]()
        look = OverviewOnce() if len(self.cards) > 1 else overview_of
        for card in self.cards:
            try:
                engines.append(self._engine(card, look))
            except (ModelError, DeviceError) as error:
                refused.append((card, error))
        return engines, refused

    def _engine(self, card: ModelCard, look: OverviewOf) -> Engine:
        def opened(request: RuntimeRequest) -> Runtime:
            runtime = self.open_runtime(card, request)
            hold_to_golden(runtime, request.precision)
            return runtime

        def build_pipeline(runtime: Runtime) -> Pipeline:
            source = source_for(runtime, self._threads)
            policy = policy_for(card, self.policy)
            return Pipeline(source, runtime, policy.triage, policy.quality, look, aggregate)

        aggregate = open_aggregator(card)
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
        return max(1, len(os.sched_getaffinity(0)) // self.devices)


def source_for(runtime: Runtime, threads: int) -> TileSource:
    """The runtime's own, where it has one; else into plain memory."""
    if isinstance(runtime, RuntimeWithSource):
        return runtime.source(threads)
    return HostTiles(runtime.batch_size, threads)


def assemble(out: Path, options: RunOptions) -> Assembly:
    """Without a model yet.  Raises PolicyError."""
    policy = load_policy(options.policy) if options.policy else None
    return Assembly(policy, load_cases(options.cases), out, options)
