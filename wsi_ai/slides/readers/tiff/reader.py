"""Slides in tiled TIFF files: Aperio, Hamamatsu, Leica, Philips, Trestle, OME and generic pyramids.

The tiles are handed out as they lie in the file.  What a maker says beyond plain TIFF is in
``tiff_makers``, how a tile is made complete in ``tiff_level``.
"""

import os
import struct
from contextlib import ExitStack
from pathlib import Path
from xml.etree import ElementTree

import tifffile

from wsi_ai.core.geometry import Spacing
from wsi_ai.core.values import SlideInfo
from wsi_ai.errors import SlideError, UnknownFormat
from wsi_ai.slides.readers.fingerprint import fingerprint
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


def open_slide(path: Path, spacing: Spacing | None = None) -> StoredSlide:
    """Open a slide; ``spacing`` replaces what the file says.

    Raises UnknownFormat for what is not laid out as tiles in a known way, SlideError for what is
    damaged.
    """
    if path.is_dir():
        raise UnknownFormat("a folder, not a TIFF file")
    digest = fingerprint(path)
    try:
        with tifffile.TiffFile(path, is_ndpi=is_ndpi(path)) as tiff:
            pyramid = describe(tiff)
    except tifffile.TiffFileError:
        raise UnknownFormat("not a TIFF file") from None
    except _DAMAGE:
        raise SlideError("the TIFF file is damaged or cut short; copy it again") from None
    with ExitStack() as opened:
        fd = os.open(path, os.O_RDONLY)
        opened.callback(os.close, fd)
        levels = [tiles.on(fd) for tiles in pyramid.levels]
        return StoredSlide(_info(path, digest, pyramid, spacing), levels, opened.pop_all().close)


def _info(path: Path, digest: str, pyramid: Pyramid, spacing: Spacing | None) -> SlideInfo:
    return SlideInfo(
        slide_id=path.stem,
        size=pyramid.size,
        spacing=spacing or pyramid.spacing,
        downsamples=pyramid.downsamples,
        fingerprint=digest,
        vendor=pyramid.maker,
        reader="tiff",
        icc_profile=pyramid.icc,
    )
