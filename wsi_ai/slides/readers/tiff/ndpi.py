"""Hamamatsu NDPI: each level is one long JPEG stream, with a restart marker after every few blocks.

What lies between two markers decodes by itself, so it is a stored tile: as wide as the restart
interval, one row of blocks high.  A table says where each begins; tifffile reads it, offsets beyond
4 GiB included.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from wsi_ai.core.geometry import Size
from wsi_ai.core.values import Codec, Encoding
from wsi_ai.errors import SlideError, TileUnreadable, UnknownFormat
from wsi_ai.slides.readers.images import Listed, chosen
from wsi_ai.slides.readers.jpeg_stream import EOI
from wsi_ai.slides.readers.source import Bytes, Span
from wsi_ai.slides.readers.tiff.pyramid import (
    CENTIMETRE,
    Pyramid,
    downsamples,
    fraction,
    page_size,
    pages,
    resolution,
)

_FORMAT_FLAG, _SOURCE_LENS, _FOCAL_PLANE = 65420, 65421, 65424
_JPEG, _YCBCR = 7, 6
_LARGEST_TILE_PX = 4096
_CHECKED_STARTS = 64
_MIDDLE = 0
"""Of the focal planes."""
_MOST_BYTES_PER_PX = 8


def is_ndpi(file: BinaryIO) -> bool:
    """Whether the first directory, found as NDPI has it, carries the maker's tag.

    Offsets are of 64 bits in what is otherwise a classic TIFF.
    """
    file.seek(0)
    head = file.read(12)
    start = int.from_bytes(head[4:], "little")
    if head[:4] != b"II*\0" or start >= file.seek(0, os.SEEK_END):
        return False
    file.seek(start)
    count = int.from_bytes(file.read(2), "little")
    entries = file.read(12 * count)
    tags = (int.from_bytes(entries[i : i + 2], "little") for i in range(0, len(entries), 12))
    return _FORMAT_FLAG in tags


@dataclass(frozen=True, slots=True, eq=False)
class NdpiTiles:
    """One level's pieces of stream; see ``tiff_pyramid.StoredTiles``."""

    size: Size
    encoding: Encoding
    header: bytes
    """Of a JPEG picture as large as a tile; empty where the level is a single, whole stream."""
    offsets: Sequence[int]
    counts: Sequence[int]
    corner: tuple[int, int] = (0, 0)
    doubtful: frozenset[int] = frozenset()
    """Tiles whose places in the file contradict those of others."""

    def without(self, doubtful: frozenset[int]) -> "NdpiTiles":
        return replace(self, doubtful=doubtful)

    def on(self, source: Bytes) -> "NdpiLevel":
        return NdpiLevel(self, source)


class NdpiLevel:
    """See ``contracts.EncodedLevel``."""

    corner = (0, 0)

    def __init__(self, tiles: NdpiTiles, source: Bytes) -> None:
        self.size, self.encoding = tiles.size, tiles.encoding
        self._tiles, self._source = tiles, source
        self._across = -(-self.size.width // self.encoding.tile.width)
        tile = self.encoding.tile
        self._most = tile.width * tile.height * _MOST_BYTES_PER_PX + 65536
        if not self._starts_are_true():
            raise UnknownFormat("the table of restart markers is not true")

    def encoded(self, col: int, row: int) -> bytes | None:
        """See ``contracts.EncodedLevel.encoded``."""
        return self.whole(col, row, [self._source.read(*self.spans(col, row)[0])])

    def spans(self, col: int, row: int) -> tuple[Span, ...]:
        """See ``far.SpannedLevel``: with the marker before it, where it follows one."""
        at, tiles = row * self._across + col, self._tiles
        start, count = tiles.offsets[at], tiles.counts[at]
        if at in tiles.doubtful:
            raise TileUnreadable("a tile shares bytes of the file with another one")
        if not 2 < count <= self._most:
            raise TileUnreadable(f"a tile is said to take {count} bytes")
        before = self._before(at)
        return ((start - before, count + before),)

    def whole(self, col: int, row: int, parts: Sequence[bytes]) -> bytes:
        """See ``far.SpannedLevel``."""
        at, tiles = row * self._across + col, self._tiles
        before = self._before(at)
        marker, data = parts[0][:before], parts[0][before:]
        if len(data) < tiles.counts[at]:
            raise TileUnreadable("a tile lies beyond the end of the file")
        if not tiles.header:
            return data
        if (before and not _is_restart(marker)) or not (
            _is_restart(data[-2:]) or data.endswith(EOI)
        ):
            raise TileUnreadable("a tile does not lie between two restart markers")
        return tiles.header + data[:-2] + EOI

    def _before(self, at: int) -> int:
        """The first piece follows the header, every other one a restart marker."""
        return 2 if at and self._tiles.header else 0

    def _starts_are_true(self) -> bool:
        """A sample: files are known whose table is wrong, and OpenSlide then looks for itself."""
        tiles = len(self._tiles.offsets)
        chosen = {n * (tiles - 1) // _CHECKED_STARTS for n in range(_CHECKED_STARTS + 1)} - {0}
        if not self._tiles.header:
            return True
        try:
            markers = self._source.read_many([(self._tiles.offsets[n] - 2, 2) for n in chosen])
        except TileUnreadable:
            return False
        return all(map(_is_restart, markers))


def describe_ndpi(tiff: Any, wanted: str = "") -> Pyramid:
    """The levels that are stored, of the focal plane in the middle, or of the one that is wanted.

    OpenSlide shows halves, quarters and eighths between them as well, which it scales in the JPEG
    decoder.  Raises UnknownFormat for what is not cut into tiles.
    """
    planes: dict[int, list[Any]] = {}
    for page in pages(tiff):
        if fraction(page.tags.valueof(_SOURCE_LENS, default=0)) > 0:  # macro image -1, map -2
            plane = int(page.tags.valueof(_FOCAL_PLANE, default=0))
            planes.setdefault(plane, []).append(page)
    levels, image = _plane(planes, wanted)
    levels.sort(key=lambda page: -int(page.imagewidth))
    tiles = tuple(_tiles(page) for page in levels)
    sizes = [level.size for level in tiles]
    power = fraction(levels[0].tags.valueof(_SOURCE_LENS, default=0))
    scale = resolution(levels[0], (CENTIMETRE,), power)
    return Pyramid("hamamatsu", sizes[0], tiles, downsamples(sizes), scale, image=image)


def _plane(planes: dict[int, list[Any]], wanted: str) -> tuple[list[Any], str]:
    """Its levels, and which one it is where there are several; each is called by its µm."""
    images = [
        Listed(
            n, f"focal plane {plane / 1000:.1f}", max(map(page_size, levels), key=lambda s: s.width)
        )
        for n, (plane, levels) in enumerate(planes.items())
    ]
    if not wanted and _MIDDLE not in planes:
        raise UnknownFormat("no level is there")
    number = chosen(images, wanted) if wanted else list(planes).index(_MIDDLE)
    return list(planes.values())[number], f"image {number}" if len(planes) > 1 else ""


def _tiles(page: Any) -> NdpiTiles:
    size = page_size(page)
    if page.compression != _JPEG or page.bitspersample != 8 or page.samplesperpixel != 3:
        raise SlideError(
            f"{page.samplesperpixel} samples of {page.bitspersample} bits a pixel; 8-bit colour in"
            " JPEG is needed"
        )
    cut = page.jpegheader is not None
    tile = Size(int(page.tilewidth), int(page.tilelength)) if cut else size
    if not (0 < tile.width <= _LARGEST_TILE_PX and 0 < tile.height <= _LARGEST_TILE_PX):
        raise UnknownFormat("a level in one piece")
    across, down = size.width // tile.width, -(-size.height // tile.height)
    if across * tile.width != size.width:
        raise UnknownFormat("restart markers that are not in line")
    if not len(page.dataoffsets) == len(page.databytecounts) == across * down:
        raise SlideError(
            f"{len(page.dataoffsets)} restart markers are listed where {across * down} are needed"
        )
    header = page.jpegheader if cut else b""
    return NdpiTiles(
        size, Encoding(Codec.JPEG, tile), header, page.dataoffsets, page.databytecounts
    )


def _is_restart(pair: bytes) -> bool:
    """RST0 to RST7 (ITU-T T.81 B.1.1.3)."""
    return len(pair) == 2 and pair[0] == 0xFF and 0xD0 <= pair[1] <= 0xD7
