"""Which objects make up a slide: one, a folder of them, or one and those that belong to it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

import obstore
import pydicom
from pydicom.filereader import read_partial

from wsi_ai.errors import SlideError, TransportError
from wsi_ai.slides.readers.dicom.reader import DAMAGE, WHOLE_SLIDE
from wsi_ai.slides.stores.address import ObjectAddress
from wsi_ai.slides.stores.ranges import read_span, tag_of
from wsi_ai.slides.stores.refusals import asked
from wsi_ai.slides.stores.store import Store

_MOST_OBJECTS, _MOST_BESIDE = 200_000, 1000
_LEAST_BYTES, _HEADER_BYTES = 132, 1 << 16
_SERIES = pydicom.tag.Tag(0x0020, 0x000E)
_NAMED_ALONE = (".vms", ".vmu")
_VOUCHED = "sha256"


@dataclass(frozen=True, slots=True)
class Part:
    """One version of one object."""

    key: str
    name: str
    """Below the folder that the slide is copied to."""
    size: int
    e_tag: str | None
    changed: datetime
    sha256: str = ""
    """In hex, where whoever uploaded it left it with the object."""


@dataclass(frozen=True, slots=True)
class SlideObjects:
    """All that a slide is made of."""

    name: str
    """Of what is opened: one of the parts, or the folder that they are in."""
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)


def objects_of(store: Store, address: ObjectAddress) -> SlideObjects:
    """Raises SlideError where there are none, or they are not to be found from the one that was
    named; TransportError."""
    if not address.key:
        raise SlideError("a bucket is no slide; name an object")
    found = single(store, address)
    if found is None:
        inside = listed(store, address.key, address.name)
        if not inside:
            raise SlideError("there is no such object in the store")
        return SlideObjects(address.name, tuple(inside))
    return SlideObjects(found.name, (found, *_belonging(store, address, found)))


def listed(store: Store, folder: str, name: str) -> list[Part]:
    """All below a folder, in order; their names begin with ``name``.  Raises TransportError, or
    SlideError for more than a slide can be made of."""
    with asked():
        pages = obstore.list(store, f"{folder}/" if folder else None)
        found = list(islice((one for page in pages for one in page), _MOST_OBJECTS))
    if len(found) == _MOST_OBJECTS:
        raise SlideError(f"more than {_MOST_OBJECTS} objects in one folder")
    below = len(folder) + 1 if folder else 0
    parts = [_part(meta, f"{name}/{meta['path'][below:]}") for meta in found]
    return sorted((part for part in parts if part.size), key=lambda part: part.key)


def single(store: Store, address: ObjectAddress) -> Part | None:
    """``None`` where there is no such object, and there may be a folder."""
    try:
        with asked():
            answer = obstore.get(store, address.key, options={"head": True})
    except TransportError:
        _say_why(store, address.key)
        raise
    except SlideError as error:
        if type(error) is SlideError and not address.is_web:
            return None
        raise
    said = {str(name).lower(): str(value) for name, value in answer.attributes.items()}
    return _part(answer.meta, address.name, said.get(_VOUCHED, "").lower())


def _say_why(store: Store, key: str) -> None:
    """An answer to HEAD has no body, so no reason either; one to GET has.  Raises TransportError
    where that is refused, too."""
    with asked():
        obstore.get(store, key, options={"range": (0, 1)})


def _part(meta: Any, name: str, sha256: str = "") -> Part:
    if not _is_sound(name):
        raise SlideError("an object whose key no file can have; rename it")
    return Part(meta["path"], name, meta["size"], tag_of(meta), meta["last_modified"], sha256)


def _is_sound(name: str) -> bool:
    """Below a folder, and nowhere else."""
    pieces = name.lstrip("/").split("/")
    return name.isprintable() and not any(piece in ("", ".", "..") for piece in pieces)


def _belonging(store: Store, address: ObjectAddress, found: Part) -> Iterable[Part]:
    """Other objects without which it is no slide."""
    suffix = PurePosixPath(found.name).suffix.lower()
    if suffix in _NAMED_ALONE:
        raise SlideError(f"a {suffix} slide lies in several files: copy its folder to a disk")
    if suffix == ".mrxs":
        if address.is_web:
            raise SlideError("a .mrxs slide has a folder of data, which HTTPS cannot list; copy it")
        stem = PurePosixPath(found.name).stem
        return listed(store, str(PurePosixPath(found.key).with_suffix("")), stem)
    if suffix in (".dcm", ""):
        return _of_series(store, address, found)
    return ()


def _of_series(store: Store, address: ObjectAddress, found: Part) -> Iterator[Part]:
    """Of a DICOM file, those beside it of the same series."""
    series = series_of(store, found)
    if series is None or not series.uid or address.is_web:
        return
    for beside in beside_of(store, str(PurePosixPath(found.key).parent)):
        if beside.key == found.key:
            continue
        other = series_of(store, beside)
        if other is not None and other.uid == series.uid:
            yield beside


def beside_of(store: Store, folder: str) -> list[Part]:
    """The objects right in a folder.  Raises TransportError."""
    with asked():
        answer = obstore.list_with_delimiter(store, "" if folder == "." else f"{folder}/")
    objects = answer["objects"][:_MOST_BESIDE]
    return [_part(meta, PurePosixPath(meta["path"]).name) for meta in objects if meta["size"]]


@dataclass(frozen=True, slots=True)
class DicomSeries:
    """What a DICOM file is part of."""

    uid: str
    """Empty where the header does not say, or cannot be read."""
    images_tissue: bool


def series_of(store: Store, part: Part) -> DicomSeries | None:
    """``None`` for what is no DICOM.  Raises TransportError."""
    if part.size < _LEAST_BYTES:
        return None
    head = read_span(store, part, 0, min(part.size, _HEADER_BYTES))
    if head[128:132] != b"DICM":
        return None
    try:
        header = read_partial(BytesIO(head), stop_when=lambda tag, _vr, _length: tag > _SERIES)
    except DAMAGE:
        return DicomSeries("", images_tissue=True)
    shows = header.get("ImageType", ("VOLUME",))
    tissue = header.get("SOPClassUID") in (WHOLE_SLIDE, None) and "VOLUME" in shows
    return DicomSeries(str(header.get("SeriesInstanceUID", "")), tissue)
