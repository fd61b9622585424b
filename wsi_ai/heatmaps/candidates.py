"""Objects that tiles report, placed on the slide.  Pure."""

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import Form, ModelCard
from wsi_ai.core.values import Predictions, TilePlan
from wsi_ai.heatmaps.suppression import Candidates

_EDGE_PX = 1.0
"""A box this near to its tile's edge is taken to be cut off by it."""


class Gathered:
    """Objects of all tiles so far, with duplicates."""

    def __init__(self, plan: TilePlan, card: ModelCard) -> None:
        self._plan, self._card = plan, card
        self._scale = plan.spec.scale(plan.slide.known_spacing())
        self._parts: list[Candidates] = []
        self._count = 0
        self.seen = np.zeros(plan.grid, np.bool_)
        """(rows, cols): the cells whose tile was looked at."""

    def __len__(self) -> int:
        return self._count

    def take(self, batch: Predictions) -> None:
        """A tile whose objects contain a NaN was not looked at."""
        if not len(batch.index):
            return
        looked = np.isfinite(batch.scores[:, 0, 4])
        self.seen[tuple(self._plan.cells[batch.index[looked]].T)] = True
        tile, row = np.nonzero(looked[:, None] & (batch.scores[..., 4] > 0))
        part = self._placed(batch.index[tile], batch.scores[tile, row].astype(np.float64))
        self._parts.append(part)
        self._count += len(part)

    def all(self) -> Candidates:
        parts = self._parts or [self._placed(np.empty(0, np.int64), np.empty((0, 6)))]
        fields = ("boxes", "scores", "classes", "tiles", "whole")
        joined = [np.concatenate([getattr(part, name) for part in parts]) for name in fields]
        self._parts = [Candidates(*joined)]
        return self._parts[0]

    def open_ones(self, found: Candidates, done: int) -> NDArray[np.bool_]:
        """(objects,): those that a tile from ``done`` on could see as well."""
        waiting = np.zeros(self._plan.grid, np.int64)
        waiting[tuple(self._plan.cells[done:].T)] = 1
        total = np.pad(waiting.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        reach = self._card.output.radius_um / self._plan.slide.known_spacing().mean_um
        step, scale, spec = self._plan.step, self._scale, self._plan.spec
        left, right = _tiles_over(
            found.boxes[:, [0, 2]] + [-reach, reach], step.x, scale.x, spec.lead_px, spec.size_px
        )
        top, bottom = _tiles_over(
            found.boxes[:, [1, 3]] + [-reach, reach], step.y, scale.y, spec.lead_px, spec.size_px
        )
        left, right = np.clip([left, right], 0, self._plan.grid[1])
        top, bottom = np.clip([top, bottom], 0, self._plan.grid[0])
        inside = total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
        return np.asarray(inside > 0)

    def _placed(self, tiles: NDArray[np.int64], rows: NDArray[np.float64]) -> Candidates:
        """Boxes cut off at the edges of their tiles; not those beyond the slide."""
        side, size = self._plan.spec.size_px, self._plan.slide.size
        cut = np.clip(rows[:, :4], 0, side)
        clear = (rows[:, :4] >= _EDGE_PX) & (rows[:, :4] <= side - _EDGE_PX)
        if self._card.output.form is Form.POINTS_XY:
            clear[...] = True
        x, y = self._plan.corners_of(tiles)
        scale = np.array([self._scale.x, self._scale.y] * 2)
        boxes = np.stack([x, y, x, y], axis=1) + cut * scale
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        on_slide = (middle >= 0).all(axis=1) & (middle < [size.width, size.height]).all(axis=1)
        kinds = rows[:, 5].astype(np.int64)
        found = Candidates(
            boxes, rows[:, 4].astype(np.float32), kinds, tiles, np.asarray(clear.all(axis=1))
        )
        return found.part(on_slide)


def _tiles_over(
    spans: NDArray[np.float64], step: float, scale: float, lead_px: int, size_px: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first and past-the-last row (or column) of tiles that reach a span of the slide."""
    lead, size = lead_px * scale, size_px * scale
    first = np.floor((spans[:, 0] + lead - size) / step).astype(np.int64)
    last = np.floor((spans[:, 1] + lead) / step).astype(np.int64) + 1
    return first, last
