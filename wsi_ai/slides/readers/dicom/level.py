"""One level of a DICOM whole-slide image as an ``EncodedLevel``: where its frames lie, and what
they are.  References are to DICOM 2025 PS3.5 (encoding) and PS3.3 (the image's own words)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wsi_ai.core.geometry import Size
from wsi_ai.core.values import Codec, Encoding
from wsi_ai.errors import SlideError, TileUnreadable
from wsi_ai.slides.readers.jpeg_stream import TileStreams, prefix_for
from wsi_ai.slides.readers.source import Bytes, Span

_CODECS = {
    "1.2.840.10008.1.2": Codec.RAW,
    "1.2.840.10008.1.2.1": Codec.RAW,
    "1.2.840.10008.1.2.4.50": Codec.JPEG,
    "1.2.840.10008.1.2.4.80": Codec.JPEG_LS,
    "1.2.840.10008.1.2.4.81": Codec.JPEG_LS,
    "1.2.840.10008.1.2.4.90": Codec.JPEG2000,
    "1.2.840.10008.1.2.4.91": Codec.JPEG2000,
    "1.2.840.10008.1.2.5": Codec.DICOM_RLE,
}
_COLOURS = {
    "MONOCHROME2": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
}
_MATCHED = ("YBR_ICT", "YBR_RCT")  # the JPEG 2000 codec itself undoes these
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_LARGEST_TILE_PX = 4096


@dataclass(frozen=True, slots=True)
class Frame:
    """One stored tile: its file's place in the level, and its fragments."""

    file: int
    fragments: tuple[Span, ...]


class DicomLevel:
    """Frames as stored, from sources that stay open as long as this is used."""

    corner = (0, 0)

    def __init__(
        self,
        header: Any,
        frames: Mapping[tuple[int, int], Frame],
        files: Sequence[Bytes],
        *,
        sparse: bool,
    ) -> None:
        self.size = Size(header.TotalPixelMatrixColumns, header.TotalPixelMatrixRows)
        self.encoding = encoding_of(header)
        self._frames, self._files, self._sparse = frames, files, sparse
        colours = {1: None, 3: int(header.PhotometricInterpretation != "RGB")}
        self._streams = TileStreams(prefix_for(None, colours[self.encoding.channels]))

    def encoded(self, col: int, row: int) -> bytes | None:
        """See ``contracts.EncodedLevel.encoded``.  TILED_SPARSE says that what is not there was
        not scanned (PS3.3 C.7.6.17.3)."""
        frame = self._frames.get((col, row))
        if frame is None:
            if self._sparse:
                return None
            raise TileUnreadable("a frame is missing")
        file = self._files[frame.file]
        parts = [file.read(at, n) for at, n in frame.fragments]
        data = b"".join(parts)
        if len(data) != sum(n for _, n in frame.fragments) or not data:
            raise TileUnreadable("a frame is empty or lies beyond the end of the file")
        return self._streams(data) if self.encoding.codec is Codec.JPEG else data


def encoding_of(header: Any) -> Encoding:
    """Raises SlideError for what wsi_ai does not decode."""
    syntax, photometric = header.file_meta.TransferSyntaxUID, str(header.PhotometricInterpretation)
    codec, channels = _CODECS.get(str(syntax)), _COLOURS.get(photometric)
    tile = Size(int(header.Columns), int(header.Rows))
    if codec is None:
        raise SlideError(f"the transfer syntax {syntax.name} is not supported")
    if channels is None or header.SamplesPerPixel != channels or header.BitsAllocated != 8:
        raise SlideError(
            f"{photometric} with {header.SamplesPerPixel} samples of {header.BitsAllocated} bits a"
            " pixel is not supported"
        )
    if not (1 <= tile.width <= _LARGEST_TILE_PX and 1 <= tile.height <= _LARGEST_TILE_PX):
        raise SlideError(f"frames of {tile.width} x {tile.height} px are not supported")
    ybr = photometric.startswith("YBR") and photometric not in _MATCHED
    if codec is Codec.RAW and (photometric == "YBR_FULL_422" or header.get("PlanarConfiguration")):
        raise SlideError("uncompressed frames are supported as RGB, one pixel after the other")
    return Encoding(codec, tile, channels, ycc=ybr and codec is not Codec.JPEG)


def frame_spans(source: Bytes, start: int, header: Any) -> list[tuple[Span, ...]]:
    """Where each frame lies.  The pixel data's element begins at ``start``, where pydicom stops.

    Raises SlideError where frames and fragments do not go together.
    """
    count = int(header.get("NumberOfFrames", 1))
    syntax = header.file_meta.TransferSyntaxUID
    if str(syntax) not in _CODECS:
        raise SlideError(f"the transfer syntax {syntax.name} is not supported")
    if not 0 < count < 1 << 24:
        raise SlideError(f"{count} frames are said to be there")
    if not syntax.is_encapsulated:
        size = int(header.Rows) * int(header.Columns) * int(header.SamplesPerPixel)
        first = start + (8 if syntax.is_implicit_VR else 12)
        return [((first + i * size, size),) for i in range(count)]
    table, fragments = _items(source, start + 12)
    if len(fragments) == count:
        return [(span,) for span in fragments]
    if count == 1:  # one frame owns all fragments (PS3.5 A.4)
        return [tuple(fragments)]
    return _joined(_extended_table(header) or table, fragments, count)


def _extended_table(header: Any) -> list[int]:
    """Of 64-bit offsets (PS3.3 C.7.6.3.1.8); empty where there is none."""
    stored = bytes(header.get("ExtendedOffsetTable") or b"")
    return [int.from_bytes(stored[i : i + 8], "little") for i in range(0, len(stored), 8)]


def _items(source: Bytes, at: int) -> tuple[list[int], list[Span]]:
    """The basic offset table, and the fragments (PS3.5 A.4)."""
    spans: list[Span] = []
    while len(item := source.read(at, 8)) == 8:
        length = int.from_bytes(item[4:], "little")
        if item[:4] != _ITEM:
            if item[:4] == _END:
                break
            raise SlideError("the pixel data cannot be decoded after a frame; copy it again")
        spans.append((at + 8, length))
        at += 8 + length
    if not spans:
        raise SlideError("there is no pixel data; copy the file again")
    table = source.read(spans[0][0], min(spans[0][1], 1 << 26))
    return [int.from_bytes(table[i : i + 4], "little") for i in range(0, len(table), 4)], spans[1:]


def _joined(table: list[int], fragments: list[Span], count: int) -> list[tuple[Span, ...]]:
    """Frames of several fragments, as the offset table says."""
    if len(table) != count or not fragments:
        raise SlideError(f"{len(fragments)} fragments for {count} frames, and no table of offsets")
    first = fragments[0][0] - 8
    starts = {first + offset: n for n, offset in enumerate(table)}
    frames: list[list[Span]] = [[] for _ in table]
    current = 0
    for at, length in fragments:
        current = starts.get(at - 8, current)
        frames[current].append((at, length))
    return [tuple(spans) for spans in frames]
