"""Readers by name: entry points in ``wsi_ai.readers``."""

import inspect
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from wsi_ai.core.contracts import Slide
from wsi_ai.core.geometry import Spacing
from wsi_ai.core.plugins import load, log, points
from wsi_ai.errors import NoDevice, SlideError, UnknownFormat
from wsi_ai.slides.places import is_address
from wsi_ai.slides.readers.dicomweb.address import is_dicomweb
from wsi_ai.slides.scale import check_size

_FIRST, _LAST = ("tiff", "dicom", "zarr"), ("openslide", "flat")
_ON_REQUEST = ("tiffslide", "dicomweb")


def open_slide(
    path: Path, spacing: Spacing | None = None, reader: str | None = None, image: str = ""
) -> Slide:
    """The slide by the first reader that takes it, judging by its content; ``spacing`` replaces
    what the file says.

    The readers that hand out stored tiles are asked first, OpenSlide and flat images last; with
    ``reader``, only that one; for an address such as ``https://``, tiffslide, and for a series in
    an archive dicomweb.  ``image`` is the
    number or the name of one of several that a file holds.  A plug-in that does
    not load is left out, with a warning; asked for by name, it raises NoDevice.  Raises
    UnknownFormat where none takes it, SlideError where the one whose format it is refuses it: then
    no other is asked.
    """
    declined = "no reader is installed"
    if reader is None and is_address(path):
        reader = "dicomweb" if is_dicomweb(path) else "tiffslide"
    for point in _readers(reader):
        try:
            slide = _opened(load(point), path, spacing, image)
        except UnknownFormat as error:
            declined = str(error)
        except NoDevice as error:
            if reader is not None:
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
