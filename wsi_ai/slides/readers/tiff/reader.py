"""Slides in tiled TIFF files: Aperio, Hamamatsu, Leica, Philips, Trestle, OME and generic pyramids.

The tiles are handed out as they lie in the file.  What a maker says beyond plain TIFF is in
``tiff_makers``, how a tile is made complete in ``tiff_level``.
"""

import os
import struct
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

import tifffile

from wsi_ai.core.digests import Digest
from wsi_ai.core.geometry import Spacing
from wsi_ai.core.values import SlideInfo
from wsi_ai.errors import SlideError, UnknownFormat
from wsi_ai.slides.readers.dicom.is_dicom import is_dicom
from wsi_ai.slides.readers.fingerprint import opened, state_of
from wsi_ai.slides.readers.hashing import hashes_of
from wsi_ai.slides.readers.source import FileBytes
from wsi_ai.slides.readers.stored import StoredSlide
from wsi_ai.slides.readers.tiff.makers import describe
from wsi_ai.slides.readers.tiff.ndpi import is_ndpi
from wsi_ai.slides.readers.tiff.pyramid import Pyramid

# of a damaged file it logs offsets; what that means for the slide is said here and in the flag

_DAMAGE = (  # what tifffile raises on a damaged structure, and the XML parser
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    ElementTree.ParseError,
    struct.error,
)


def open_slide(path: Path, spacing: Spacing | None = None, image: str = "") -> StoredSlide:
    """Open a slide; ``spacing`` replaces what the file says, ``image`` is one of several.

    Raises UnknownFormat for what is not laid out as tiles in a known way, SlideError for what is
    damaged.
    """
    if os.path.isdir(path):  # no error for a name that no file can have
        raise UnknownFormat("a folder, not a TIFF file")
    if is_dicom(path):  # whose preamble may be a TIFF header: files that are both
        raise UnknownFormat("a DICOM file")
    with ExitStack() as held:
        file = held.enter_context(opened(path))
        state = state_of(os.fstat(file.fileno()))
        pyramid = read_pyramid(file, image)
        source = FileBytes(file.fileno())
        levels = [tiles.on(source) for tiles in pyramid.levels]
        hashes = hashes_of({path: state})
        held.callback(hashes.close)
        info = info_of(path.stem, hashes.digest, pyramid, spacing)
        known = partial(hashes.of, path)
        return StoredSlide(info, levels, held.pop_all().close, [(source.fd, known)])


def read_pyramid(file: BinaryIO, image: str) -> Pyramid:
    """What a TIFF file says of its image.  Raises as ``open_slide``."""
    try:
        ndpi = is_ndpi(file)
        file.seek(0)
        with tifffile.TiffFile(file, is_ndpi=ndpi) as tiff:
            return describe(tiff, image).checked()
    except tifffile.TiffFileError:
        raise _unreadable(file) from None
    except _DAMAGE:
        raise _unreadable(file) from None


def info_of(
    name: str, digest: str | Digest, pyramid: Pyramid, spacing: Spacing | None
) -> SlideInfo:
    return SlideInfo(
        slide_id=name,
        size=pyramid.size,
        spacing=spacing or pyramid.scale.spacing,
        downsamples=pyramid.downsamples,
        digest=digest,
        vendor=pyramid.maker,
        reader="tiff",
        icc_profile=pyramid.icc,
        stated=pyramid.scale.spacing,
        scale_doubt=pyramid.scale.doubt,
        bounds_origin=pyramid.levels[0].corner if pyramid.maker == "leica" else (0, 0),
        image=pyramid.image,
    )


def _unreadable(file: BinaryIO) -> SlideError:
    """UnknownFormat for what does not even begin as TIFF; cut short is only what begins to say
    where things lie, and they lie beyond the file's end."""
    file.seek(0)
    head = file.read(16)
    order = {b"II": "little", b"MM": "big"}.get(head[:2])
    if order is None or int.from_bytes(head[2:4], order) not in (42, 43):  # type: ignore[arg-type]
        return UnknownFormat("not a TIFF file")
    start, stop = (4, 8) if 42 in head[2:4] else (8, 16)
    first = int.from_bytes(head[start:stop], order)  # type: ignore[arg-type]
    if len(head) < stop or first >= file.seek(0, os.SEEK_END):
        return SlideError("the TIFF file is cut short: its first directory is gone; copy it again")
    return SlideError("the TIFF file's directories cannot be read: they contradict themselves")
