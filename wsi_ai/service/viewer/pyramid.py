"""The levels of a slide as they are sent: as stored where a browser can take them, and made once
where the file has none."""

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import cv2
import numpy as np

from wsi_ai.core.contracts import EncodedLevel, EncodedSlide, Slide
from wsi_ai.core.geometry import Box, Size
from wsi_ai.core.values import Codec
from wsi_ai.errors import TileUnreadable
from wsi_ai.service.viewer.cache import Once, TileCache
from wsi_ai.service.viewer.tiles import (
    Image,
    Picture,
    decoded,
    encoded,
    read_or_hatch,
    unreadable,
    unscanned,
)
from wsi_ai.slides.codecs import decode_buffer, decode_jpeg, decode_jpeg_at

_JPEG = "image/jpeg"
_TILE_PX = 512
_SMALLEST_LEVEL_PX = 512
_WIDEST_GAP = 4.5
_SENDABLE_PX = range(128, 2049)
_EOI, _TAIL = b"\xff\xd9", 64
_VERSION = "1"
"""Of how tiles are made; part of their names in the cache."""


class ServedLevel(Protocol):
    """A grid of tiles; column 0, row 0 begins at the slide's corner."""

    @property
    def downsample(self) -> float: ...
    @property
    def size(self) -> Size: ...
    @property
    def tile(self) -> Size: ...

    def picture(self, col: int, row: int) -> Picture: ...

    def pixels(self, left: int, top: int, size: Size) -> tuple[Image, bool]:
        """Pixels of this level, and whether all could be read; the rest is hatched."""
        ...


class StoredLevel:
    """Sends the file's own JPEG tiles.  Each is tried before it is sent for the first time: what
    libjpeg only warns of, a browser shows as grey, or as another tile."""

    def __init__(self, slide: Slide, level: int, stored: EncodedLevel) -> None:
        self.downsample, self.size = slide.info.downsamples[level], stored.size
        self.tile = stored.encoding.tile
        self._slide, self._level, self._stored = slide, level, stored
        self._tried: set[tuple[int, int]] = set()

    def picture(self, col: int, row: int) -> Picture:
        try:
            data = self._stored.encoded(col, row)
            if data is None:
                return unscanned(self.tile)
            if (col, row) not in self._tried:
                self._try(data)
                self._tried.add((col, row))
        except TileUnreadable:
            return unreadable(self.tile)
        return Picture(data, _JPEG)

    def pixels(self, left: int, top: int, size: Size) -> tuple[Image, bool]:
        return _read(self._slide, self._level, (left, top), size)

    def _try(self, data: bytes) -> None:
        """An eighth of the size is enough to read every code of the stream."""
        if _EOI not in data[-_TAIL:]:
            raise TileUnreadable("a tile's jpeg data ends too soon")
        if self.tile.width % 8 or self.tile.height % 8:
            decode_jpeg(data, decode_buffer(self.tile))
        else:
            small = Size(self.tile.width // 8, self.tile.height // 8)
            decode_jpeg_at(data, 8, decode_buffer(small))


class ReadLevel:
    """Decodes a level of the slide and encodes it anew."""

    def __init__(self, slide: Slide, level: int, made: "Made") -> None:
        self.downsample, self.tile = slide.info.downsamples[level], Size(_TILE_PX, _TILE_PX)
        self.size = _shrunk(slide.info.size, self.downsample)
        self._slide, self._level, self._made = slide, level, made

    def picture(self, col: int, row: int) -> Picture:
        return self._made.picture(f"r{self._level}", (col, row), self.size, self.pixels)

    def pixels(self, left: int, top: int, size: Size) -> tuple[Image, bool]:
        return _read(self._slide, self._level, (left, top), size)


class MadeLevel:
    """Half of a finer level."""

    def __init__(self, finer: ServedLevel, made: "Made") -> None:
        self.downsample, self.tile = finer.downsample * 2, Size(_TILE_PX, _TILE_PX)
        self.size = _shrunk(finer.size, 2)
        self._finer, self._made = finer, made

    def picture(self, col: int, row: int) -> Picture:
        name = f"m{self.downsample:.6g}"
        return self._made.picture(name, (col, row), self.size, self._halved)

    def pixels(self, left: int, top: int, size: Size) -> tuple[Image, bool]:
        """Put together from its own tiles."""
        out, whole = np.empty((size.height, size.width, 3), np.uint8), True
        for row in range(top // _TILE_PX, -(-(top + size.height) // _TILE_PX)):
            for col in range(left // _TILE_PX, -(-(left + size.width) // _TILE_PX)):
                picture = self.picture(col, row)
                whole &= picture.readable
                _paste(out, decoded(picture.content), col * _TILE_PX - left, row * _TILE_PX - top)
        return out, whole

    def _halved(self, left: int, top: int, size: Size) -> tuple[Image, bool]:
        limit = self._finer.size
        width = min(size.width * 2, limit.width - left * 2)
        height = min(size.height * 2, limit.height - top * 2)
        pixels, whole = self._finer.pixels(left * 2, top * 2, Size(width, height))
        return _resized(pixels, size), whole


class Made:
    """Tiles of one slide that are made, each once, and kept."""

    def __init__(self, cache: TileCache, fingerprint: str) -> None:
        self._cache, self._fingerprint, self._once = cache, fingerprint, Once()

    def picture(
        self,
        level: str,
        at: tuple[int, int],
        limit: Size,
        draw: Callable[[int, int, Size], tuple[Image, bool]],
    ) -> Picture:
        """What is hatched in part is not kept: the next time it may be readable."""
        col, row = at
        name = f"{_VERSION}-{level}-{col}-{row}.jpg"
        with self._once.turn(name):
            kept = self._cache.get(self._fingerprint, name)
            if kept is not None:
                return Picture(kept, _JPEG)
            left, top = col * _TILE_PX, row * _TILE_PX
            part = Size(min(_TILE_PX, limit.width - left), min(_TILE_PX, limit.height - top))
            pixels, whole = draw(left, top, part)
            data = encoded(pixels)
            if whole:
                self._cache.put(self._fingerprint, name, data)
            return Picture(data, _JPEG, whole)


def served_levels(slide: Slide, cache: TileCache) -> tuple[ServedLevel, ...]:
    """The finest first.  Where the file leaves a gap, or ends early, levels are made."""
    made = Made(cache, slide.info.fingerprint)
    levels: list[ServedLevel] = []
    for number, downsample in enumerate(slide.info.downsamples):
        while levels and downsample / levels[-1].downsample > _WIDEST_GAP:
            levels.append(MadeLevel(levels[-1], made))
        levels.append(_level(slide, number, made))
    while max(levels[-1].size.width, levels[-1].size.height) > _SMALLEST_LEVEL_PX:
        levels.append(MadeLevel(levels[-1], made))
    return tuple(levels)


def render(levels: Sequence[ServedLevel], box: Box, size: Size) -> Image:
    """A part of the slide at any scale, for other viewers; hatched where it cannot be read."""
    scale = max(box.width / size.width, box.height / size.height, 1.0)
    level = next((one for one in reversed(levels) if one.downsample <= scale * 1.01), levels[0])
    down = level.downsample
    left = min(round(box.x / down), level.size.width - 1)
    top = min(round(box.y / down), level.size.height - 1)
    width = max(1, min(round(box.width / down), level.size.width - left))
    height = max(1, min(round(box.height / down), level.size.height - top))
    return _resized(level.pixels(left, top, Size(width, height))[0], size)


def _level(slide: Slide, number: int, made: Made) -> ServedLevel:
    if isinstance(slide, EncodedSlide):
        stored = slide.encoded_level(number)
        if _can_be_sent(stored):
            return StoredLevel(slide, number, stored)
    return ReadLevel(slide, number, made)


def _can_be_sent(stored: EncodedLevel) -> bool:
    """JPEG, in tiles that begin in the slide's corner and are no strips."""
    encoding = stored.encoding
    sides = encoding.tile.width, encoding.tile.height
    return (
        encoding.codec is Codec.JPEG
        and stored.corner == (0, 0)
        and all(side in _SENDABLE_PX for side in sides)
    )


def _read(slide: Slide, level: int, corner: tuple[int, int], size: Size) -> tuple[Image, bool]:
    down = slide.info.downsamples[level]
    return read_or_hatch(slide, level, (round(corner[0] * down), round(corner[1] * down)), size)


def _shrunk(size: Size, factor: float) -> Size:
    width, height = (max(1, math.ceil(side / factor)) for side in (size.width, size.height))
    return Size(width, height)


def _resized(pixels: Image, size: Size) -> Image:
    if pixels.shape[:2] == (size.height, size.width):
        return pixels
    sides = size.width, size.height
    return np.asarray(cv2.resize(pixels, sides, interpolation=cv2.INTER_AREA), np.uint8)


def _paste(out: Image, tile: Image, x: int, y: int) -> None:
    """As much of ``tile`` at (x, y) as lies within ``out``."""
    from_y, from_x = max(0, -y), max(0, -x)
    part = tile[from_y : max(0, len(out) - y), from_x : max(0, out.shape[1] - x)]
    top, left = max(0, y), max(0, x)
    out[top : top + part.shape[0], left : left + part.shape[1]] = part
