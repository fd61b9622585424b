"""Scores back on the slide's grid."""

from pathlib import Path

import numpy as np

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.values import Heatmap, Marks, Predictions, TilePlan
from wsi_ai.heatmaps.canvas import Keep
from wsi_ai.heatmaps.journal import opened
from wsi_ai.heatmaps.zarr import write_heatmap


class Grid:
    """A heatmap that is being filled.  The order of the predictions does not matter."""

    def __init__(self, plan: TilePlan, card: ModelCard) -> None:
        self._plan, self._card = plan, card
        self._scores = np.full((len(card.classes), *plan.grid), np.nan, dtype=np.float32)
        self._planned = plan.planned

    def put(self, batch: Predictions) -> None:
        """Each tile's scores go into its cell; one that is no number stays NaN."""
        rows, cols = self._plan.cells[batch.index].T
        self._scores[:, rows, cols] = np.where(np.isfinite(batch.scores), batch.scores, np.nan).T

    def heatmap(self) -> Heatmap:
        """As it stands: what got no score is NaN.  It shares memory with the grid."""
        plan = self._plan
        scores, planned = self._scores, self._planned
        return Heatmap(plan.slide, self._card, scores, plan.step, planned, limited=plan.limited)


class TileCanvas:
    """A ``Canvas`` for models that give one score a class for each tile."""

    def __init__(self, plan: TilePlan, card: ModelCard, keep: Keep) -> None:
        self._grid = Grid(plan, card)
        self._journal = opened(keep, plan.slide.slide_id, self._grid.put)

    @property
    def done(self) -> int:
        return self._journal.done

    def put(self, batch: Predictions) -> None:
        self._journal.append(batch)
        self._grid.put(batch)

    def heatmap(self) -> Heatmap:
        return self._grid.heatmap()

    def marks(self) -> Marks:
        return Marks()

    def write(self, folder: Path) -> None:
        write_heatmap(folder / "heatmap.ome.zarr", self.heatmap())

    def close(self) -> None:
        self._journal.close()
