"""What a model's task decides: which tiles are read, and what becomes of the predictions.

A further task is a line in ``_CANVASES``.
"""

from collections.abc import Callable, Mapping

from wsi_ai.cards import ModelCard, Task
from wsi_ai.contracts import Aggregator
from wsi_ai.heatmaps import (
    Canvas,
    DenseCanvas,
    Keep,
    ObjectsCanvas,
    SlideCanvas,
    TileCanvas,
    VectorCanvas,
)
from wsi_ai.planning import Likely, in_rows, plan_tiles
from wsi_ai.values import Mask, SlideInfo, TilePlan

_CANVASES: Mapping[Task, Callable[[TilePlan, ModelCard, Keep], Canvas]] = {
    Task.TILE_CLASSIFICATION: TileCanvas,
    Task.SEGMENTATION: DenseCanvas,
    Task.DETECTION: ObjectsCanvas,
    Task.EMBEDDING: VectorCanvas,
}


def plan_for(
    card: ModelCard, slide: SlideInfo, tissue: Mask, likely: Likely | None = None
) -> TilePlan:
    """The tiles that the card's model is to see of a slide, in the order that suits its task.

    Spread out, and by turns where ``likely`` is highest, so that evidence comes early; a
    segmentation row by row, for in any other order the sums of a whole slide would have to be held
    until its end.
    """
    plan = plan_tiles(slide, tissue, card.tile, likely)
    return in_rows(plan) if card.task is Task.SEGMENTATION else plan


def open_canvas(
    plan: TilePlan, card: ModelCard, keep: Keep, aggregate: Aggregator | None = None
) -> Canvas:
    """Empty, or with what an earlier run has kept.  Raises OutputError.

    ``aggregate`` is a slide classification's second network.
    """
    if aggregate is not None:
        return SlideCanvas(plan, card, keep, aggregate)
    return _CANVASES[card.task](plan, card, keep)
