"""A series as an archive describes it, and the frames of its instances."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydicom.dataset import Dataset, FileMetaDataset

from wsi_ai.errors import SlideError, TileUnreadable
from wsi_ai.slides.readers.dicom.reader import WHOLE_SLIDE
from wsi_ai.slides.readers.dicomweb.address import SeriesAddress, series_address
from wsi_ai.slides.readers.dicomweb.archive import Archive, NotThere
from wsi_ai.slides.readers.dicomweb.multipart import BodyPart, NotMultipart, parts_of

_JSON = "application/dicom+json"
_AS_STORED = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
_MOST_METADATA, _MOST_PROFILE = 1 << 26, 1 << 24
_AT_ONCE, _BATCH_BYTES = 64, 1 << 24
_SPARE = 1 << 16
_DIGEST = 16
_MOST_FRAMES = 1 << 24


class NoSlide(SlideError):
    """The archive has the series, and no slide in it."""


def headers_of(archive: Archive, series: SeriesAddress) -> list[Dataset]:
    """Of each instance that images tissue.  Raises SlideError."""
    try:
        answer = archive.get(f"{series.url}/metadata", _JSON, _MOST_METADATA)
    except NotThere:
        raise NotThere("the archive does not know this series") from None
    if not answer.body:
        raise NotThere("the archive does not know this series")
    profiles = _Bulk(archive, series)
    try:
        found = [Dataset.from_json(one, profiles) for one in json.loads(answer.body)]
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        raise SlideError("the archive's description of the series cannot be read") from None
    images = [one for one in found if _images_tissue(one)]
    if not images:
        raise NoSlide("a series of the archive, but no whole-slide image of tissue")
    return images


def _images_tissue(header: Dataset) -> bool:
    kind = list(header.get("ImageType") or ["VOLUME"])
    return header.get("SOPClassUID") == WHOLE_SLIDE and "VOLUME" in kind


def first_header(place: Path) -> Dataset:
    """Of the series at an address.  Raises SlideError."""
    with closing(Archive()) as archive:
        return headers_of(archive, series_address(place))[0]


@dataclass(frozen=True, slots=True)
class _Bulk:
    """Fetches colour profiles that are not in the description itself; from this archive, as it is
    reached from here, whatever place it names.  Pixels are left where they are."""

    archive: Archive
    series: SeriesAddress

    def __call__(self, tag: str, vr: str, uri: str) -> bytes | None:
        if tag.upper() != "00282000":
            return None
        _, _, below = urlsplit(uri).path.rpartition("/studies/")
        place = f"{self.series.origin}{self.series.base}/studies/{below}"
        answer = self.archive.get(place, "*/*", _MOST_PROFILE)
        return _only(answer.content_type, answer.body).content


@dataclass(slots=True)
class Instance:
    """See ``series.Part``."""

    header: Any
    archive: Archive = field(repr=False)
    url: str
    digests: bytearray = field(default_factory=bytearray, repr=False)
    """Of each frame as it was first read."""

    @property
    def order(self) -> str:
        return str(self.header.SOPInstanceUID)

    @property
    def count(self) -> int:
        """Raises SlideError."""
        count = int(self.header.get("NumberOfFrames") or 1)
        if not 0 < count < _MOST_FRAMES:
            raise SlideError(f"{count} frames are said to be there")
        return count

    @property
    def frame_bytes(self) -> int:
        """Of one, if it were not compressed."""
        header = self.header
        return int(header.Rows) * int(header.Columns) * int(header.SamplesPerPixel)

    def hash_into(self, whole: "hashlib._Hash") -> None:
        """Read all frames once, a batch at a time; learn how they are compressed."""
        whole.update(self.order.encode())
        step = max(1, min(_AT_ONCE, _BATCH_BYTES // self.frame_bytes))
        for first in range(0, self.count, step):
            for part in self._frames(range(first, min(first + step, self.count))):
                self._learn(part.syntax)
                whole.update(part.content)
                self.digests += _digest(part.content)

    def frame(self, number: int) -> bytes:
        """Counted from 0.  Raises TileUnreadable where the archive lost it, SlideError where it
        is another than was hashed, or the archive cannot be asked."""
        try:
            (part,) = self._frames([number])
        except NotThere:
            raise TileUnreadable("the archive does not have a frame any more") from None
        at = number * _DIGEST
        if _digest(part.content) != self.digests[at : at + _DIGEST]:
            raise SlideError("the archive gives other frames than before; run it again")
        return part.content

    def _frames(self, numbers: Sequence[int]) -> Iterator[BodyPart]:
        wanted = ",".join(str(n + 1) for n in numbers)
        most = len(numbers) * (2 * self.frame_bytes + _SPARE)
        answer = self.archive.get(f"{self.url}/frames/{wanted}", _AS_STORED, most)
        try:
            parts = parts_of(answer.content_type, answer.body)
        except NotMultipart:
            raise SlideError(
                "the archive's frames cannot be read: its answer is cut short"
            ) from None
        if len(parts) != len(numbers):
            raise SlideError(f"the archive gave {len(parts)} frames for {len(numbers)}")
        return iter(parts)

    def _learn(self, syntax: str) -> None:
        known = self.header.file_meta.get("TransferSyntaxUID")
        if known is None:
            if not syntax:
                raise SlideError("the archive does not say how its frames are compressed")
            self.header.file_meta.TransferSyntaxUID = syntax
        elif syntax != known:
            raise SlideError("the archive compresses the frames of one image differently")


def instances_of(archive: Archive, series: SeriesAddress) -> list[Instance]:
    """Raises SlideError."""
    found = []
    for header in headers_of(archive, series):
        header.file_meta = FileMetaDataset()
        found.append(Instance(header, archive, f"{series.url}/instances/{header.SOPInstanceUID}"))
    return found


def _only(content_type: str, body: bytes) -> BodyPart:
    try:
        (part,) = parts_of(content_type, body)
    except (NotMultipart, ValueError):
        raise SlideError("the archive's answer cannot be read") from None
    return part


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST).digest()
