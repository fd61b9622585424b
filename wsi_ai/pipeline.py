"""The story of one slide."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

from wsi_ai.contracts import Runtime, Slide, TileSource, Watcher
from wsi_ai.flags import Flag, Quality
from wsi_ai.heatmaps import Journal, stitch
from wsi_ai.planning import plan_tiles
from wsi_ai.qc import QualityLimits, check_quality
from wsi_ai.stopwatch import Stopwatch
from wsi_ai.thumbnail import Thumbnail, take_thumbnail
from wsi_ai.tissue import find_tissue
from wsi_ai.triage import AreaPolicy, not_assessed, quality_gate, scope_gate, triage
from wsi_ai.values import Heatmap, Mask, Predictions, TileBatch, TilePlan


@dataclass(frozen=True, slots=True, eq=False)
class Assessment:
    """All that was learnt of a slide."""

    flag: Flag
    thumbnail: Thumbnail | None = None
    tissue: Mask | None = None
    heatmap: Heatmap | None = None
    """``None`` where a gate stopped the slide before inference."""
    resumed: int = 0
    """Planned tiles that an earlier, unfinished run had passed."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A slide that passed the gates, planned, and its first tiles read."""

    thumbnail: Thumbnail
    tissue: Mask
    quality: Quality
    plan: TilePlan
    journal: Journal
    batches: Iterator[TileBatch]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One model and one policy, for any number of slides.

    ``prepare`` and ``infer`` are apart, so that the next slide can be prepared while one infers.
    """

    source: TileSource
    runtime: Runtime
    policy: AreaPolicy
    limits: QualityLimits

    def prepare(
        self, slide: Slide, open_journal: Callable[[TilePlan], Journal], clock: Stopwatch
    ) -> Prepared | Assessment:
        """Look, pass the gates, plan, and start reading.  An Assessment where a gate stops it.

        The caller closes the journal.  Raises OutputError.
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
        plan = plan_tiles(slide.info, tissue, card.tile)
        journal = open_journal(plan)
        batches = _started(self.source(slide, plan, journal.done))
        clock.lap("plan")
        return Prepared(thumbnail, tissue, quality, plan, journal, batches)

    def infer(self, prepared: Prepared, watch: Watcher, clock: Stopwatch) -> Assessment:
        """Infer what is left of the plan, and judge.  A tile that cannot be read is left out.

        Raises ModelError, DeviceError or OutputError.
        """
        plan, journal = prepared.plan, prepared.journal
        resumed = min(journal.done, len(plan))
        watch.planned(len(plan), resumed)
        batches = clock.waits("tiles", prepared.batches)
        predictions = journal.keep(self.runtime.predict(batches))
        heatmap = stitch(plan, self._told(watch, plan, predictions), self.runtime.card)
        clock.lap("inference")
        flag = triage(heatmap, self.policy, prepared.quality)
        return Assessment(flag, prepared.thumbnail, prepared.tissue, heatmap, resumed)

    def _told(
        self, watch: Watcher, plan: TilePlan, predictions: Iterator[Predictions]
    ) -> Iterator[Predictions]:
        for n, batch in enumerate(predictions, 1):
            watch.passed(min(n * self.runtime.batch_size, len(plan)))
            yield batch


def _started(batches: Iterator[TileBatch]) -> Iterator[TileBatch]:
    """The same batches, of which the first is read already and the next ones are on their way."""
    first = next(batches, None)
    return batches if first is None else chain([first], batches)
