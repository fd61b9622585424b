"""Around a network's kernel: the slide's own colours made the model's, and each of the card's views
shown to the network.  ``xp`` is the library whose arrays a device holds: numpy, CuPy or PyTorch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import Layout, ModelCard
from wsi_ai.core.values import Recolour
from wsi_ai.inference.scoring import scale_and_shift
from wsi_ai.inference.views import Orientation, views_of

Inner = Callable[[Any, Any], None]
"""(tiles, outputs): reads what a slot of the ring holds, writes what the network gives."""


@dataclass(frozen=True, slots=True)
class RecolouredViews:
    """A kernel of the ring.  ``outputs`` has an axis of views after that of tiles, unless there is
    but one.  Only RGB can be recoloured, or turned: see ``cutting.form_for``."""

    inner: Inner
    views: tuple[Orientation, ...]
    xp: Any

    def __call__(self, pixels: Any, outputs: Any, recolour: Recolour | None = None) -> None:
        tiles = pixels if recolour is None else recolour(pixels, self.xp)
        if len(self.views) == 1:
            self.inner(tiles, outputs)
            return
        for number, view in enumerate(self.views):
            self.inner(view.of(tiles, self.xp), outputs[:, number])


def recoloured_views(inner: Inner, card: ModelCard, xp: Any) -> RecolouredViews:
    """What the card asks for beside the network itself."""
    return RecolouredViews(inner, views_of(card.input.tta), xp)


class Placed:
    """A library of arrays that takes no ``device``, as one that does: of its current one."""

    def __init__(self, xp: Any) -> None:
        self._xp = xp

    def __getattr__(self, name: str) -> Any:
        return getattr(self._xp, name)

    def asarray(self, values: Any, dtype: Any = None, device: Any = None) -> Any:
        del device
        return self._xp.asarray(values, dtype=dtype)


@dataclass(frozen=True, slots=True, eq=False)
class Prepare:
    """RGB tiles to a network's input, where they are.  Use ``open_prepare``."""

    card: ModelCard
    xp: Any
    weights: Any
    """(network_px, size_px) of ``shrinking``; ``None`` where both are the same."""
    scale: Any
    shift: Any

    def __call__(self, pixels: Any) -> Any:
        """In memory of its own, where anything is to be done; contiguous."""
        tiles = pixels if self.weights is None else self._resized(pixels)
        if self.card.input.dtype != "uint8":
            tiles = tiles.astype(self.card.input.dtype) * self.scale
            tiles += self.shift
        if self.card.input.layout is Layout.NCHW:
            tiles = tiles.transpose(0, 3, 1, 2)
        return self.xp.ascontiguousarray(tiles)

    def _resized(self, pixels: Any) -> Any:
        """``scoring.resized``, a grey level off at most, for that one rounds twice."""
        (count, height, width, channels), side = pixels.shape, self.weights.shape[0]
        lines = pixels.astype("float32").reshape(count, height, width * channels)
        rows = self.xp.matmul(self.weights, lines).reshape(count, side, width, channels)
        columns = rows.transpose(0, 1, 3, 2)
        shrunk = self.xp.matmul(columns, self.weights.T).transpose(0, 1, 3, 2)
        return self.xp.clip(self.xp.rint(shrunk), 0, 255).astype("uint8")


def open_prepare(card: ModelCard, xp: Any) -> Prepare:
    """In the current device's memory."""
    side, tile = card.network_px, card.tile.size_px
    weights = None if side == tile else xp.asarray(shrinking(tile, side))
    scale, shift = (xp.asarray(numbers) for numbers in scale_and_shift(card))
    return Prepare(card, xp, weights, scale, shift)


def shrinking(length: int, wanted: int) -> NDArray[np.float32]:
    """(wanted, length): what each pixel of a side weighs in one of the resized; a triangle over
    all that it covers, as Pillow's bilinear resizing has it."""
    ratio = length / wanted
    reach = max(ratio, 1.0)
    middle = (np.arange(wanted) + 0.5) * ratio
    away = np.abs(np.arange(length) + 0.5 - middle[:, None]) / reach
    weight = np.maximum(0, 1 - away)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True), np.float32)


def address(array: Any) -> int:
    """Of an array of numpy's or CuPy's."""
    return int(array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr)
