"""Levels read at a whole fraction of their scale: each stored tile is shrunk as it is decoded.

Less is then copied into the batches, and a tile that is wanted at exactly that scale needs no
canvas.  It requires that tiles lie on the coarser grid, as those at two or four times the slide's
µm/px do.
"""

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import Resampling, TileSpec
from wsi_ai.core.contracts import EncodedLevel
from wsi_ai.core.geometry import Size
from wsi_ai.core.values import Codec
from wsi_ai.slides.codecs import decode_buffer, decode_jpeg_at, decoder
from wsi_ai.tiles.reading.decode_once import Fetch
from wsi_ai.tiles.reading.schedule import Placement, StoredGrid
from wsi_ai.tiles.reading.shrink import shrinker

Image = NDArray[np.uint8]
_IN_CODEC = 8, 4, 2


@dataclass(frozen=True, slots=True)
class ReducedLevel:
    """One level at a fraction of its scale, and what is wanted of it there."""

    fetch: Fetch
    grid: StoredGrid
    placement: Placement


def reduced_level(level: EncodedLevel, placement: Placement, spec: TileSpec) -> ReducedLevel:
    """The level, read in the best way for tiles placed on it at its own scale.

    Where a pixel of a tile covers a whole number of the level's pixels, tiles are averaged as they
    are decoded: the same pixels as by averaging later.  Where the model's card says so, the JPEG
    decoder does as much of the shrinking as it can, and the rest is averaged.
    """
    tile = level.encoding.tile
    if spec.resampling is Resampling.DCT and level.encoding.codec is Codec.JPEG:
        for factor in _IN_CODEC:
            if placement.size.width >= factor * spec.size_px and _fits(tile, placement, factor):
                return _at(level, placement, factor, in_codec_fetcher(level, factor))
    factor = placement.size.width // spec.size_px
    whole = placement.size == Size(factor * spec.size_px, factor * spec.size_px)
    if factor > 1 and whole and _fits(tile, placement, factor):
        return _at(level, placement, factor, averaging(level, factor))
    return _at(level, placement, 1, fetcher(level))


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


def averaging(level: EncodedLevel, factor: int) -> Fetch:
    """The same, and then averaged over squares of ``factor``; what lies beyond the level is white,
    whatever the stored tile was padded with."""
    fetch, tile, size = fetcher(level), level.encoding.tile, level.size
    shrink = shrinker(tile, _part(tile, factor))
    own = threading.local()

    def averaged(col: int, row: int, out: Image) -> None:
        if not hasattr(own, "pixels"):
            own.pixels = decode_buffer(tile)
        fetch(col, row, own.pixels)
        own.pixels[size.height - row * tile.height :] = 255
        own.pixels[:, size.width - col * tile.width :] = 255
        shrink(own.pixels, out)

    return averaged


def in_codec_fetcher(level: EncodedLevel, factor: int) -> Fetch:
    """Shrunk by the JPEG decoder, which leaves out the finer frequencies of the DCT.  A tile at the
    edge is averaged instead: its padding must not be mixed in."""
    average, tile, size = averaging(level, factor), level.encoding.tile, level.size

    def fetch(col: int, row: int, out: Image) -> None:
        if (col + 1) * tile.width > size.width or (row + 1) * tile.height > size.height:
            return average(col, row, out)
        data = level.encoded(col, row)
        if data is None:
            out[...] = 255
        else:
            decode_jpeg_at(data, factor, out)
        return None

    return fetch


def _at(level: EncodedLevel, placement: Placement, factor: int, fetch: Fetch) -> ReducedLevel:
    grid = StoredGrid(_part(level.size, factor), _part(level.encoding.tile, factor))
    x, y = placement.x // factor, placement.y // factor
    return ReducedLevel(fetch, grid, Placement(x, y, _part(placement.size, factor)))


def _fits(tile: Size, placement: Placement, factor: int) -> bool:
    """All cuts fall between squares of this number of pixels."""
    sides = (tile.width, tile.height, placement.size.width, placement.size.height)
    cuts = (np.array(sides), placement.x, placement.y)
    return not any((along % factor).any() for along in cuts)


def _part(size: Size, factor: int) -> Size:
    """Pixels that are only partly there count."""
    return Size(-(-size.width // factor), -(-size.height // factor))
