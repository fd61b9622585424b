"""Scores as WSInfer 0.6 writes them, so that scripts made for its CSV go on working."""

import csv
from pathlib import Path

import numpy as np

from wsi_ai.core.values import Heatmap


def write_csv(path: Path, heatmap: Heatmap) -> None:
    """``minx,miny,width,height`` in level-0 pixels and a column ``prob_<class>`` for each class.
    One row for each assessed tile, column by column of the grid, as WSInfer orders them."""
    scale = heatmap.model.tile.scale(heatmap.slide.known_spacing())
    side = heatmap.model.tile.size_px
    width, height = round(side * scale.x), round(side * scale.y)
    cols, rows = np.nonzero(heatmap.assessed.T)
    x, y = np.rint(cols * heatmap.step.x), np.rint(rows * heatmap.step.y)
    scores = np.stack([layer[rows, cols] for layer in heatmap.scores], axis=1)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        names = [f"prob_{name}" for name in heatmap.model.classes]
        table.writerow(["minx", "miny", "width", "height", *names])
        for left, top, row in zip(x.astype(int), y.astype(int), scores, strict=True):
            table.writerow(
                [left, top, width, height, *(np.format_float_positional(s) for s in row)]
            )
