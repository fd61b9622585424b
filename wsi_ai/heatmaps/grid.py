"""Scores back on the slide's grid.  Pure."""

from collections.abc import Iterable

import numpy as np

from wsi_ai.values import Heatmap, ModelCard, Predictions, TilePlan


def stitch(plan: TilePlan, predictions: Iterable[Predictions], card: ModelCard) -> Heatmap:
    """Put each tile's scores into its cell; what got none, or one that is no number, stays NaN.

    The order of the predictions does not matter.
    """
    scores = np.full((len(card.classes), *plan.grid), np.nan, dtype=np.float32)
    for batch in predictions:
        rows, cols = plan.cells[batch.index].T
        scores[:, rows, cols] = np.where(np.isfinite(batch.scores), batch.scores, np.nan).T
    planned = np.zeros(plan.grid, np.bool_)
    planned[tuple(plan.cells.T)] = True
    return Heatmap(plan.slide, card, scores, plan.step, planned)
