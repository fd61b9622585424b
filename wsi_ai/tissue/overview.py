"""What is measured before any tile is read: once for a slide, whatever the number of models."""

from collections.abc import Callable
from dataclasses import dataclass

from wsi_ai.core.contracts import Slide
from wsi_ai.core.flags import Quality
from wsi_ai.core.timing import Stopwatch
from wsi_ai.core.values import Mask
from wsi_ai.tissue.budget import LookBudget
from wsi_ai.tissue.mask import find_tissue
from wsi_ai.tissue.quality import QualityLimits, check_quality
from wsi_ai.tissue.thumbnail import Thumbnail, take_thumbnail


@dataclass(frozen=True, slots=True, eq=False)
class Overview:
    """A slide in small, where its tissue is, and whether it is fit to be assessed."""

    thumbnail: Thumbnail
    tissue: Mask
    quality: Quality


OverviewOf = Callable[[Slide, QualityLimits, Stopwatch], Overview]


def overview_of(slide: Slide, limits: QualityLimits, clock: Stopwatch) -> Overview:
    """Raises SlideError where looking costs more than its budget."""
    budget = LookBudget.from_settings()
    thumbnail = take_thumbnail(slide, budget=budget)
    clock.lap("thumbnail")
    tissue = find_tissue(slide.info, thumbnail)
    clock.lap("tissue")
    budget.check()
    quality = check_quality(slide, thumbnail, tissue, limits)
    budget.check()
    clock.lap("quality")
    return Overview(thumbnail, tissue, quality)


class OverviewOnce:
    """An ``OverviewOf`` for models that take turns on the same open slide.  Used by one thread."""

    def __init__(self) -> None:
        self._slide: Slide | None = None
        self._look: Overview | None = None

    def __call__(self, slide: Slide, limits: QualityLimits, clock: Stopwatch) -> Overview:
        """All models are assumed to have the same limits."""
        if self._look is None or self._slide is not slide:
            self._slide, self._look = slide, overview_of(slide, limits, clock)
        return self._look
