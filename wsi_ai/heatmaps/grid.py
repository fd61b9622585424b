"""Scores back on the slide's grid."""

import numpy as np

from wsi_ai.values import Heatmap, ModelCard, Predictions, TilePlan


class Canvas:
    """A heatmap that is being filled.  The order of the predictions does not matter."""

    def __init__(self, plan: TilePlan, card: ModelCard) -> None:
        self._plan, self._card = plan, card
        self._scores = np.full((len(card.classes), *plan.grid), np.nan, dtype=np.float32)
        self._planned = np.zeros(plan.grid, np.bool_)
        self._planned[tuple(plan.cells.T)] = True

    def put(self, batch: Predictions) -> None:
        """Each tile's scores go into its cell; one that is no number stays NaN."""
        rows, cols = self._plan.cells[batch.index].T
        self._scores[:, rows, cols] = np.where(np.isfinite(batch.scores), batch.scores, np.nan).T

    def heatmap(self) -> Heatmap:
        """As it stands: what got no score is NaN.  It shares memory with the canvas."""
        plan = self._plan
        return Heatmap(plan.slide, self._card, self._scores, plan.step, self._planned)
