"""A segmentation: a score for every pixel of the output, all over the slide, in bounded memory."""

import math
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import Activation, ModelCard
from wsi_ai.core.geometry import Size, Step
from wsi_ai.core.values import Heatmap, Marks, Predictions, TilePlan
from wsi_ai.errors import disk_errors
from wsi_ai.heatmaps.blend import Blender, DenseGrid
from wsi_ai.heatmaps.canvas import Keep
from wsi_ai.heatmaps.cells import Cells, Wanted, cell_side
from wsi_ai.heatmaps.dense_rows import DenseRows, stored
from wsi_ai.heatmaps.pyramid import complete
from wsi_ai.heatmaps.zarr import write_heatmap

DENSE_MAP = "segmentation.ome.zarr"


def dense_grid(plan: TilePlan, card: ModelCard) -> DenseGrid:
    """The output's pixels over the whole slide."""
    scale, spec = card.output.scale, plan.spec
    step, size = output_step(plan, card), plan.slide.size
    return DenseGrid(
        size=Size(math.ceil(size.width / step.x), math.ceil(size.height / step.y)),
        tile=round(spec.size_px * scale),
        stride=round(spec.stride_px * scale),
        lead=round(spec.lead_px * scale),
        margin=math.ceil(card.output.margin_px * scale),
    )


def output_step(plan: TilePlan, card: ModelCard) -> Step:
    """One pixel of the output, in level-0 pixels."""
    stride = plan.spec.stride_px * card.output.scale
    return Step(plan.step.x / stride, plan.step.y / stride)


def class_marks(
    card: ModelCard, shape: tuple[int, ...], bands: Iterable[NDArray[np.float32]]
) -> Marks:
    """The likeliest class of each cell; ``bands`` are (classes, rows, cols) from the top.

    Where the classes are independent of each other, only what is more likely than not.
    """
    least = np.float32(0.0 if card.activation is Activation.SOFTMAX else 0.5)
    classes, top = np.zeros(shape, np.uint8), 0
    for band in bands:
        known = np.nan_to_num(band, nan=-1)
        likeliest = np.where(known.max(axis=0) >= least, 1 + known.argmax(axis=0), 0)
        classes[top : top + len(likeliest)] = likeliest
        top += len(likeliest)
    return Marks(classes)


class DenseCanvas:
    """A ``Canvas`` for segmentations.  The plan's tiles come row by row.

    Rows of the output are blended, written and forgotten as soon as no later tile can reach them:
    at most a row of tiles is held, and a row of shards of what is finished.  A killed run goes on
    at the first tile that reaches what was not written.
    """

    def __init__(self, plan: TilePlan, card: ModelCard, keep: Keep) -> None:
        self._plan, self._card, self._batch_size = plan, card, keep.batch_size
        self._grid, self._step = dense_grid(plan, card), output_step(plan, card)
        shape = (len(card.classes), self._grid.size.height, self._grid.size.width)
        self._blender = Blender(self._grid, len(card.classes), stored)
        self._rows = DenseRows(keep.folder / DENSE_MAP, keep, shape)
        wanted = Wanted(plan.planned, self._grid.stride, plan.tissue)
        um = self._step.x * plan.slide.known_spacing().x_um
        self._side = cell_side(um)
        self._cells = Cells(keep.folder / "cells", shape, self._side, wanted)
        self._done = self._restored()

    def _restored(self) -> int:
        for band in self._rows.bands():
            self._cells.add(band)
        self._blender.skip(self._rows.rows)
        ends = self._plan.cells[:, 0] * self._grid.stride - self._grid.lead + self._grid.tile
        begun = np.minimum(ends, self._grid.size.height) > self._rows.rows
        return int(np.argmax(begun)) if begun.any() else len(self._plan)

    @property
    def done(self) -> int:
        return self._done

    def put(self, batch: Predictions) -> None:
        for (row, col), scores in zip(
            self._plan.cells[batch.index].tolist(), batch.scores, strict=True
        ):
            self._finish(self._grid.begin(row))
            if np.isfinite(scores[0, 0, 0]):  # of a tile that is lost, no number is
                self._blender.add(row, col, scores)
        self._done += self._batch_size
        if self._done < len(self._plan):
            self._finish(self._grid.begin(int(self._plan.cells[self._done, 0])))
        else:
            self._finish(self._grid.size.height)

    def _finish(self, end: int) -> None:
        for rows in self._blender.finish(end):
            self._cells.add(rows)
            self._rows.append(rows)

    def heatmap(self) -> Heatmap:
        """Means over cells of about 16 µm, of rows that are finished."""
        step = Step(self._step.x * self._side, self._step.y * self._side)
        return Heatmap(
            slide=self._plan.slide,
            model=self._card,
            scores=self._cells.scores,
            step=step,
            planned=self._cells.planned,
            limited=self._plan.limited,
        )

    def marks(self) -> Marks:
        return class_marks(self._card, self._cells.planned.shape, self._cells.scores.bands())

    def write(self, folder: Path) -> None:
        self._finish(self._grid.size.height)
        complete(self._rows.path, self._card, self._plan.slide, self._step)
        with disk_errors():
            shutil.copytree(self._rows.path, folder / DENSE_MAP, copy_function=os.link)
        write_heatmap(folder / "heatmap.ome.zarr", self.heatmap())

    def close(self) -> None:
        """What was written lasts."""
