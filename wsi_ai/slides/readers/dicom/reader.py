"""Slides in DICOM: VL Whole Slide Microscopy images, a file for each level or part of one."""

import logging
import os
import re
import struct
import warnings
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError

from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.core.values import SlideInfo
from wsi_ai.errors import SlideError, UnknownFormat
from wsi_ai.slides.readers.dicom.level import DicomLevel, Frame, Span, frame_spans
from wsi_ai.slides.readers.dicom.words import (
    check_frames,
    chosen_of,
    image_key,
    image_scale,
    image_size,
    profile_of,
    scanner_of,
)
from wsi_ai.slides.readers.fingerprint import DiskLimit, Hashed, hashed, of_parts
from wsi_ai.slides.readers.images import only_one
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

    @property
    def level(self) -> str:
        """Instances of one level share it: parts of a concatenation, or one by itself."""
        return str(self.header.get("ConcatenationUID", self.header.SOPInstanceUID))

    @property
    def first_frame(self) -> int:
        return int(self.header.get("ConcatenationFrameOffsetNumber", 0))


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
            series = _series(_instances(named, beside), image)
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


def is_dicom(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


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
        raise SlideError(f"no image of the tissue, only {' '.join(first.ImageType[2:3])}")
    return list(found.values())


def _read(path: Path) -> _Instance:
    with path.open("rb") as file:
        header = pydicom.dcmread(file, stop_before_pixels=True)
        if (
            header.get("TotalPixelMatrixFocalPlanes", 1) != 1
            or len(header.get("OpticalPathSequence") or [None]) != 1
        ):
            raise SlideError("several focal planes or optical paths; export a single one")
        return _Instance(path, header, frame_spans(file, header))


@dataclass(frozen=True, slots=True)
class _Series:
    """The image that is meant."""

    levels: list[list[_Instance]]
    """Each in its parts, finest level first."""
    digests: tuple[str, ...]
    """Of all files of the series, finest level first: which image was meant does not change the
    bytes."""
    files: Mapping[Path, Hashed]
    image: str = ""


def _series(instances: list[_Instance], wanted: str) -> _Series:
    """Raises SlideError where there are several images of one size, and none is wanted."""
    parts: dict[str, list[_Instance]] = defaultdict(list)
    for instance in instances:
        parts[instance.level].append(instance)
    by_size: dict[Size, list[list[_Instance]]] = defaultdict(list)
    for level in parts.values():
        by_size[image_size(level[0].header)].append(level)
    for same in by_size.values():
        same.sort(key=lambda level: min(part.path for part in level))
    sizes = [by_size[size] for size in sorted(by_size, key=lambda size: -size.width)]
    limit = DiskLimit.from_settings()
    found = (part.path for same in sizes for level in same for part in level)
    files = {path: hashed(path, limit) for path in found}
    digests = tuple(known.sha256 for known in files.values())
    if all(len(same) == 1 for same in sizes):
        only_one(wanted)
        return _Series([same[0] for same in sizes], digests, files)
    number = chosen_of([[level[0].header for level in same] for same in sizes], wanted)
    return _Series(_levels_of(sizes, number), digests, files, f"image {number}")


def _levels_of(sizes: list[list[list[_Instance]]], number: int) -> list[list[_Instance]]:
    """The finest one of that number, and those coarser ones that are of no other image."""
    mine = image_key(sizes[0][number][0].header)
    finest, *coarser = (
        [level for level in same if image_key(level[0].header) == mine] for same in sizes
    )
    if len(finest) > 1:
        return [sizes[0][number]]
    return [*finest, *(same[0] for same in coarser if len(same) == 1)]


def _open(name: str, series: _Series, spacing: Spacing | None) -> StoredSlide:
    levels = series.levels
    base = levels[0][0].header
    scale = image_scale(base)
    sizes = [image_size(parts[0].header) for parts in levels]
    downs = [(sizes[0].width / s.width + sizes[0].height / s.height) / 2 for s in sizes]
    info = SlideInfo(
        slide_id=name,
        size=sizes[0],
        spacing=spacing or scale.spacing,
        downsamples=tuple(downs),
        fingerprint=of_parts(series.digests),
        vendor="dicom",
        scanner=scanner_of(base),
        reader="dicom",
        icc_profile=profile_of(base),
        stated=scale.spacing,
        scale_doubt=scale.doubt,
        image=series.image,
        parts=series.digests,
    )
    with ExitStack() as held:
        handles = {part.path: _handle(part.path, held) for parts in levels for part in parts}
        opened = [_level(parts, handles) for parts in levels]
        known = [(fd, series.files[path]) for path, fd in handles.items()]
        return StoredSlide(info, opened, held.pop_all().close, known)


def _handle(path: Path, held: ExitStack) -> int:
    fd = os.open(path, os.O_RDONLY)
    held.callback(os.close, fd)
    return fd


def _level(parts: list[_Instance], files: Mapping[Path, int]) -> DicomLevel:
    handles, frames = [files[part.path] for part in parts], {}
    for n, part in enumerate(parts):
        for place, fragments in zip(_places(part), part.frames, strict=True):
            if place in frames:
                raise SlideError("several frames in one place; export a single plane")
            frames[place] = Frame(n, fragments)
    check_frames(parts[0].header, len(frames))
    sparse = parts[0].header.get("DimensionOrganizationType") == "TILED_SPARSE"
    return DicomLevel(parts[0].header, frames, handles, sparse=sparse)


def _places(part: _Instance) -> list[tuple[int, int]]:
    """Column and row of each frame in the grid of tiles (PS3.3 C.7.6.17.3)."""
    header = part.header
    across = -(-int(header.TotalPixelMatrixColumns) // int(header.Columns))
    if header.get("DimensionOrganizationType") == "TILED_FULL":
        numbers = range(part.first_frame, part.first_frame + len(part.frames))
        return [(n % across, n // across) for n in numbers]
    places = []
    for frame in header.PerFrameFunctionalGroupsSequence:
        at = frame.PlanePositionSlideSequence[0]
        x, y = (
            int(at.ColumnPositionInTotalImagePixelMatrix) - 1,
            int(at.RowPositionInTotalImagePixelMatrix) - 1,
        )
        if x % header.Columns or y % header.Rows:
            raise SlideError("frames that are not laid out as a grid")
        places.append((x // header.Columns, y // header.Rows))
    return places
