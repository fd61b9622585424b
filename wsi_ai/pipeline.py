"""The story of one slide."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from wsi_ai.contracts import Runtime, Slide, TileSource, Watcher
from wsi_ai.flags import Flag
from wsi_ai.heatmaps import Journal, stitch
from wsi_ai.planning import plan_tiles
from wsi_ai.qc import QualityLimits, check_quality
from wsi_ai.stopwatch import Stopwatch
from wsi_ai.thumbnail import Thumbnail, take_thumbnail
from wsi_ai.tissue import find_tissue
from wsi_ai.triage import AreaPolicy, not_assessed, quality_gate, scope_gate, triage
from wsi_ai.values import Heatmap, Mask, Predictions, TilePlan


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


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One model and one policy, for any number of slides."""

    source: TileSource
    runtime: Runtime
    policy: AreaPolicy
    limits: QualityLimits

    def assess(
        self,
        slide: Slide,
        open_journal: Callable[[TilePlan], Journal],
        watch: Watcher,
        clock: Stopwatch,
    ) -> Assessment:
        """From an open slide to its flag.  Gates come first: where one fails, nothing is inferred.

        Raises ModelError, DeviceError or OutputError; a tile that cannot be read is left out.
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
        clock.lap("plan")
        with open_journal(plan) as journal:
            resumed = min(journal.done, len(plan))
            watch.planned(len(plan), resumed)
            batches = clock.waits("reading", self.source(slide, plan, journal.done))
            predictions = journal.keep(self.runtime.predict(batches))
            heatmap = stitch(plan, self._told(watch, plan, predictions), card)
        clock.lap("inference")
        flag = triage(heatmap, self.policy, quality)
        return Assessment(flag, thumbnail, tissue, heatmap, resumed)

    def _told(
        self, watch: Watcher, plan: TilePlan, predictions: Iterable[Predictions]
    ) -> Iterator[Predictions]:
        for n, batch in enumerate(predictions, 1):
            watch.passed(min(n * self.runtime.batch_size, len(plan)))
            yield batch
