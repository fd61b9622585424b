"""The vectors of a slide's tiles, which stay on the disk while they are collected."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.values import Heatmap, Marks, Predictions, TilePlan, VectorChunk
from wsi_ai.heatmaps.canvas import Keep
from wsi_ai.heatmaps.embedding_zarr import write_vectors
from wsi_ai.heatmaps.journal import opened

CHUNK = 1024
"""Number of tiles that are held at once when they are written."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """The tiles' places and vectors, in the plan's order."""

    plan: TilePlan
    batches: Iterable[Predictions]

    def chunks(self) -> Iterator[VectorChunk]:
        """In pieces of ``CHUNK`` tiles, the last one shorter.  A tile without a vector is left
        out."""
        index, features, held = list[NDArray[np.int64]](), list[NDArray[np.float32]](), 0
        for batch in self.batches:
            known = np.isfinite(batch.scores).all(axis=1)
            index.append(batch.index[known])
            features.append(batch.scores[known])
            held += int(known.sum())
            while held >= CHUNK:
                whole, rest = self._cut(index, features, CHUNK)
                yield whole
                index, features, held = [rest.index], [rest.features], len(rest.index)
        if held:
            yield self._cut(index, features, held)[0]

    def _cut(
        self, index: list[NDArray[np.int64]], features: list[NDArray[np.float32]], count: int
    ) -> tuple[VectorChunk, VectorChunk]:
        tiles, rows = np.concatenate(index), np.concatenate(features)
        x, y = self.plan.corners_of(tiles)
        corners = np.stack([x, y], axis=1)
        return (
            VectorChunk(tiles[:count], corners[:count], rows[:count]),
            VectorChunk(tiles[count:], corners[count:], rows[count:]),
        )


class VectorCanvas:
    """A ``Canvas`` for models that give a vector of features for each tile, and no score.

    Its heatmap is 1 where there is a vector.
    """

    def __init__(self, plan: TilePlan, card: ModelCard, keep: Keep) -> None:
        self._plan, self._card = plan, card
        self._known = np.full((1, *plan.grid), np.nan, np.float32)
        self._planned = np.zeros(plan.grid, np.bool_)
        self._planned[tuple(plan.cells.T)] = True
        self._journal = opened(keep, plan.slide.slide_id, self._see)

    @property
    def done(self) -> int:
        return self._journal.done

    def put(self, batch: Predictions) -> None:
        self._journal.append(batch)
        self._see(batch)

    def vectors(self) -> Vectors:
        """All that was put so far; read from the disk again at each call."""
        return Vectors(self._plan, self._journal.kept())

    def heatmap(self) -> Heatmap:
        plan = self._plan
        return Heatmap(plan.slide, self._card, self._known, plan.step, self._planned)

    def marks(self) -> Marks:
        return Marks()

    def write(self, folder: Path) -> None:
        write_vectors(folder / "embeddings.zarr", self._plan, self._card, self.vectors().chunks())

    def close(self) -> None:
        self._journal.close()

    def _see(self, batch: Predictions) -> None:
        known = np.isfinite(batch.scores).all(axis=1)
        rows, cols = self._plan.cells[batch.index[known]].T
        self._known[0, rows, cols] = 1
