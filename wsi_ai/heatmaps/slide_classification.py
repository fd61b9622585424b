"""A slide judged as a whole: vectors are collected, then aggregated once."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.contracts import Aggregator
from wsi_ai.core.values import Heatmap, Marks, Predictions, TilePlan
from wsi_ai.heatmaps.canvas import Keep
from wsi_ai.heatmaps.embedding import VectorCanvas
from wsi_ai.heatmaps.zarr import write_heatmap


class SlideCanvas:
    """A ``Canvas`` for models that score a slide by the vectors of all its tiles.

    Nothing is known until every tile has passed, so there is no early flag.  The vectors stay on
    the disk until then; all of them are in memory while they are aggregated.
    """

    def __init__(self, plan: TilePlan, card: ModelCard, keep: Keep, aggregate: Aggregator) -> None:
        self._plan, self._card, self._aggregate = plan, card, aggregate
        self._vectors = VectorCanvas(plan, card, keep)
        self._judged: Heatmap | None = None

    @property
    def done(self) -> int:
        return self._vectors.done

    def put(self, batch: Predictions) -> None:
        self._vectors.put(batch)

    def heatmap(self) -> Heatmap:
        """See ``values.Heatmap.slide_scores``."""
        if self.done < len(self._plan):
            return self._drawn(np.full(self._plan.grid, np.nan, np.float32), None)
        if self._judged is None:
            self._judged = self._judge()
        return self._judged

    def marks(self) -> Marks:
        return Marks()

    def write(self, folder: Path) -> None:
        write_heatmap(folder / "heatmap.ome.zarr", self.heatmap())

    def close(self) -> None:
        self._vectors.close()

    def _judge(self) -> Heatmap:
        layer = np.full(self._plan.grid, np.nan, np.float32)
        chunks = list(self._vectors.vectors().chunks())
        if not chunks:
            return self._drawn(layer, None)
        said = self._aggregate(np.concatenate([chunk.features for chunk in chunks]))
        row, col = self._plan.cells[np.concatenate([chunk.index for chunk in chunks])].T
        layer[row, col] = stretched(said.attention)
        known = np.isfinite(said.scores).all() and np.isfinite(said.attention).all()
        return self._drawn(layer, said.scores if known else None)

    def _drawn(self, attention: NDArray[np.float32], scores: NDArray[np.float32] | None) -> Heatmap:
        plan = self._plan
        return Heatmap(
            slide=plan.slide,
            model=self._card,
            scores=attention[None],
            step=plan.step,
            planned=plan.planned,
            slide_scores=scores,
            limited=plan.limited,
        )


def stretched(attention: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scaled so that the least is 0 and the most 1; 0.5 everywhere where all are alike."""
    low, high = attention.min(), attention.max()
    if not high > low:
        return np.full(attention.shape, 0.5, np.float32)
    return np.asarray((attention - low) / (high - low), np.float32)
