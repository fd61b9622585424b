"""What becomes of the predictions, by the model's task.

A further task is a line in ``_CANVASES``.
"""

from collections.abc import Callable, Mapping

from wsi_ai.core.cards import ModelCard, Task
from wsi_ai.core.contracts import Aggregator
from wsi_ai.core.values import TilePlan
from wsi_ai.heatmaps import (
    Canvas,
    DenseCanvas,
    Keep,
    ObjectsCanvas,
    SlideCanvas,
    TileCanvas,
    VectorCanvas,
)

_CANVASES: Mapping[Task, Callable[[TilePlan, ModelCard, Keep], Canvas]] = {
    Task.TILE_CLASSIFICATION: TileCanvas,
    Task.SEGMENTATION: DenseCanvas,
    Task.DETECTION: ObjectsCanvas,
    Task.EMBEDDING: VectorCanvas,
}


def open_canvas(
    plan: TilePlan, card: ModelCard, keep: Keep, aggregate: Aggregator | None = None
) -> Canvas:
    """A canvas: empty, or with what an earlier run has kept.  Raises OutputError.

    ``aggregate`` is a slide classification's second network.
    """
    if aggregate is not None:
        return SlideCanvas(plan, card, keep, aggregate)
    return _CANVASES[card.task](plan, card, keep)
