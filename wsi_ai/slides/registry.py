"""Readers by name: entry points in ``wsi_ai.readers``."""

import inspect
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from wsi_ai.core.contracts import Slide
from wsi_ai.core.geometry import Spacing
from wsi_ai.core.plugins import load, log, needs_extra, points
from wsi_ai.errors import NoDevice, SlideError, StagingFull, UnknownFormat
from wsi_ai.slides.places import ReaderIo, is_address
from wsi_ai.slides.readers.dicomweb.address import is_dicomweb
from wsi_ai.slides.scale import check_size
from wsi_ai.slides.stores.address import is_object

_FIRST, _LAST = ("tiff", "dicom", "zarr"), ("openslide", "flat")
_ON_REQUEST = ("tiffslide", "dicomweb")


def open_slide(
    path: Path,
    spacing: Spacing | None = None,
    reader: str | None = None,
    image: str = "",
    reader_io: ReaderIo = ReaderIo.STAGING,
) -> Slide:
    """The slide by the first reader that takes it, judging by its content; ``spacing`` replaces
    what the file says.

    The readers that hand out stored tiles are asked first, OpenSlide and flat images last; with
    ``reader``, only that one; for a series in an archive dicomweb.  An object in a store, or behind
    ``https://``, is copied first, or read in ranges: see ``stores``.  ``image`` is the number or
    the name of one of several that a file holds.  A plug-in that does
    not load is left out, with a warning; asked for by name, it raises NoDevice.  Raises
    UnknownFormat where none takes it, SlideError where the one whose format it is refuses it: then
    no other is asked.
    """
    if is_object(path) and reader not in _ON_REQUEST:
        return _open_object(path, _How(spacing, reader, image), reader_io)
    if reader is None and is_address(path):
        reader = "dicomweb" if is_dicomweb(path) else "tiffslide"
    return _open_here(path, _How(spacing, reader, image))


@dataclass(frozen=True, slots=True)
class _How:
    """What is asked of a reader."""

    spacing: Spacing | None
    reader: str | None
    image: str


def _open_object(path: Path, how: _How, reader_io: ReaderIo) -> Slide:
    with needs_extra("s3", SlideError):
        from wsi_ai.slides.stores.opening import open_far, open_object
    may_be_far = how.reader in (None, "tiff")

    def far() -> Slide:
        return _checked(open_far(path, how.spacing, how.image))

    if may_be_far and reader_io is ReaderIo.RANGES:
        try:
            return far()
        except UnknownFormat as error:
            log.info("a slide is copied, and not read in ranges: %s", error)
    try:
        return open_object(path, lambda copy: _open_here(copy, how))
    except StagingFull:
        if not may_be_far:
            raise
        try:
            return far()
        except UnknownFormat:
            pass
        raise


def _open_here(path: Path, how: _How) -> Slide:
    declined = "no reader is installed"
    for point in _readers(how.reader):
        try:
            slide = _opened(load(point), path, how.spacing, how.image)
        except UnknownFormat as error:
            declined = str(error)
        except NoDevice as error:
            if how.reader is not None:
                raise
            log.warning("a reader is left out: %s", error)
        else:
            return _checked(slide)
    raise UnknownFormat(declined)


def _opened(open_it: Any, path: Path, spacing: Spacing | None, image: str) -> Slide:
    """A reader that can choose among several images has the parameter ``image``.  Raises SlideError
    where one is wanted of a reader that cannot."""
    if not image:
        slide: Slide = open_it(path, spacing)
        return slide
    if "image" in inspect.signature(open_it).parameters:
        chosen: Slide = open_it(path, spacing, image=image)
        return chosen
    with open_it(path, spacing) as whole:
        name = whole.info.reader
    raise SlideError(f"the reader {name} cannot choose an image; leave --image away")


def _checked(slide: Slide) -> Slide:
    """Closed again, with a SlideError, where it is larger than any glass."""
    try:
        check_size(slide.info.size, slide.info.spacing)
    except SlideError:
        with slide:
            raise
    return slide


def _readers(wanted: str | None) -> list[EntryPoint]:
    found = {p.name: p for p in points("readers")}
    if wanted is None:
        others = sorted(found.keys() - {*_FIRST, *_LAST, *_ON_REQUEST})
        return [found[name] for name in (*_FIRST, *others, *_LAST) if name in found]
    if wanted not in found:
        raise UnknownFormat(f"no reader is called {wanted}; found {sorted(found)}")
    return [found[wanted]]
