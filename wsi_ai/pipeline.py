"""The story of one slide."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

from wsi_ai.contracts import Runtime, Slide, TileSource, Watcher
from wsi_ai.flags import Flag, Quality
from wsi_ai.heatmaps import Canvas
from wsi_ai.qc import QualityLimits, check_quality
from wsi_ai.stopwatch import Stopwatch
from wsi_ai.tasks import plan_for
from wsi_ai.thumbnail import Thumbnail, take_thumbnail
from wsi_ai.tissue import find_tissue
from wsi_ai.triage import (
    TriagePolicy,
    is_met,
    not_assessed,
    quality_gate,
    scope_gate,
    triage,
)
from wsi_ai.values import Heatmap, Mask, TileBatch, TilePlan

EarlyFlag = Callable[[Flag], None]
"""Takes a flag that is raised before its slide is through: what is still to come can add to it
and cannot take it back."""


@dataclass(frozen=True, slots=True, eq=False)
class Assessment:
    """All that was learnt of a slide."""

    flag: Flag
    thumbnail: Thumbnail | None = None
    tissue: Mask | None = None
    heatmap: Heatmap | None = None
    """``None`` where a gate stopped the slide before inference."""
    canvas: Canvas | None = None
    """Where the heatmap came from, and what else this task leaves."""
    resumed: int = 0
    """Planned tiles that an earlier, unfinished run had passed."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A slide that passed the gates, planned, and its first tiles read."""

    thumbnail: Thumbnail
    tissue: Mask
    quality: Quality
    plan: TilePlan
    canvas: Canvas
    batches: Iterator[TileBatch]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One model and one policy, for any number of slides.

    ``prepare`` and ``infer`` are apart, so that the next slide can be prepared while one infers.
    """

    source: TileSource
    runtime: Runtime
    policy: TriagePolicy
    limits: QualityLimits

    def prepare(
        self, slide: Slide, open_canvas: Callable[[TilePlan], Canvas], clock: Stopwatch
    ) -> Prepared | Assessment:
        """Look, pass the gates, plan, and start reading.  An Assessment where a gate stops it.

        The caller closes the canvas.  Raises OutputError.
        """
        card = self.runtime.card
        if stopped := scope_gate(slide.info, card):
            return Assessment(not_assessed(slide.info, card, self.policy, stopped, None))
        thumbnail = take_thumbnail(slide)
        clock.lap("thumbnail")
        tissue = find_tissue(slide.info, thumbnail)
        clock.lap("tissue")
        quality = check_quality(slide, thumbnail, tissue, self.limits)
        clock.lap("quality")
        if stopped := quality_gate(quality):
            flag = not_assessed(slide.info, card, self.policy, stopped, quality)
            return Assessment(flag, thumbnail, tissue)
        plan = plan_for(card, slide.info, tissue)
        canvas = open_canvas(plan)
        clock.lap("plan")
        clock.began()
        batches = _started(self.source(slide, plan, canvas.done))
        clock.lap("first tiles")
        return Prepared(thumbnail, tissue, quality, plan, canvas, batches)

    def start_again(self, slide: Slide, prepared: Prepared, canvas: Canvas) -> Prepared:
        """What another pipeline prepared, read on for this one from where ``canvas`` stands."""
        batches = _started(self.source(slide, prepared.plan, canvas.done))
        return replace(prepared, canvas=canvas, batches=batches)

    def infer(
        self, prepared: Prepared, watch: Watcher, clock: Stopwatch, early: EarlyFlag
    ) -> Assessment:
        """Infer what is left of the plan, and judge.  A tile that cannot be read is left out.

        ``early`` gets the flag as soon as the rule is met, if that is before the end.  Raises
        ModelError, DeviceError or OutputError.
        """
        plan, canvas = prepared.plan, prepared.canvas
        resumed = min(canvas.done, len(plan))
        watch.planned(len(plan), resumed)
        batches = _timed(prepared.batches, clock)
        raised = False
        for n, batch in enumerate(self.runtime.predict(batches), 1):
            canvas.put(batch)
            done = min(canvas.done, len(plan))
            watch.passed(done)
            if not raised and done < len(plan) and self._due(n, plan):
                raised = self._raised(canvas, prepared, early)
        clock.lap("inference")
        heatmap = canvas.heatmap()
        flag = triage(heatmap, self.policy, prepared.quality)
        return Assessment(flag, prepared.thumbnail, prepared.tissue, heatmap, canvas, resumed)

    def _due(self, n: int, plan: TilePlan) -> bool:
        """After every batch; on a large slide, after every hundredth of it."""
        return n % max(1, len(plan) // self.runtime.batch_size // 100) == 0

    def _raised(self, canvas: Canvas, prepared: Prepared, early: EarlyFlag) -> bool:
        heatmap = canvas.heatmap()
        if not is_met(heatmap, self.policy):
            return False
        early(triage(heatmap, self.policy, prepared.quality))
        return True


def _timed(batches: Iterator[TileBatch], clock: Stopwatch) -> Iterator[TileBatch]:
    for batch in clock.waits(batches):
        clock.made(batch.read)
        yield batch


def _started(batches: Iterator[TileBatch]) -> Iterator[TileBatch]:
    """The same batches, of which the first is read already and the next ones are on their way."""
    first = next(batches, None)
    return batches if first is None else chain([first], batches)
