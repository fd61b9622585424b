"""The result for one slide, ready to be written."""

from dataclasses import dataclass

from wsi_ai.core.flags import Flag
from wsi_ai.core.values import Heatmap, Recolour
from wsi_ai.heatmaps import Canvas
from wsi_ai.tissue.overview import Overview


@dataclass(frozen=True, slots=True, eq=False)
class Assessment:
    """All that was found out about a slide."""

    flag: Flag
    look: Overview | None = None
    """``None`` where a gate stopped the slide before the overview."""
    recolour: Recolour | None = None
    """The change that was made to its colours."""
    heatmap: Heatmap | None = None
    """``None`` where a gate stopped the slide before inference."""
    canvas: Canvas | None = None
    """Made the heatmap, and writes what else this task leaves."""
    resumed: int = 0
    """Planned tiles that an earlier, unfinished run had passed."""
