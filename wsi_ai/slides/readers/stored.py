"""A slide made of levels that hand out their stored tiles."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.contracts import EncodedLevel, LevelInBlocks
from wsi_ai.core.values import SlideInfo
from wsi_ai.errors import TileUnreadable
from wsi_ai.slides.codecs import Decode, decoder
from wsi_ai.slides.readers.fingerprint import Hashed

Image = NDArray[np.uint8]
Fetched = bytes | TileUnreadable | None
_NONE: Mapping[tuple[int, int], Fetched] = MappingProxyType({})
_CACHE_BYTES = 8 << 20
_GLASS = 225
"""Of 255, the mean of the darkest colour: what is brighter at a coarser level is glass."""
_LOOKED_AT_PX = 128
_LOST = "a tile is missing where another level has one"
_AT_ONCE = 64
"""Tiles of a level far away that are asked for at a time."""
_PROBES = 4
"""Places along each side of a tile where a finer level is asked for a tile of its own."""


class StoredSlide:
    """See ``contracts.EncodedSlide``.  ``close`` is called once, when the slide is left."""

    def __init__(
        self,
        info: SlideInfo,
        levels: Sequence[EncodedLevel],
        close: Callable[[], None],
        files: Sequence[tuple[int, Callable[[], Hashed]]] = (),
    ) -> None:
        """``files`` are open, and what is hashed of each."""
        self.info, self._files = info, files
        self._levels = tuple(
            (_CheckedInBlocks if isinstance(level, LevelInBlocks) else _Checked)(n, level, self)
            for n, level in enumerate(levels)
        )
        self._decoders = tuple(decoder(level.encoding) for level in levels)
        self._close = close
        self._cache = Kept(_CACHE_BYTES)

    def encoded_level(self, level: int) -> EncodedLevel:
        """Who takes stored tiles has done with regions: what was kept for ``read`` is let go."""
        self._cache.clear()
        return self._levels[level]

    def read(self, level: int, x: int, y: int, width: int, height: int) -> Image:
        """See ``contracts.Slide.read``.  The corner falls on the level's nearest pixel."""
        down = self.info.downsamples[level]
        stored = self._levels[level]
        left, top = round(x / down) - stored.corner[0], round(y / down) - stored.corner[1]
        tile, size = stored.encoding.tile, stored.size
        out = np.full((height, width, 3), 255, np.uint8)
        rows = _under(top, height, tile.height, size.height)
        cols = _under(left, width, tile.width, size.width)
        for (col, row), pixels in self._tiles(level, [(col, row) for row in rows for col in cols]):
            to_y, from_y = _overlap(top, height, row * tile.height, tile.height, size.height)
            to_x, from_x = _overlap(left, width, col * tile.width, tile.width, size.width)
            out[to_y, to_x] = pixels[from_y, from_x]
        return out

    def unchanged(self) -> bool:
        """See ``contracts.VouchedSlide``."""
        return all(known().holds_for(fd) for fd, known in self._files)

    def shows_tissue(self, beneath: int, x: int, y: int, width: int, height: int) -> bool:
        """Whether the next level coarser than ``beneath`` that has a tile in this place, in pixels
        of level 0, has anything but glass there: a level that lacks it, too, says nothing."""
        centre = x + width // 2, y + height // 2
        coarser = range(beneath + 1, len(self._levels))
        level = next((n for n in coarser if self.has_tile(n, *centre)), None)
        if level is None:
            return False
        down = self.info.downsamples[level]
        sides = (min(_LOOKED_AT_PX, max(1, round(side / down))) for side in (width, height))
        try:
            return bool(self.read(level, x, y, *sides).min(axis=2).mean() < _GLASS)
        except TileUnreadable:
            return True

    def has_tile(self, level: int, x: int, y: int) -> bool:
        """Whether the level has a stored tile at this pixel of level 0."""
        stored, down = self._levels[level].stored, self.info.downsamples[level]
        col = (round(x / down) - stored.corner[0]) // stored.encoding.tile.width
        row = (round(y / down) - stored.corner[1]) // stored.encoding.tile.height
        across = -(-stored.size.width // stored.encoding.tile.width)
        if not (
            0 <= col < across and 0 <= row < -(-stored.size.height // stored.encoding.tile.height)
        ):
            return False
        try:
            return stored.encoded(col, row) is not None
        except TileUnreadable:
            return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._close()

    def _tiles(
        self, level: int, places: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[tuple[int, int], Image]]:
        """Decoded, of columns and rows; a level far away is asked for some at a time."""
        stored = self._levels[level]
        if not isinstance(stored, _CheckedInBlocks):
            yield from ((place, self._tile(level, *place)) for place in places)
            return
        for first in range(0, len(places), _AT_ONCE):
            some = places[first : first + _AT_ONCE]
            missing = [place for place in some if self._cache.get((level, *place)) is None]
            fetched = dict(zip(missing, stored.encoded_many(missing), strict=True))
            yield from ((place, self._tile(level, *place, fetched)) for place in some)

    def _tile(
        self, level: int, col: int, row: int, fetched: Mapping[tuple[int, int], Fetched] = _NONE
    ) -> Image:
        key = (level, col, row)
        pixels = self._cache.get(key)
        if pixels is None:
            known = (col, row) in fetched
            data = fetched[col, row] if known else self._levels[level].encoded(col, row)
            if isinstance(data, TileUnreadable):
                raise data
            pixels = _decoded(self._levels[level], self._decoders[level], data)
            self._cache.put(key, pixels)
        return pixels


class _Checked:
    """A level; a tile that is said never to have been scanned was lost where a coarser level shows
    tissue, or a finer one has a tile."""

    def __init__(self, number: int, level: EncodedLevel, slide: StoredSlide) -> None:
        self.size, self.corner, self.encoding = level.size, level.corner, level.encoding
        self._number, self.stored, self._slide = number, level, slide

    def encoded(self, col: int, row: int) -> bytes | None:
        """See ``contracts.EncodedLevel.encoded``."""
        data = self.stored.encoded(col, row)
        if data is None and self._was_lost(col, row):
            raise TileUnreadable(_LOST)
        return data

    def _was_lost(self, col: int, row: int) -> bool:
        tile, down = self.encoding.tile, self._slide.info.downsamples[self._number]
        left, top = self.corner[0] + col * tile.width, self.corner[1] + row * tile.height
        width = min(tile.width, self.size.width - col * tile.width)
        height = min(tile.height, self.size.height - row * tile.height)
        x, y, w, h = (round(value * down) for value in (left, top, width, height))
        places = [
            (x + w * (2 * i + 1) // (2 * _PROBES), y + h * (2 * j + 1) // (2 * _PROBES))
            for i in range(_PROBES)
            for j in range(_PROBES)
        ]
        finer = ((n, *place) for n in range(self._number) for place in places)
        return self._slide.shows_tissue(self._number, x, y, w, h) or any(
            self._slide.has_tile(*at) for at in finer
        )


class _CheckedInBlocks(_Checked):
    """The same of a level that is asked for many tiles at a time."""

    def encoded_many(self, tiles: Sequence[tuple[int, int]]) -> list[bytes | TileUnreadable | None]:
        """See ``contracts.LevelInBlocks.encoded_many``."""
        if not isinstance(self.stored, LevelInBlocks):
            raise TypeError("a level that is asked for one tile at a time")
        fetched = self.stored.encoded_many(tiles)
        return [
            TileUnreadable(_LOST) if data is None and self._was_lost(*tile) else data
            for tile, data in zip(tiles, fetched, strict=True)
        ]


class Kept:
    """Decoded tiles, those used last, up to a budget."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._held = 0
        self._tiles: OrderedDict[tuple[int, int, int], Image] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[int, int, int]) -> Image | None:
        with self._lock:
            if key in self._tiles:
                self._tiles.move_to_end(key)
            return self._tiles.get(key)

    def put(self, key: tuple[int, int, int], pixels: Image) -> None:
        with self._lock:
            if key in self._tiles:
                return
            self._tiles[key] = pixels
            self._held += pixels.nbytes
            while self._held > self._budget:
                self._held -= self._tiles.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        with self._lock:
            self._tiles.clear()
            self._held = 0


def _decoded(level: EncodedLevel, decode: Decode, data: bytes | None) -> Image:
    tile = level.encoding.tile
    pixels = np.full((tile.height, tile.width, 3), 255, np.uint8)
    if data is not None:
        decode(data, pixels)
    return pixels


def _under(start: int, length: int, tile: int, limit: int) -> range:
    """Stored tiles beneath ``start`` up to ``start + length``, where the level has any."""
    if start >= limit:
        return range(0)
    return range(max(start, 0) // tile, -(-max(min(start + length, limit), 0) // tile))


def _overlap(start: int, length: int, at: int, tile: int, limit: int) -> tuple[slice, slice]:
    """Where to in the region, where from in the tile at ``at``."""
    low, high = max(start, at, 0), min(start + length, at + tile, limit)
    return slice(low - start, high - start), slice(low - at, high - at)
