"""Slides that stay in an archive: frames over WADO-RS (PS3.18 10.4), none of them on the disk.

All frames are read once when the slide is opened, for its fingerprint; each one that is read again
later is held to that.
"""

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from wsi_ai.core.geometry import Spacing
from wsi_ai.core.values import Codec, SlideInfo
from wsi_ai.errors import SlideError, TileUnreadable
from wsi_ai.slides.readers.dicom.level import encoding_of
from wsi_ai.slides.readers.dicom.reader import DAMAGE
from wsi_ai.slides.readers.dicom.series import Series, arranged, check_single, info_of, places_of
from wsi_ai.slides.readers.dicom.words import check_frames, image_size
from wsi_ai.slides.readers.dicomweb.address import SeriesAddress, series_address
from wsi_ai.slides.readers.dicomweb.archive import Archive
from wsi_ai.slides.readers.dicomweb.instances import Instance, instances_of
from wsi_ai.slides.readers.jpeg_stream import TileStreams, prefix_for
from wsi_ai.slides.readers.stored import StoredSlide

_PLAIN = ("RGB", "MONOCHROME2")


def open_slide(path: Path, spacing: Spacing | None = None, image: str = "") -> StoredSlide:
    """Open the slide that a series is; ``image`` is one of several of one size.

    Raises UnknownFormat for what is no address of a series, SlideError where the archive does not
    know it, does not answer, or gives what is no slide.
    """
    return open_series(Archive(), series_address(path), spacing, image)


def open_series(
    archive: Archive, address: SeriesAddress, spacing: Spacing | None = None, image: str = ""
) -> StoredSlide:
    """The same of an archive that is there already; closes it in the end."""
    with ExitStack() as opened:
        opened.callback(archive.close)
        try:
            series = arranged(instances_of(archive, address), image)
            info = _hashed(info_of(address.series, series, "", spacing), series)
            levels = [RemoteLevel(parts) for parts in series.levels]
        except DAMAGE:
            raise SlideError("the archive's description of the slide cannot be read") from None
        return StoredSlide(info, levels, opened.pop_all().close)


def _hashed(info: SlideInfo, series: Series[Instance]) -> SlideInfo:
    """SHA-256 over UIDs, sorted, and the bytes of their frames: marked, for it is not that of the
    same slide's files."""
    whole = hashlib.sha256()
    for part in sorted(series.everything, key=lambda part: part.order):
        check_single(part.header)
        part.hash_into(whole)
    source = None if info.dicom is None else replace(info.dicom, frames_hashed=True)
    return replace(info, digest=whole.hexdigest(), reader="dicomweb", dicom=source)


class RemoteLevel:
    """See ``contracts.EncodedLevel``."""

    corner = (0, 0)

    def __init__(self, parts: Sequence[Instance]) -> None:
        header: Any = parts[0].header
        self.size = image_size(header)
        self.encoding = encoding_of(header)
        photometric = str(header.PhotometricInterpretation)
        if self.encoding.codec is Codec.RAW and photometric not in _PLAIN:
            raise SlideError("the archive gives frames decoded, and not in which colours")
        colours = {1: None, 3: int(photometric != "RGB")}
        self._streams = TileStreams(prefix_for(None, colours[self.encoding.channels]))
        self._sparse = header.get("DimensionOrganizationType") == "TILED_SPARSE"
        self._frames = _frames(parts)
        check_frames(header, len(self._frames))

    def encoded(self, col: int, row: int) -> bytes | None:
        """See ``contracts.EncodedLevel.encoded``.  Raises SlideError where the archive cannot be
        asked: that is no unreadable tile."""
        found = self._frames.get((col, row))
        if found is None:
            if self._sparse:
                return None
            raise TileUnreadable("a frame is missing")
        part, number = found
        data = part.frame(number)
        if not data:
            raise TileUnreadable("a frame is empty")
        return self._streams(data) if self.encoding.codec is Codec.JPEG else data


def _frames(parts: Sequence[Instance]) -> dict[tuple[int, int], tuple[Instance, int]]:
    found: dict[tuple[int, int], tuple[Instance, int]] = {}
    for part in parts:
        for number, place in enumerate(places_of(part.header, part.count)):
            if place in found:
                raise SlideError("several frames in one place; export a single plane")
            found[place] = part, number
    return found
