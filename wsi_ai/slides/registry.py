"""Readers by name: entry points in ``wsi_ai.readers``."""

from importlib.metadata import EntryPoint
from pathlib import Path

from wsi_ai.core.contracts import Slide
from wsi_ai.core.geometry import Spacing
from wsi_ai.core.plugins import load, log, points
from wsi_ai.errors import NoDevice, UnknownFormat
from wsi_ai.slides.places import is_address

_FIRST, _LAST = ("tiff", "dicom", "zarr"), "openslide"
_ON_REQUEST = "tiffslide"


def open_slide(path: Path, spacing: Spacing | None = None, reader: str | None = None) -> Slide:
    """The slide by the first reader that takes it, judging by its content; ``spacing`` replaces
    what the file says.

    The readers that hand out stored tiles are asked first, OpenSlide last; with ``reader``, only
    that one; for an address such as ``https://``, tiffslide.  A plug-in that does not load is left
    out, with a warning; asked for by name, it raises NoDevice.  Raises UnknownFormat where none
    takes it, SlideError where the one that does fails.
    """
    declined = "no reader is installed"
    if reader is None and is_address(path):
        reader = _ON_REQUEST
    for point in _readers(reader):
        try:
            slide: Slide = load(point)(path, spacing)
        except UnknownFormat as error:
            declined = str(error)
        except NoDevice as error:
            if reader is not None:
                raise
            log.warning("a reader is left out: %s", error)
        else:
            return slide
    raise UnknownFormat(declined)


def _readers(wanted: str | None) -> list[EntryPoint]:
    found = {p.name: p for p in points("readers")}
    if wanted is None:
        others = sorted(found.keys() - {*_FIRST, _LAST, _ON_REQUEST})
        return [found[name] for name in (*_FIRST, *others, _LAST) if name in found]
    if wanted not in found:
        raise UnknownFormat(f"no reader is called {wanted}; found {sorted(found)}")
    return [found[wanted]]
