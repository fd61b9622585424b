"""A detection: objects from overlapping tiles, each counted once."""

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import Form, ModelCard
from wsi_ai.core.geometry import Step
from wsi_ai.core.values import Heatmap, Marks, Objects, Predictions, TilePlan
from wsi_ai.heatmaps.candidates import Gathered
from wsi_ai.heatmaps.canvas import Keep
from wsi_ai.heatmaps.journal import opened
from wsi_ai.heatmaps.suppression import Candidates, Pairs, kept, same_boxes, same_points, settled
from wsi_ai.heatmaps.zarr import Window, write_heatmap

_GROWTH = 1.25
"""Objects are counted again when their number has grown by this factor: so all early looks together
cost a few times as much as the last one."""


class ObjectsCanvas:
    """A ``Canvas`` for detections."""

    def __init__(self, plan: TilePlan, card: ModelCard, keep: Keep) -> None:
        self._plan, self._card = plan, card
        self._gathered = Gathered(plan, card)
        self._planned = plan.planned
        self._counted: tuple[int, Objects] | None = None
        self._journal = opened(keep, plan.slide.slide_id, self._gathered.take)

    @property
    def done(self) -> int:
        return self._journal.done

    def put(self, batch: Predictions) -> None:
        self._journal.append(batch)
        self._gathered.take(batch)

    def heatmap(self) -> Heatmap:
        """A cell's score is that of its highest-scoring object, 0 where there is none.  Before the
        end it shows only objects that no later tile can remove."""
        objects, plan = self._objects(), self._plan
        scores = np.where(self._gathered.seen, np.float32(0), np.float32(np.nan))
        layers = np.repeat(scores[None], len(self._card.classes), axis=0)
        rows, cols = _cells_of(objects, plan.step, plan.grid)
        np.maximum.at(layers, (objects.classes, rows, cols), objects.scores)
        return Heatmap(
            plan.slide, self._card, layers, plan.step, self._planned, objects, limited=plan.limited
        )

    def marks(self) -> Marks:
        return Marks()

    def write(self, folder: Path) -> None:
        write_object_maps(folder, self.heatmap(), self._objects())

    def close(self) -> None:
        self._journal.close()

    def _objects(self) -> Objects:
        over = self.done >= len(self._plan)
        now = len(self._gathered) if not over else -1
        if self._counted is not None:
            before, objects = self._counted
            if now == before or 0 <= now < _GROWTH * before:
                return objects
        found = self._gathered.all()
        pairs = self._same(found)
        stays = kept(len(found), pairs)
        if not over:
            stays &= settled(len(found), pairs, self._gathered.open_ones(found, self.done))
        objects = Objects(
            found.boxes[stays],
            found.scores[stays],
            found.classes[stays],
            self._card.output.objects,
        )
        self._counted = now, objects
        return objects

    def _same(self, found: Candidates) -> Pairs:
        out = self._card.output
        if out.form is Form.POINTS_XY:
            radius = out.radius_um / self._plan.slide.known_spacing().mean_um
            return same_points(found, radius)
        return same_boxes(found, out.nms_iou)


def write_object_maps(folder: Path, heatmap: Heatmap, objects: Objects) -> None:
    """The highest score in each cell, and how many objects reach the threshold there."""
    write_heatmap(folder / "heatmap.ome.zarr", heatmap)
    counts = _counts(heatmap, objects)
    most = Window(0, max(1.0, float(np.nan_to_num(counts).max(initial=0))))
    write_heatmap(folder / "counts.ome.zarr", dataclasses.replace(heatmap, scores=counts), most)


def _counts(heatmap: Heatmap, objects: Objects) -> NDArray[np.float32]:
    """(classes, rows, cols)."""
    layers = [np.where(np.isnan(layer), layer, np.float32(0)) for layer in heatmap.scores]
    counts = np.stack(layers)
    sure = objects.only(objects.scores >= heatmap.model.point.threshold)
    rows, cols = heatmap.planned.shape
    np.add.at(counts, (sure.classes, *_cells_of(sure, heatmap.step, (rows, cols))), 1)
    return counts


def _cells_of(
    objects: Objects, step: Step, grid: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    col, row = (objects.middles / [step.x, step.y]).astype(np.int64).T
    return np.minimum(row, grid[0] - 1), np.minimum(col, grid[1] - 1)
