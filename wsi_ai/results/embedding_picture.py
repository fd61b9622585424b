"""A picture of a slide's embeddings: their three strongest directions as red, green and blue."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.flags import statement_of
from wsi_ai.core.values import TilePlan, VectorChunk
from wsi_ai.results.lettering import font, wrapped
from wsi_ai.tissue.thumbnail import Thumbnail

_SIDE, _LOWEST, _HIGHEST = 845, 260, 1820
"""Width of each of the two pictures, and the bounds of their height, in pixels."""
_MARGIN, _WORDS, _TAIL = 36, 84, 1.0
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
    scale = min(_SIDE / size.width, _HIGHEST / size.height)
    width, height = max(1, round(size.width * scale)), max(1, round(size.height * scale))
    room = max(height, _LOWEST)
    sheet = Image.new("RGB", (2 * _SIDE + 3 * _MARGIN, room + 2 * _MARGIN + _WORDS), "white")
    glass = Image.fromarray(thumbnail.pixels).resize((width, height), Image.Resampling.LANCZOS)
    pale = Image.blend(Image.new("RGB", glass.size, "white"), glass, 0.25)
    layer = _layer(rgba, plan, scale)
    pale.paste(layer, (0, 0), layer)
    draw = ImageDraw.Draw(sheet)
    for n, picture in enumerate((glass, pale)):
        x = _MARGIN + n * (_SIDE + _MARGIN)
        sheet.paste(picture, (x, _MARGIN))
        draw.rectangle((x - 1, _MARGIN - 1, x + width, _MARGIN + height), outline="black", width=1)
    words = (
        f"three principal components of {card.output.features} features as red, green and blue"
        f" ({share:.0%} of the variance): like colours, like tissue in the eyes of"
        f" {card.ref.name} {card.ref.version}; no score and no finding"
    )
    y = room + 2 * _MARGIN
    for n, line in enumerate(wrapped(words, font(16), sheet.width - 2 * _MARGIN)):
        draw.text((_MARGIN, y + 22 * n), line, "black", font(16), "lm")
    draw.text((_MARGIN, y + 52), statement_of(card), "black", font(16, "DejaVuSans-Bold"), "lm")
    sheet.save(path, "PNG")


def _layer(rgba: NDArray[np.float32], plan: TilePlan, scale: float) -> Image.Image:
    """The grid's cells at the picture's scale, see-through where there is no vector."""
    rows, cols = plan.grid
    cells = Image.fromarray(np.rint(rgba * 255).astype(np.uint8), "RGBA")
    size = round(cols * plan.step.x * scale), round(rows * plan.step.y * scale)
    return cells.resize((max(1, size[0]), max(1, size[1])), Image.Resampling.NEAREST)
