"""Around a network, in host memory: pixels to its input, its output to scores."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsi_ai.errors import ModelError
from wsi_ai.values import Activation, Layout, ModelCard

Tiles = NDArray[np.uint8] | NDArray[np.float32]


def scale_and_shift(card: ModelCard) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Three each, so that ``pixel * scale + shift`` is what a float network wants."""
    std = np.array(card.input.std, np.float64)
    scale, shift = 1 / (255 * std), -np.array(card.input.mean, np.float64) / std
    return scale.astype(np.float32), shift.astype(np.float32)


def resized(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """(tiles, side, side, 3): bilinear with antialiasing, by Pillow's ``Image.resize``."""
    if pixels.shape[1:3] == (side, side):
        return pixels
    tiles = np.empty((len(pixels), side, side, 3), np.uint8)
    for tile, into in zip(pixels, tiles, strict=True):
        image = Image.fromarray(tile).resize((side, side), Image.Resampling.BILINEAR)
        into[...] = np.asarray(image)
    return tiles


def prepare(pixels: NDArray[np.uint8], card: ModelCard) -> Tiles:
    """uint8 RGB (tiles, height, width, 3) as the network wants it: see ``values.InputSpec``."""
    wanted = np.dtype(card.input.dtype)
    pixels = resized(pixels, card.network_px)
    planes = pixels.transpose(0, 3, 1, 2)
    if wanted == np.uint8:
        return pixels if card.input.layout is Layout.NHWC else np.ascontiguousarray(planes)
    if card.input.layout is Layout.NHWC:
        tiles: NDArray[np.float32] = np.empty(pixels.shape, wanted)
        into = tiles.transpose(0, 3, 1, 2)
    else:
        tiles = into = np.empty(planes.shape, wanted)
    for channel, (scale, shift) in enumerate(zip(*scale_and_shift(card), strict=True)):
        plane = into[:, channel]
        np.multiply(planes[:, channel], scale, out=plane)
        plane += shift
    return tiles


def scores_of(output: NDArray[np.float32], count: int, card: ModelCard) -> NDArray[np.float32]:
    """(count, classes) from the output for a batch of at least ``count`` tiles.

    A tile for which any number is not finite scores NaN, which counts as not assessed.  Raises
    ModelError where the output is not what the card says.
    """
    batch, classes = len(output) if output.ndim else 0, len(card.classes)
    if output.shape != (batch, classes) and not (classes == 1 and output.ndim == 1):
        raise ModelError(
            f"{card.weights.name} gives {output.shape} for {batch} tiles;"
            f" the card's classes ask for {(batch, classes)}"
        )
    raw = output.reshape(batch, classes)[:count]
    lost: NDArray[np.bool_] = ~np.logical_and.reduce(np.isfinite(raw), axis=1)
    scores = activate(np.where(lost[:, None], np.float32(0), raw), card.activation)
    if np.any((scores < 0) | (scores > 1)):
        raise ModelError(
            f"{card.weights.name} gives scores outside 0..1; is output.activation right?"
        )
    scores[lost] = np.nan
    return scores


def activate(output: NDArray[np.float32], activation: Activation) -> NDArray[np.float32]:
    """(tiles, classes) of scores in 0..1."""
    if activation is Activation.SIGMOID:
        return np.asarray(0.5 + 0.5 * np.tanh(0.5 * output), np.float32)  # no overflow
    if activation is Activation.SOFTMAX:
        grown = np.exp(output - output.max(axis=1, keepdims=True))
        return np.asarray(grown / grown.sum(axis=1, keepdims=True), np.float32)
    return output


def first_line(error: Exception) -> str:
    """Of what a library has to say."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
