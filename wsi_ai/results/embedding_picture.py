"""A picture of a slide's embeddings: their three strongest directions as red, green and blue."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.flags import STATEMENT
from wsi_ai.core.values import TilePlan, VectorChunk
from wsi_ai.tissue.thumbnail import Thumbnail

_SIDE_IN, _DPI, _TAIL = 6.5, 130, 1.0
Chunks = Callable[[], Iterable[VectorChunk]]
"""Gives all vectors, chunk by chunk, from the beginning at each call."""


@dataclass(frozen=True, slots=True, eq=False)
class Directions:
    """The principal components of a slide's vectors."""

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    """(features, up to 3); each points to where its largest part is positive."""
    share: float
    """The share of the variance that they explain."""


def principal(chunks: Iterable[VectorChunk]) -> Directions:
    """From sums over all vectors, so that none has to be kept.  Raises ValueError where there is no
    vector."""
    count, total, products = 0, np.zeros(1), np.zeros((1, 1))
    for chunk in chunks:
        rows = chunk.features.astype(np.float64)
        count += len(rows)
        total, products = total + rows.sum(axis=0), products + rows.T @ rows
    if not count:
        raise ValueError("no vectors, so no directions")
    mean = total / count
    values, vectors = np.linalg.eigh(products / count - np.outer(mean, mean))
    axes = vectors[:, ::-1][:, :3]
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.sign(axes[largest, np.arange(axes.shape[1])])
    spread = values.clip(0)
    share = float(spread[::-1][:3].sum() / spread.sum()) if spread.sum() > 0 else 0.0
    return Directions(mean, axes, share)


def colours(plan: TilePlan, chunks: Chunks) -> tuple[NDArray[np.float32], float]:
    """(rows, cols, 4) red, green, blue and opacity in 0..1, on the plan's grid; and the share of
    the variance that they show."""
    found = principal(chunks())
    shades = np.zeros((*plan.grid, 3))
    known = np.zeros(plan.grid, np.bool_)
    for chunk in chunks():
        row, col = plan.cells[chunk.index].T
        along = (chunk.features - found.mean) @ found.axes
        shades[row, col, : along.shape[1]] = along
        known[row, col] = True
    low, high = np.percentile(shades[known], [_TAIL, 100 - _TAIL], axis=0)
    scaled = (shades - low) / np.where(high > low, high - low, 1)
    rgba = np.concatenate([scaled.clip(0, 1), known[..., None]], axis=-1)
    return rgba.astype(np.float32), found.share


def write_picture(
    path: Path, thumbnail: Thumbnail, plan: TilePlan, card: ModelCard, chunks: Chunks
) -> None:
    """Write the slide, and next to it its colours, as PNG.  Nothing on it names the slide."""
    rgba, share = colours(plan, chunks)
    size = plan.slide.size
    tall = _SIDE_IN * size.height / size.width
    figure = Figure(figsize=(2 * _SIDE_IN + 0.6, min(max(tall, 2.0), 14.0) + 1.1), dpi=_DPI)
    left, right = figure.subplots(1, 2)
    extent = (0, size.width, size.height, 0)
    grid = (0, plan.grid[1] * plan.step.x, plan.grid[0] * plan.step.y, 0)
    left.imshow(thumbnail.pixels, extent=extent, interpolation="antialiased")
    right.imshow(thumbnail.pixels, extent=extent, interpolation="antialiased", alpha=0.25)
    right.imshow(rgba, extent=grid, interpolation="nearest")
    for axes in (left, right):
        _bare(axes, size.width, size.height)
    words = (
        f"three principal components of {card.output.features} features as red, green and blue"
        f" ({share:.0%} of the variance): like colours, like tissue in the eyes of"
        f" {card.ref.name} {card.ref.version}; no score and no finding"
    )
    figure.text(0.02, 0.05, words, fontsize=8, va="center")
    figure.text(0.02, 0.02, STATEMENT, fontsize=8, weight="bold", va="center")
    figure.subplots_adjust(left=0.02, right=0.98, top=0.98, bottom=0.08, wspace=0.03)
    FigureCanvasAgg(figure).print_png(path)  # type: ignore[no-untyped-call]


def _bare(axes: Axes, width: int, height: int) -> None:
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
