"""Is this file, or this folder, a slide?  Told by content, from headers alone.

Made for folders that hold more than slides.  Only what is known to be no slide is passed over: a
file with a slide's suffix that nothing recognises is taken, so that its damage is told.  The
libraries that are asked are loaded when they are: a run of one file asks none of them.
"""

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

SUFFIXES = frozenset(
    (".bif", ".dcm", ".mrxs", ".ndpi", ".scn", ".svs", ".svslide", ".tif", ".tiff", ".vms", ".vmu")
)
"""Of files that are meant to be slides, whatever is in them."""
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PICTURE_PX = 4096
"""A TIFF that is not stored in tiles is a picture up to this side, and beyond it a slide that has
to be converted."""
_BYTES, _WORDS = ("|u1", "uint8"), ("<u2", ">u2", "uint16")
_SERIES = "bioformats2raw.layout"


def is_slide_file(path: Path) -> bool:
    """Of any file but DICOM, whose series only show when seen together: see ``dicom_slides``."""
    import openslide

    try:
        if openslide.OpenSlide.detect_format(path) is not None:
            return True
    except openslide.OpenSlideError:
        return True
    with path.open("rb") as file:
        start = file.read(4)
    if start in _TIFF:
        return not is_picture(path)
    return path.suffix.lower() in SUFFIXES


def is_zarr(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("zarr.json", ".zgroup"))


def is_slide_zarr(folder: Path) -> bool:
    """An OME-Zarr image of 8 bits, or of 16 in three colours, which its reader refuses in words; or
    one too damaged to tell.  Not a heatmap or a mask."""
    try:
        said = _attributes(folder)
        said = said.get("ome", said)
        if _SERIES in said:
            return True
        array = folder / said["multiscales"][0]["datasets"][0]["path"]
        kind, shape = _array(array)
    except KeyError:
        return False
    except (IndexError, OSError, TypeError, ValueError):
        return True
    return kind in _BYTES or (kind in _WORDS and "image-label" not in said and 3 in shape)


def dicom_slides(files: Iterable[Path]) -> list[Path]:
    """One file for each series of the DICOM ``files`` that images a slide's tissue, and each file
    too damaged to tell.  Labels, overviews and annotations are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's own, of what a header says
        return _series(files)


def _series(files: Iterable[Path]) -> list[Path]:
    import pydicom

    from wsi_ai.slides.readers.dicom.reader import DAMAGE, WHOLE_SLIDE

    found: dict[str, Path] = {}
    for path in files:
        try:
            wanted = ["SOPClassUID", "SeriesInstanceUID", "ImageType"]
            head = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=wanted)
            kind = head.get("SOPClassUID") or head.file_meta.get("MediaStorageSOPClassUID")
            if kind == WHOLE_SLIDE and "VOLUME" in head.get("ImageType", ("VOLUME",)):
                found.setdefault(str(head.SeriesInstanceUID), path)
            elif kind is None:
                found[str(path)] = path
        except DAMAGE:
            found[str(path)] = path
    return list(found.values())


def is_picture(file: Path | BinaryIO) -> bool:
    """A whole TIFF file that is small and not stored in tiles: a label, a thumbnail, a mask."""
    import tifffile

    from wsi_ai.slides.readers.dicom.reader import DAMAGE

    try:
        with tifffile.TiffFile(file) as tiff:
            page: Any = tiff.pages.first
            side = max(int(page.imagewidth), int(page.imagelength))
            return not page.is_tiled and side <= _PICTURE_PX
    except DAMAGE:
        return False


def _attributes(folder: Path) -> dict[str, Any]:
    newer = folder / "zarr.json"
    if newer.is_file():
        return _json(newer)["attributes"]  # type: ignore[no-any-return]
    return _json(folder / ".zattrs") if (folder / ".zattrs").is_file() else {}


def _array(array: Path) -> tuple[str, list[int]]:
    """Type and shape."""
    newer = array / "zarr.json"
    said = _json(newer if newer.is_file() else array / ".zarray")
    return str(said["data_type" if newer.is_file() else "dtype"]), list(said["shape"])


def _json(path: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(path.read_bytes())
    return said
