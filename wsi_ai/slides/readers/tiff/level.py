"""One tiled TIFF directory as an ``EncodedLevel``."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from wsi_ai.core.geometry import Size
from wsi_ai.core.values import Codec, Encoding
from wsi_ai.errors import SlideError, TileUnreadable, UnknownFormat
from wsi_ai.slides.readers.jpeg_stream import TileStreams, prefix_for
from wsi_ai.slides.readers.source import Bytes, Span

_CODECS = {
    1: Codec.RAW,
    5: Codec.LZW,
    7: Codec.JPEG,
    8: Codec.DEFLATE,
    32773: Codec.PACKBITS,
    32946: Codec.DEFLATE,
    33003: Codec.JPEG2000,
    33005: Codec.JPEG2000,
    34712: Codec.JPEG2000,
    50000: Codec.ZSTD,
    50001: Codec.WEBP,
    22610: Codec.JPEG_XR,
    34934: Codec.JPEG_XR,
    50002: Codec.JPEG_XL,
    52546: Codec.JPEG_XL,
}
_APERIO_YCC = 33003
_GREY, _RGB, _YCBCR = 1, 2, 6
_PREMULTIPLIED = 1
_LARGEST_TILE_PX = 4096
"""Along one side: what lies beyond is a lying header, or no slide."""


@dataclass(frozen=True, slots=True, eq=False)
class TileTable:
    """Where a level's tiles lie in the file, row by row, and what makes each complete."""

    size: Size
    encoding: Encoding
    across: int
    """Tiles in a row; with padding, more than ``size`` needs."""
    offsets: Sequence[int]
    counts: Sequence[int]
    prefix: bytes
    """Comes before each JPEG tile; empty for other codecs."""
    sparse: bool
    """The format says that a tile without place and bytes was never scanned."""
    corner: tuple[int, int] = (0, 0)
    """Where on its level the first tile begins."""
    doubtful: frozenset[int] = frozenset()
    """Tiles whose places in the file contradict those of others."""

    def without(self, doubtful: frozenset[int]) -> "TileTable":
        return replace(self, doubtful=doubtful)

    def on(self, source: Bytes) -> "TiffLevel":
        return TiffLevel(self, source)


class TiffLevel:
    """Tiles as stored, from a source that stays open as long as this is used."""

    def __init__(self, table: TileTable, source: Bytes) -> None:
        self._table, self._source = table, source
        self.size, self.corner, self.encoding = table.size, table.corner, table.encoding
        self._across = table.across
        self._streams = TileStreams(table.prefix) if table.prefix else None
        self._most = 2 * self.encoding.tile.width * self.encoding.tile.height * 4 + 65536

    def encoded(self, col: int, row: int) -> bytes | None:
        """See ``contracts.EncodedLevel.encoded``."""
        spans = self.spans(col, row)
        return None if spans is None else self.whole(col, row, [self._source.read(*spans[0])])

    def spans(self, col: int, row: int) -> tuple[Span, ...] | None:
        """See ``far.SpannedLevel``."""
        table = self._table
        at = row * self._across + col
        count = table.counts[at]
        if count == table.offsets[at] == 0 and table.sparse:
            return None
        if at in table.doubtful:
            raise TileUnreadable("a tile shares bytes of the file with another one")
        if not 0 < count <= self._most:
            raise TileUnreadable(f"a tile is said to take {count} bytes")
        return ((table.offsets[at], count),)

    def whole(self, col: int, row: int, parts: Sequence[bytes]) -> bytes:
        """See ``far.SpannedLevel``."""
        (data,) = parts
        if len(data) < self._table.counts[row * self._across + col]:
            raise TileUnreadable("a tile lies beyond the end of the file")
        return self._streams(data) if self._streams else data


def tile_table(
    page: Any, size: Size, *, sparse: bool, corner: tuple[int, int] = (0, 0)
) -> TileTable:
    """From a tifffile page, of which ``size`` is image.  Raises UnknownFormat for planes that
    OpenSlide puts together, SlideError for what is not decoded or contradicts itself."""
    encoding = _encoding(page)
    prefix = b""
    if encoding.codec is Codec.JPEG:
        prefix = prefix_for(page.jpegtables, {_RGB: 0, _YCBCR: 1}.get(int(page.photometric)))
    across = -(-page.imagewidth // encoding.tile.width)
    tiles = across * -(-page.imagelength // encoding.tile.height)
    if not len(page.dataoffsets) == len(page.databytecounts) == tiles:
        raise SlideError(
            f"{len(page.dataoffsets)} tiles are listed where the image's size asks for {tiles}"
        )
    places = page.dataoffsets, page.databytecounts
    return TileTable(size, encoding, across, *places, prefix, sparse, corner)


def _encoding(page: Any) -> Encoding:
    codec = _CODECS.get(int(page.compression))
    channels, photometric = int(page.samplesperpixel), int(page.photometric)
    ycc = int(page.compression) == _APERIO_YCC
    if codec is None:
        raise SlideError(f"tiles in a compression that is not supported ({_compression(page)})")
    _check_samples(page, channels)
    if photometric not in _colours(channels, codec):
        raise SlideError(
            f"{channels} samples a pixel, photometric {photometric}: neither grey nor RGB"
        )
    if channels == 4 and (codec is Codec.JPEG or tuple(page.extrasamples) != (_PREMULTIPLIED,)):
        raise SlideError("a fourth channel that is not premultiplied alpha is not supported")
    if page.predictor not in (1, 2):
        raise SlideError(f"predictor {int(page.predictor)} is not supported")
    if not (16 <= page.tilewidth <= _LARGEST_TILE_PX and 16 <= page.tilelength <= _LARGEST_TILE_PX):
        raise SlideError(
            f"tiles of {page.tilewidth} x {page.tilelength} px; up to {_LARGEST_TILE_PX} px a side"
            " are supported: convert it"
        )
    return Encoding(
        codec, Size(page.tilewidth, page.tilelength), channels, page.predictor == 2, ycc
    )


def _compression(page: Any) -> str:
    name = getattr(page.compression, "name", "")
    return f"{name} {int(page.compression)}".strip()


def _check_samples(page: Any, channels: int) -> None:
    if page.bitspersample != 8:
        raise SlideError(f"{page.bitspersample}-bit samples; 8-bit colour is needed")
    if page.planarconfig != 1 and channels == 3:
        raise UnknownFormat("colours are stored plane by plane")
    if page.planarconfig != 1:
        raise SlideError(f"{channels} planes in one image; export it as RGB")
    if page.fillorder != 1:
        raise SlideError("bits stored in reverse order are not supported")


def _colours(channels: int, codec: Codec) -> tuple[int, ...]:
    """Photometric interpretations that the codec's pixels can have."""
    if channels == 1:
        return (_GREY,)
    return (_RGB, _YCBCR) if codec in (Codec.JPEG, Codec.JPEG2000) else (_RGB,)
