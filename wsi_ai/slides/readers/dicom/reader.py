"""Slides in DICOM: VL Whole Slide Microscopy images, a file for each level or part of one."""

import logging
import os
import re
import struct
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError

from wsi_ai.core.geometry import Spacing
from wsi_ai.errors import SlideError, UnknownFormat
from wsi_ai.slides.readers.dicom.is_dicom import is_dicom
from wsi_ai.slides.readers.dicom.level import DicomLevel, Frame, frame_spans
from wsi_ai.slides.readers.dicom.series import Series, arranged, check_single, info_of, places_of
from wsi_ai.slides.readers.dicom.words import check_frames
from wsi_ai.slides.readers.fingerprint import FileState, state_of
from wsi_ai.slides.readers.hashing import hashes_of
from wsi_ai.slides.readers.source import FileBytes, Span
from wsi_ai.slides.readers.stored import StoredSlide

# of an odd header it logs values; what that means for the slide is said here and in the flag
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
_MOST_FILES = 1000
_ANY = ("VOLUME",)
DAMAGE = (  # what pydicom raises on damaged headers
    ArithmeticError,
    BytesLengthException,
    InvalidDicomError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class _Instance:
    path: Path
    header: Any
    frames: list[tuple[Span, ...]]
    state: FileState
    """As the file was before it was read."""

    @property
    def order(self) -> str:
        return str(self.path)


def open_slide(path: Path, spacing: Spacing | None = None, image: str = "") -> StoredSlide:
    """Open the slide that ``path`` is part of, or that lies in the folder ``path``; ``image`` is
    one of several of one size.

    The other files of its series are looked for beside it.  Raises UnknownFormat for what is not
    DICOM, SlideError for DICOM that is no slide, or is damaged.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's own, of what a header says
            named, beside = _files(path)
            series = arranged(_instances(named, beside), image)
            return _open(named.stem if path.is_file() else path.name, series, spacing)
    except DAMAGE as error:
        raise SlideError(_complaint(error)) from None


def _complaint(error: Exception) -> str:
    """A missing attribute by its keyword, which pydicom has in its message."""
    found = re.search(r"no attribute '([A-Z]\w+)'", str(error))
    if isinstance(error, AttributeError) and found:
        return f"the DICOM header lacks {found[1]}"
    return "the DICOM header cannot be read"


def _files(path: Path) -> tuple[Path, list[Path]]:
    """The DICOM file that was meant, and all those beside it; of a folder, the first that images
    tissue."""
    if path.is_file() and not is_dicom(path):
        raise UnknownFormat("not a DICOM file")
    folder = path if path.is_dir() else path.parent
    beside = [p for p in sorted(folder.glob("*"))[:_MOST_FILES] if is_dicom(p)]
    if not beside:
        raise UnknownFormat("there is no DICOM file here")
    if path.is_file():
        return path, beside
    images = [p for p in beside if _images_tissue(p)]
    series = {str(header_of(p).get("SeriesInstanceUID")) for p in images}
    if len(series) > 1:
        raise SlideError(
            f"{len(series)} slides in one folder; name a file of the one that is meant"
        )
    return (images or beside)[0], beside


def header_of(path: Path) -> pydicom.Dataset:
    """What tells whether a file is part of a slide, and of which."""
    wanted = ["SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "ImageType"]
    return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=wanted)


def _images_tissue(path: Path) -> bool:
    """Also where it does not say: then opening it says what is missing."""
    try:
        header = header_of(path)
    except DAMAGE:
        return False
    return header.get("SOPClassUID") == WHOLE_SLIDE and "VOLUME" in header.get("ImageType", _ANY)


def _instances(named: Path, beside: list[Path]) -> list[_Instance]:
    """The image files of one series, the named one first; the same instance only once."""
    first = header_of(named)
    if (kind := first.get("SOPClassUID")) != WHOLE_SLIDE:
        told = f": {kind.name}" if kind else ""
        raise SlideError(f"a DICOM file, but no whole-slide image{told}")
    found: dict[str, _Instance] = {}
    for path in (named, *(p for p in beside if p != named)):
        if path != named and not _images_tissue(path):
            continue
        brief = header_of(path)
        if brief.get("SeriesInstanceUID") != first.SeriesInstanceUID:
            continue
        if "VOLUME" in brief.ImageType:
            found.setdefault(str(brief.SOPInstanceUID), _read(path))
    if not found:
        kind = " ".join(first.ImageType[2:3]) or "one of which ImageType does not say what it shows"
        raise SlideError(f"no image of the tissue, only {kind}")
    return list(found.values())


def _read(path: Path) -> _Instance:
    with path.open("rb") as file:
        state = state_of(os.fstat(file.fileno()))
        header = pydicom.dcmread(file, stop_before_pixels=True)
        check_single(header)
        spans = frame_spans(FileBytes(file.fileno()), file.tell(), header)
        return _Instance(path, header, spans, state)


def _open(name: str, series: Series[_Instance], spacing: Spacing | None) -> StoredSlide:
    with ExitStack() as held:
        read = [part.path for parts in series.levels for part in parts]
        handles = {path: _handle(path, held) for path in read}
        opened = [_level(parts, handles) for parts in series.levels]
        hashes = hashes_of({part.path: part.state for part in series.everything})
        held.callback(hashes.close)
        info = replace(info_of(name, series, hashes.digest, spacing), reader="dicom")
        known = [(fd, partial(hashes.of, path)) for path, fd in handles.items()]
        return StoredSlide(info, opened, held.pop_all().close, known)


def _handle(path: Path, held: ExitStack) -> int:
    fd = os.open(path, os.O_RDONLY)
    held.callback(os.close, fd)
    return fd


def _level(parts: list[_Instance], files: Mapping[Path, int]) -> DicomLevel:
    handles, frames = [FileBytes(files[part.path]) for part in parts], {}
    for n, part in enumerate(parts):
        for place, fragments in zip(
            places_of(part.header, len(part.frames)), part.frames, strict=True
        ):
            if place in frames:
                raise SlideError("several frames in one place; export a single plane")
            frames[place] = Frame(n, fragments)
    check_frames(parts[0].header, len(frames))
    sparse = parts[0].header.get("DimensionOrganizationType") == "TILED_SPARSE"
    return DicomLevel(parts[0].header, frames, handles, sparse=sparse)
