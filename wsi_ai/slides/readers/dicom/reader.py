"""Slides in DICOM: VL Whole Slide Microscopy images, a file for each level or part of one."""

import hashlib
import os
import struct
from collections import defaultdict
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
from wsi_ai.slides.readers.fingerprint import fingerprint
from wsi_ai.slides.readers.stored import StoredSlide

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
_MOST_FILES = 1000
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


def open_slide(path: Path, spacing: Spacing | None = None) -> StoredSlide:
    """Open the slide that ``path`` is part of, or that lies in the folder ``path``.

    The other files of its series are looked for beside it.  Raises UnknownFormat for what is not
    DICOM, SlideError for DICOM that is no slide, or is damaged.
    """
    named, beside = _files(path)
    try:
        levels = _levels(_instances(named, beside))
        return _open(named.stem if path.is_file() else path.name, levels, spacing)
    except DAMAGE as error:
        raise SlideError(
            f"the DICOM header is damaged ({type(error).__name__}); copy the file again"
        ) from None


def _files(path: Path) -> tuple[Path, list[Path]]:
    """The DICOM file that was meant, and all those beside it."""
    if path.is_file() and not is_dicom(path):
        raise UnknownFormat("not a DICOM file")
    folder = path if path.is_dir() else path.parent
    beside = [p for p in sorted(folder.glob("*"))[:_MOST_FILES] if is_dicom(p)]
    if not beside:
        raise UnknownFormat("there is no DICOM file here")
    return (path if path.is_file() else beside[0]), beside


def is_dicom(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _instances(named: Path, beside: list[Path]) -> list[_Instance]:
    """The image files of one series, the named one first; the same instance only once."""
    first = pydicom.dcmread(named, stop_before_pixels=True)
    if first.SOPClassUID != WHOLE_SLIDE:
        raise SlideError(f"a DICOM file, but no whole-slide image: {first.SOPClassUID.name}")
    found: dict[str, _Instance] = {}
    for path in (named, *(p for p in beside if p != named)):
        wanted = ["SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "ImageType"]
        brief = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=wanted)
        ours = brief.get("SeriesInstanceUID") == first.SeriesInstanceUID
        if ours and brief.SOPClassUID == WHOLE_SLIDE and "VOLUME" in brief.ImageType:
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


def _levels(instances: list[_Instance]) -> list[list[_Instance]]:
    """Parts of levels, finest level first."""
    parts: dict[str, list[_Instance]] = defaultdict(list)
    for instance in instances:
        parts[instance.level].append(instance)
    by_size: dict[Size, list[_Instance]] = {}
    for level in parts.values():
        by_size.setdefault(_size(level[0].header), level)
    return [by_size[size] for size in sorted(by_size, key=lambda size: -size.width)]


def _open(name: str, levels: list[list[_Instance]], spacing: Spacing | None) -> StoredSlide:
    base = levels[0][0].header
    sizes = [_size(parts[0].header) for parts in levels]
    downs = [(sizes[0].width / s.width + sizes[0].height / s.height) / 2 for s in sizes]
    info = SlideInfo(
        slide_id=name,
        size=sizes[0],
        spacing=spacing or _spacing(base),
        downsamples=tuple(downs),
        fingerprint=_fingerprint(levels),
        vendor="dicom",
        scanner=_scanner(base),
        reader="dicom",
        icc_profile=_profile(base),
    )
    with ExitStack() as files:
        opened = [_level(parts, files) for parts in levels]
        return StoredSlide(info, opened, files.pop_all().close)


def _scanner(header: pydicom.Dataset) -> str:
    told = (header.get(name) for name in ("Manufacturer", "ManufacturerModelName"))
    return " ".join(str(word) for word in told if word)


def _level(parts: list[_Instance], files: ExitStack) -> DicomLevel:
    handles, frames = [], {}
    for n, part in enumerate(parts):
        handles.append(os.open(part.path, os.O_RDONLY))
        files.callback(os.close, handles[-1])
        for place, fragments in zip(_places(part), part.frames, strict=True):
            if place in frames:
                raise SlideError("several frames in one place; export a single plane")
            frames[place] = Frame(n, fragments)
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


def _size(header: Any) -> Size:
    size = Size(int(header.TotalPixelMatrixColumns), int(header.TotalPixelMatrixRows))
    if not (0 < size.width < 1 << 24 and 0 < size.height < 1 << 24):
        raise SlideError(f"an image of {size.width} x {size.height} px")
    return size


def _spacing(header: Any) -> Spacing | None:
    """Pixel spacing is in mm, between rows first (PS3.3 10.7.1.3)."""
    for groups in header.get("SharedFunctionalGroupsSequence") or []:
        for measures in groups.get("PixelMeasuresSequence") or []:
            down, along = (float(mm) * 1000 for mm in measures.PixelSpacing)
            return Spacing(along, down)
    return None


def _profile(header: Any) -> bytes | None:
    paths = header.get("OpticalPathSequence") or []
    return next((bytes(p.ICCProfile) for p in paths if "ICCProfile" in p), None)


def _fingerprint(levels: list[list[_Instance]]) -> str:
    """Of the file; of several, the digest of their digests, finest level first."""
    digests = [fingerprint(part.path) for parts in levels for part in parts]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()
