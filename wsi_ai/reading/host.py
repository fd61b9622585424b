"""The reading stage in host memory."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_ai.codecs import decoder
from wsi_ai.contracts import EncodedLevel, EncodedSlide, Slide
from wsi_ai.geometry import Size
from wsi_ai.reading.colour import finisher
from wsi_ai.reading.decode_once import DecodeOnce, Fetch
from wsi_ai.reading.easel import Canvases, Easel, Slots
from wsi_ai.reading.regions import RegionTiles
from wsi_ai.reading.schedule import Placement, StoredGrid
from wsi_ai.reading.shrink import shrinker
from wsi_ai.values import TileBatch, TilePlan

log = logging.getLogger(__name__)

Image = NDArray[np.uint8]
Allocate = Callable[[tuple[int, ...]], Image]
"""Makes a uint8 array of a shape, in whatever memory the runtime wants to be fed from."""

_DEPTH = 4
"""Batches: one is the caller's, the others are being filled."""
_SEAM_BYTES = 64 << 20
"""For stored tiles that wait for a later batch."""
_LARGEST_READ_PX = 1024
"""Along one side of a tile, so that the canvases of a few dozen tiles fit into memory."""


@dataclass(frozen=True, slots=True)
class HostTiles:
    """Decodes every stored tile once, with threads, where the slide hands out its stored tiles;
    reads region by region where it does not.

    A tile that will not decode is left out.  ``allocate`` is asked for the batch buffers, a few
    for each slide.
    """

    batch_size: int
    threads: int
    allocate: Allocate = lambda shape: np.zeros(shape, np.uint8)
    description = "the processor"

    def __call__(self, slide: Slide, plan: TilePlan, start: int) -> Iterator[TileBatch]:
        """See ``contracts.TileSource``."""
        small = max(plan.read_px.width, plan.read_px.height) <= _LARGEST_READ_PX
        if isinstance(slide, EncodedSlide) and small:
            return self._once(slide.encoded_level(plan.level), plan, start)
        return RegionTiles(self.batch_size, self.threads)(slide, plan, start)

    def _once(self, level: EncodedLevel, plan: TilePlan, start: int) -> Iterator[TileBatch]:
        tile, side = level.encoding.tile, plan.spec.size_px
        shape = (self.batch_size, side, side, 3)
        buffers = [self.allocate(shape) for _ in range(_DEPTH)]
        walk = DecodeOnce(
            fetcher(level),
            StoredGrid(level.size, tile),
            placement(plan, start),
            self.batch_size,
            _easel(buffers, plan),
        )
        seams = _SEAM_BYTES // (tile.width * tile.height * 3)
        for turn, lost in enumerate(walk.batches(_DEPTH, self.threads, seams)):
            first = start + turn * self.batch_size
            index = np.arange(first, min(first + self.batch_size, len(plan)))
            pixels = buffers[turn % _DEPTH][: len(index)]
            for i, error in lost.items():
                log.warning(
                    "left out tile %d of %s: %s", start + i, plan.slide.fingerprint[:8], error
                )
            if lost:
                kept = ~np.isin(index - start, list(lost))
                index, pixels = index[kept], pixels[kept]
            yield TileBatch(plan.slide.slide_id, index, pixels)


def fetcher(level: EncodedLevel) -> Fetch:
    """Read and decode one stored tile; white where nothing was scanned."""
    decode = decoder(level.encoding)

    def fetch(col: int, row: int, out: Image) -> None:
        data = level.encoded(col, row)
        if data is None:
            out[...] = 255
        else:
            decode(data, out)

    return fetch


def placement(plan: TilePlan, start: int) -> Placement:
    """Where the tiles of a plan from ``start`` on lie on its level, to the nearest pixel."""
    down = plan.slide.downsamples[plan.level]
    corners = plan.corners(start, len(plan))
    x, y = (np.rint(along / down).astype(np.int64) for along in corners)
    return Placement(x, y, plan.read_px)


def _easel(buffers: list[Image], plan: TilePlan) -> Easel:
    slots, side = Slots(buffers, finisher(plan)), plan.spec.size_px
    if plan.read_px == Size(side, side):
        return slots
    cv2.setNumThreads(1)  # the threads here are enough: OpenCV's own would fight with them
    return Canvases(slots, plan.read_px, shrinker(plan.read_px, Size(side, side)))
