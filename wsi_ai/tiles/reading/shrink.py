"""From the stored scale to the model's, by whole numbers.

Smaller: each pixel of the result is the mean of the area that it covers.  Larger: linearly between
the middles of the two pixels beside it, and beyond the outermost middles the outermost pixel.  Both
weigh pixels by fractions of whole numbers, so the sum is exact; it is rounded once, halves up.
Everything that resamples gives these bytes: the compiled code, NumPy, and ``inference/gpu/cut.cu``.

A model's tile comes from its own pixels alone, so neighbours meet without a seam.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.geometry import Size

_compiled: Callable[..., None] | None = None
with suppress(ImportError):  # there was no C compiler when this was installed
    from wsi_ai.tiles.reading._resample import resample as _compiled

log = logging.getLogger(__name__)

Image = NDArray[np.uint8]
Shrink = Callable[[Image, Image], None]
"""From (height, width, 3) into another such array, both uint8.  Threads may share it."""
LARGEST_TOTAL = 1 << 23
"""The most that all weights of a pixel may add up to, for 255 times that to fit in 32 bits: enough
for 2048 pixels each way.  NumPy takes more."""


@dataclass(frozen=True, slots=True, eq=False)
class Taps:
    """Which pixels along one side make each pixel of the result."""

    first: NDArray[np.int32]
    """(wanted,): the first of them."""
    weights: NDArray[np.int32]
    """(wanted, taps): of that pixel and those after it."""
    total: int
    """What the weights of each add up to."""


def taps(read: int, wanted: int) -> Taps:
    """Of ``wanted`` pixels from so many that were read, along one side."""
    first, weights = _areas(read, wanted) if read >= wanted else _between(read, wanted)
    common = int(np.gcd.reduce(weights, axis=None))
    whole = np.ascontiguousarray(weights // common, np.int32)
    return Taps(first.astype(np.int32), whole, int(whole[0].sum()))


def _areas(read: int, wanted: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A pixel that is read is ``wanted`` long, and one that is wanted ``read``."""
    begin = np.arange(wanted, dtype=np.int64) * read
    end = begin + read
    count = int((-(-end // wanted) - begin // wanted).max())
    first = np.minimum(begin // wanted, read - count)
    left = (first[:, None] + np.arange(count)) * wanted
    covered = np.minimum(left + wanted, end[:, None]) - np.maximum(left, begin[:, None])
    return first, np.maximum(covered, 0)


def _between(read: int, wanted: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """In steps of ``1 / (2 * wanted)`` of a pixel that is read, from the middle of the first."""
    step = 2 * wanted
    middle = (2 * np.arange(wanted, dtype=np.int64) + 1) * read - wanted
    middle = np.clip(middle, 0, (read - 1) * step)
    first = np.minimum(middle // step, max(0, read - 2))
    part = middle - first * step
    weights = np.stack([step - part, part], 1)
    return first, weights[:, : min(2, read)]


def shrinker(read: Size, wanted: Size) -> Shrink:
    """See above; OpenCV averages squares of four exactly, and fastest."""
    if read == wanted:
        return _copy
    if read == Size(2 * wanted.width, 2 * wanted.height):
        return _average_of_four
    down, along = taps(read.height, wanted.height), taps(read.width, wanted.width)
    if down.total * along.total > LARGEST_TOTAL:
        return _by_numpy(down, along)
    if _compiled is None:
        _say_it_is_slow()
        return _by_numpy(down, along)
    return _by_compiled(_compiled, down, along)


def _copy(source: Image, out: Image) -> None:
    out[...] = source


def _average_of_four(source: Image, out: Image) -> None:
    size = (out.shape[1], out.shape[0])
    cv2.resize(source, size, dst=out, interpolation=cv2.INTER_AREA)


def _by_compiled(resample: Callable[..., None], down: Taps, along: Taps) -> Shrink:
    total = down.total * along.total
    tables = down.first, down.weights, along.first, along.weights

    def shrink(source: Image, out: Image) -> None:
        resample(np.ascontiguousarray(source), out, *tables, total)

    return shrink


def _by_numpy(down: Taps, along: Taps) -> Shrink:
    total = down.total * along.total
    kind = np.int32 if total <= LARGEST_TOTAL else np.int64

    def shrink(source: Image, out: Image) -> None:
        rows = _weighed(source, down, 0, kind)
        sums = _weighed(rows, along, 1, kind)
        sums += total // 2
        out[...] = sums // total

    return shrink


def _weighed(pixels: NDArray[Any], taps: Taps, axis: int, kind: type[Any]) -> NDArray[Any]:
    """(height, width, 3), with the wanted length along ``axis``."""
    shape = list(pixels.shape)
    shape[axis] = len(taps.first)
    sums = np.zeros(shape, kind)
    for tap, weights in enumerate(taps.weights.T.astype(kind)):
        sums += pixels.take(taps.first + tap, axis) * np.expand_dims(weights, (1 - axis, 2))
    return sums


@cache
def _say_it_is_slow() -> None:
    log.warning(
        "wsi_ai was installed without a C compiler: tiles that are not stored at the model's"
        " scale are resampled by NumPy, which is slower and gives the same pixels"
    )
