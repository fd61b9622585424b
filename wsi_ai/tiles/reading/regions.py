"""Tiles read one region at a time: works for every slide, and is the reference for faster ways."""

import logging
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import ReadLike
from wsi_ai.core.contracts import Slide
from wsi_ai.core.geometry import Size
from wsi_ai.core.values import TileBatch, TilePlan
from wsi_ai.errors import TileUnreadable
from wsi_ai.tiles.reading.colour import finisher
from wsi_ai.tiles.reading.shrink import shrinker
from wsi_ai.tiles.reading.wsinfer import read_as_wsinfer

log = logging.getLogger(__name__)

Tile = NDArray[np.uint8]
_AHEAD = 3
"""Batches that are read while earlier ones are in use."""
_PIECE_PX = 2048
"""The most pixels read at once, so that a tile of a slide without a pyramid fits into memory."""


@dataclass(frozen=True, slots=True)
class RegionTiles:
    """Reads ahead with a few threads, in order.  A tile that will not decode is left out."""

    batch_size: int
    threads: int
    description = "the processor, region by region"

    def __call__(self, slide: Slide, plan: TilePlan, start: int) -> Iterator[TileBatch]:
        """See ``contracts.TileSource``."""
        finish = finisher(plan)

        def read(tile: int) -> Tile:
            pixels = read_tile(slide, plan, tile)
            if finish:
                finish(pixels)
            return pixels

        waiting: deque[_Chunk] = deque()
        with ThreadPoolExecutor(self.threads, "tiles") as pool:
            try:
                for first in range(start, len(plan), self.batch_size):
                    chunk = range(first, min(first + self.batch_size, len(plan)))
                    waiting.append(_Chunk([(i, pool.submit(read, i)) for i in chunk]))
                    if len(waiting) > _AHEAD:
                        yield _collect(plan, waiting.popleft())
                while waiting:
                    yield _collect(plan, waiting.popleft())
            finally:
                pool.shutdown(cancel_futures=True)


def read_tile(slide: Slide, plan: TilePlan, tile: int) -> Tile:
    """One tile, uint8 (size_px, size_px, 3).  Raises TileUnreadable."""
    if plan.spec.parity is ReadLike.WSINFER:
        return read_as_wsinfer(slide, plan, tile)
    x, y = plan.origin(tile)
    side, read = plan.spec.size_px, plan.read_px
    if max(read.width, read.height) > _PIECE_PX:
        return _read_in_pieces(slide, plan, x, y)
    pixels = slide.read(plan.level, x, y, read.width, read.height)
    return pixels if pixels.shape[:2] == (side, side) else _resize(pixels, side, side)


def _read_in_pieces(slide: Slide, plan: TilePlan, x: int, y: int) -> Tile:
    """The same, shrinking piece by piece."""
    side, down = plan.spec.size_px, plan.slide.downsamples[plan.level]
    scale_x, scale_y = plan.read_px.width / side, plan.read_px.height / side
    pieces = max(2, -(-max(plan.read_px.width, plan.read_px.height) // _PIECE_PX))
    cuts = [side * k // pieces for k in range(pieces + 1)]
    tile = np.empty((side, side, 3), np.uint8)
    for top, bottom in pairwise(cuts):
        for left, right in pairwise(cuts):
            piece = slide.read(
                plan.level,
                x + round(left * scale_x * down),
                y + round(top * scale_y * down),
                max(1, round((right - left) * scale_x)),
                max(1, round((bottom - top) * scale_y)),
            )
            tile[top:bottom, left:right] = _resize(piece, right - left, bottom - top)
    return tile


def _resize(pixels: Tile, width: int, height: int) -> Tile:
    out = np.empty((height, width, 3), np.uint8)
    shrinker(Size(pixels.shape[1], pixels.shape[0]), Size(width, height))(pixels, out)
    return out


class _Chunk:
    """Tiles that are being read."""

    def __init__(self, tiles: list[tuple[int, Future[Tile]]]) -> None:
        self.tiles = tiles
        self._began = self._ended = time.perf_counter()
        for _, future in tiles:
            future.add_done_callback(self._one_done)

    @property
    def span(self) -> tuple[float, float]:
        """From when to when they were being read."""
        return self._began, self._ended

    def _one_done(self, future: Future[Tile]) -> None:
        self._ended = time.perf_counter()


def _collect(plan: TilePlan, chunk: _Chunk) -> TileBatch:
    index, tiles = [], []
    for i, future in chunk.tiles:
        try:
            tiles.append(future.result())
            index.append(i)
        except TileUnreadable as error:
            log.warning("left out tile %d of %s: %s", i, plan.slide.log_name, error)
    side = plan.spec.size_px
    pixels = np.stack(tiles) if tiles else np.empty((0, side, side, 3), np.uint8)
    return TileBatch(plan.slide.slide_id, np.array(index, np.int64), pixels, read=chunk.span)
