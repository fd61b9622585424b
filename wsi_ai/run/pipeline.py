"""The story of one slide."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.contracts import Aggregator, Runtime, Slide, TileSource, Watcher
from wsi_ai.core.flags import Flag
from wsi_ai.core.timing import Stopwatch
from wsi_ai.core.values import Mask, Recolour, SlideInfo, TileBatch, TilePlan
from wsi_ai.errors import StainUnclear
from wsi_ai.heatmaps import Canvas
from wsi_ai.heatmaps.held import is_placed
from wsi_ai.results.assessment import Assessment
from wsi_ai.tiles.planning import Likely, plan_for
from wsi_ai.tiles.reading.sample import recolour_for
from wsi_ai.tissue.haematoxylin import haematoxylin_density
from wsi_ai.tissue.overview import Overview, OverviewOf, overview_of
from wsi_ai.tissue.quality import QualityLimits
from wsi_ai.triage.gates import quality_gate, scope_gate
from wsi_ai.triage.judge import TriagePolicy, is_met, not_assessed, triage

EarlyFlag = Callable[[Flag], None]
"""Takes a flag that is raised before its slide is through: what is still to come can add to it
and cannot take it back."""

PlanTiles = Callable[[ModelCard, SlideInfo, Mask, Likely | None], TilePlan]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A slide that passed the gates, and its plan.  Reading begins with the first batch taken."""

    look: Overview
    plan: TilePlan
    canvas: Canvas
    batches: Iterator[TileBatch]
    recolour: Recolour | None = None

    def read_ahead(self) -> "Prepared":
        """The same; the first batch is read already, and the next ones are on their way."""
        return replace(self, batches=ReadAhead(self.batches))

    def close(self) -> None:
        """No more is read."""
        if isinstance(self.batches, _Closable):
            self.batches.close()


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One model and one policy, for any number of slides.

    ``prepare`` and ``inferring`` are apart, so that the next slide is prepared while one infers.
    """

    source: TileSource
    runtime: Runtime
    policy: TriagePolicy
    limits: QualityLimits
    look: OverviewOf = overview_of
    aggregate: Aggregator | None = None
    """A slide classification's second network."""
    plan: PlanTiles = plan_for
    """Chooses the tiles.  Raises SlideError where there is nothing to look at."""

    def prepare(
        self, slide: Slide, open_canvas: Callable[[TilePlan], Canvas], clock: Stopwatch
    ) -> Prepared | Assessment:
        """Look, pass the gates, and plan.  An Assessment where a gate stops it.

        The caller closes the canvas.  Raises OutputError.
        """
        card = self.runtime.card
        if stopped := scope_gate(slide.info, card):
            return Assessment(not_assessed(slide.info, card, self.policy, stopped, None))
        look = self.look(slide, self.limits, clock)
        if stopped := quality_gate(look.quality):
            return self._not_assessed(slide, look, stopped)
        plan = self.plan(card, slide.info, look.tissue, haematoxylin_density(look.thumbnail))
        try:
            recolour = recolour_for(slide, plan, card)
        except StainUnclear as error:
            return self._not_assessed(slide, look, str(error))
        canvas = open_canvas(plan)
        batches = self.source(slide, plan, canvas.done)
        clock.lap("plan")
        return Prepared(look, plan, canvas, batches, recolour)

    def _not_assessed(self, slide: Slide, look: Overview, reason: str) -> Assessment:
        card = self.runtime.card
        return Assessment(not_assessed(slide.info, card, self.policy, reason, look.quality), look)

    def start_again(self, slide: Slide, prepared: Prepared, canvas: Canvas) -> Prepared:
        """What another pipeline prepared, read on for this one from where ``canvas`` stands."""
        batches = self.source(slide, prepared.plan, canvas.done)
        return replace(prepared, canvas=canvas, batches=batches)

    def infer(
        self, prepared: Prepared, watch: Watcher, clock: Stopwatch, early: EarlyFlag
    ) -> Assessment:
        """All of ``inferring`` at once."""
        steps = self.inferring(prepared, watch, clock, early)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                assessment: Assessment = end.value
                return assessment

    def inferring(
        self, prepared: Prepared, watch: Watcher, clock: Stopwatch, early: EarlyFlag
    ) -> Generator[None, None, Assessment]:
        """Infer what is left of the plan, one turn a batch, and judge.  A tile that cannot be read
        is left out.

        ``early`` gets the flag as soon as the rule is met, if that is before the end.  Raises
        ModelError, DeviceError or OutputError.
        """
        plan, canvas = prepared.plan, prepared.canvas
        resumed, raised, due = min(canvas.done, len(plan)), False, False
        for n, _ in enumerate(self.collecting(prepared, watch, clock), 1):
            due = due or self._due(n, plan)
            if due and not raised and canvas.done < len(plan) and is_placed(canvas):
                raised, due = self._raised(canvas, prepared, early), False
            yield
        heatmap = canvas.heatmap()
        flag = triage(heatmap, self.policy, prepared.look.quality)
        return Assessment(flag, prepared.look, prepared.recolour, heatmap, canvas, resumed)

    def collecting(self, prepared: Prepared, watch: Watcher, clock: Stopwatch) -> Iterator[None]:
        """Infer what is left of the plan, one turn a batch, into the canvas.  No judgement."""
        plan, canvas = prepared.plan, prepared.canvas
        watch.planned(len(plan), min(canvas.done, len(plan)))
        batches = _recoloured(_timed(prepared.batches, clock), prepared.recolour)
        for batch in self.runtime.predict(batches):
            canvas.put(batch)
            watch.passed(min(canvas.done, len(plan)))
            yield
        clock.lap("inference")

    def _due(self, n: int, plan: TilePlan) -> bool:
        """After every batch; on a large slide, after every hundredth of it."""
        return n % max(1, len(plan) // self.source.batch_size // 100) == 0

    def _raised(self, canvas: Canvas, prepared: Prepared, early: EarlyFlag) -> bool:
        heatmap = canvas.heatmap()
        if not is_met(heatmap, self.policy):
            return False
        early(triage(heatmap, self.policy, prepared.look.quality))
        return True


@runtime_checkable
class _Closable(Protocol):
    def close(self) -> None: ...


class ReadAhead:
    """Batches of which the first is read already."""

    def __init__(self, batches: Iterator[TileBatch]) -> None:
        self._batches = batches
        self._first = next(batches, None)

    def __iter__(self) -> "ReadAhead":
        return self

    def __next__(self) -> TileBatch:
        first, self._first = self._first, None
        return next(self._batches) if first is None else first


def _recoloured(batches: Iterator[TileBatch], recolour: Recolour | None) -> Iterator[TileBatch]:
    return (replace(batch, recolour=recolour) for batch in batches)


def _timed(batches: Iterator[TileBatch], clock: Stopwatch) -> Iterator[TileBatch]:
    for batch in clock.waits(batches):
        clock.made(batch.read)
        clock.decoded_by = batch.decoded_by or clock.decoded_by
        yield batch
