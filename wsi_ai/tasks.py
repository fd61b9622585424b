"""What a model's task decides: which tiles are read, and what becomes of the predictions.

A further task is a line in ``_CANVASES``.
"""

from collections.abc import Callable, Mapping

from wsi_ai.heatmaps import Canvas, Keep, TileCanvas
from wsi_ai.planning import plan_tiles
from wsi_ai.values import Mask, ModelCard, SlideInfo, Task, TilePlan

_CANVASES: Mapping[Task, Callable[[TilePlan, ModelCard, Keep], Canvas]] = {
    Task.TILE_CLASSIFICATION: TileCanvas,
}


def plan_for(card: ModelCard, slide: SlideInfo, tissue: Mask) -> TilePlan:
    """The tiles that the card's model is to see of a slide, in the order that suits its task."""
    return plan_tiles(slide, tissue, card.tile)


def open_canvas(plan: TilePlan, card: ModelCard, keep: Keep) -> Canvas:
    """Empty, or with what an earlier run has kept.  Raises OutputError."""
    return _CANVASES[card.task](plan, card, keep)
