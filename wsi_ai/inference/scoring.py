"""What happens around a network, in host memory: pixels to its input, its output to scores."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import Activation, Layout, ModelCard, Task
from wsi_ai.errors import ModelError
from wsi_ai.inference.detections import columns, objects_of, surest
from wsi_ai.inference.views import mean_over, views_of
from wsi_ai.tiles.reading.resize import resized

Tiles = NDArray[np.uint8] | NDArray[np.float32]
_ROUNDING = 1e-5
FIELDS = {
    Task.TILE_CLASSIFICATION: "output.classes",
    Task.SEGMENTATION: "output.classes or output.scale",
    Task.DETECTION: "output.objects or output.form",
    Task.EMBEDDING: "output.features",
    Task.SLIDE_CLASSIFICATION: "output.features",
}
"""The field of the card that is wrong where the output's shape differs."""


def scale_and_shift(card: ModelCard) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Three numbers each, so that ``pixel * scale + shift`` is what a float network wants."""
    std = np.array(card.input.std, np.float64)
    scale, shift = 1 / (255 * std), -np.array(card.input.mean, np.float64) / std
    return scale.astype(np.float32), shift.astype(np.float32)


def resized_all(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """(tiles, side, side, 3): each as ``tiles.reading.resize`` does it."""
    if pixels.shape[1:3] == (side, side):
        return pixels
    tiles = np.empty((len(pixels), side, side, 3), np.uint8)
    for tile, into in zip(pixels, tiles, strict=True):
        into[...] = resized(tile, side)
    return tiles


def room_for(card: ModelCard, tiles: int) -> Tiles:
    """Memory for what ``prepare`` makes of this number of tiles, to be used again and again."""
    side = card.network_px
    shape = (side, side, 3) if card.input.layout is Layout.NHWC else (3, side, side)
    return np.empty((tiles, *shape), card.input.dtype)


def prepare(pixels: NDArray[np.uint8], card: ModelCard, room: Tiles | None = None) -> Tiles:
    """uint8 RGB (tiles, height, width, 3) as the network wants it: see ``cards.InputSpec``.

    Written to ``room``, where that is given and large enough, and the network wants floats.
    """
    wanted = np.dtype(card.input.dtype)
    pixels = resized_all(pixels, card.network_px)
    planes = pixels.transpose(0, 3, 1, 2)
    if wanted == np.uint8:
        return pixels if card.input.layout is Layout.NHWC else np.ascontiguousarray(planes)
    if room is None or len(room) < len(pixels):
        room = room_for(card, len(pixels))
    tiles = room[: len(pixels)]
    into = tiles.transpose(0, 3, 1, 2) if card.input.layout is Layout.NHWC else tiles
    for channel, (scale, shift) in enumerate(zip(*scale_and_shift(card), strict=True)):
        plane = into[:, channel]
        np.multiply(planes[:, channel], scale, out=plane)
        plane += shift
    return tiles


def output_shape(card: ModelCard) -> tuple[int, ...]:
    """The shape of the network's output for one tile."""
    out, classes = card.output, len(card.classes)
    side = round(card.tile.size_px * out.scale)
    shapes = {
        Task.TILE_CLASSIFICATION: (classes,),
        Task.SEGMENTATION: (classes, side, side),
        Task.DETECTION: (out.objects, columns(card)),
        Task.EMBEDDING: (out.features,),
        Task.SLIDE_CLASSIFICATION: (out.features,),
    }
    return shapes[card.task]


def fits(shape: tuple[int, ...], card: ModelCard) -> bool:
    """Whether a batch's output is what the card says.  Where it is one number a tile, its axis may
    be missing; numbers may come as a picture of one pixel: (tiles, numbers, 1, 1)."""
    wanted = output_shape(card)
    flat = len(wanted) == 1 and shape[1:] == (*wanted, 1, 1)
    return shape[1:] == wanted or flat or (wanted == (1,) and len(shape) == 1)


def scores_of(output: NDArray[np.float32], count: int, card: ModelCard) -> NDArray[np.float32]:
    """``Predictions.scores`` of the card's task, from the output for a batch of at least ``count``
    tiles.

    A tile with any number that is not finite is NaN throughout, which counts as not assessed.
    Raises ModelError where the output is not what the card says.
    """
    batch = len(output) if output.ndim else 0
    if not fits(output.shape, card):
        raise ModelError(
            f"{FIELDS[card.task]}: {card.weights.name} gives {output.shape} for {batch} tiles;"
            f" its card asks for {(batch, *output_shape(card))}"
        )
    raw = output.reshape(batch, *output_shape(card))[:count]
    lost = ~np.logical_and.reduce(np.isfinite(raw), axis=tuple(range(1, raw.ndim)))
    given = np.where(lost.reshape(-1, *(1,) * (raw.ndim - 1)), np.float32(0), raw)
    scores = _by_task(given, card)
    scores[lost] = np.nan
    return scores


def scores_over_views(
    outputs: Iterable[NDArray[np.float32]], count: int, card: ModelCard
) -> NDArray[np.float32]:
    """The mean of ``scores_of`` over the card's views; there is one output for each view."""
    views = views_of(card.input.tta)
    each = [scores_of(output, count, card) for output in outputs]
    return each[0] if len(views) == 1 else mean_over(views, each)


def _by_task(given: NDArray[np.float32], card: ModelCard) -> NDArray[np.float32]:
    if card.gives_vectors:
        return given
    if card.task is Task.DETECTION:
        return objects_of(given, card, lambda raw: _activated(raw, card, axis=2))
    return _activated(given, card, axis=1)


def _activated(raw: NDArray[np.float32], card: ModelCard, axis: int) -> NDArray[np.float32]:
    scores = activate(raw, card.activation, axis)
    clipped = within_one(scores)
    if clipped is None:
        raise ModelError(
            f"{card.weights.name} gives scores outside 0..1; is output.activation right?"
        )
    return clipped


def within_one(scores: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """The same in 0..1, where what lies beyond is rounding: a mean of probabilities may be
    1.0000001.  ``None`` where it is more than that.  What is no number stays none."""
    if np.any((scores < -_ROUNDING) | (scores > 1 + _ROUNDING)):
        return None
    return np.clip(scores, np.float32(0), np.float32(1))


def activate(
    output: NDArray[np.float32], activation: Activation, axis: int = 1
) -> NDArray[np.float32]:
    """Scores in 0..1; ``axis`` is that of the classes."""
    if activation is Activation.SIGMOID:
        return np.asarray(0.5 + 0.5 * np.tanh(0.5 * output), np.float32)  # no overflow
    if activation is Activation.SOFTMAX:
        grown = np.exp(output - output.max(axis=axis, keepdims=True))
        return np.asarray(grown / grown.sum(axis=axis, keepdims=True), np.float32)
    return output


def tile_scores(scores: NDArray[np.float32], card: ModelCard) -> NDArray[np.float32]:
    """(tiles, classes) of ``Predictions.scores``, to compare runtimes: the mean over a
    segmentation's pixels, the highest score of each class of a detection; NaN where a tile has
    none."""
    if card.task is Task.SEGMENTATION:
        return np.asarray(scores.mean(axis=(2, 3)), np.float32)
    if card.task is Task.DETECTION:
        return surest(scores, len(card.classes))
    return scores


def batch_for(card: ModelCard, most: int, pixels: int) -> int:
    """Number of tiles in a batch: ``most``, or fewer where this number of ``pixels`` is enough,
    because a network that keeps its tile's resolution needs memory by the pixel."""
    if card.task not in (Task.SEGMENTATION, Task.DETECTION):
        return most
    return max(1, min(most, pixels // card.tile.size_px**2))
