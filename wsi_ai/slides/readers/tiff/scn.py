"""Leica SCN: one or several scanned areas on a glass, all in one TIFF file.

The slide is the whole glass, as in OpenSlide, and what was not scanned is white.
"""

import math
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from wsi_ai.core.geometry import Size
from wsi_ai.errors import UnknownFormat
from wsi_ai.slides.readers.tiff.level import TileTable, tile_table
from wsi_ai.slides.readers.tiff.pyramid import (
    CENTIMETRE,
    Pyramid,
    downsamples,
    page_size,
    pages,
    resolution,
)
from wsi_ai.slides.scale import Scale, number

_BRIGHTFIELD = "brightfield"
_SAME = 0.02
"""By how much two words on one length may differ."""


@dataclass(frozen=True, slots=True)
class _View:
    """Where an image lies, in nanometres."""

    x: int
    y: int
    width: int
    height: int


def describe_scn(tiff: Any) -> Pyramid:
    """The one scanned area, and the glass around it.

    Raises UnknownFormat where there are several: OpenSlide puts them together.
    """
    collection = ElementTree.fromstring(tiff.pages.first.description).find("{*}collection")
    if collection is None:
        raise ValueError("an SCN description without a collection")
    glass = _View(0, 0, int(collection.attrib["sizeX"]), int(collection.attrib["sizeY"]))
    areas = [image for image in collection.findall("{*}image") if _is_area(image, glass)]
    if len(areas) != 1:
        raise UnknownFormat(f"{len(areas)} scanned areas on one glass")
    return _of_area(list(pages(tiff)), glass, areas[0])


def _of_area(directories: list[Any], glass: _View, image: ElementTree.Element) -> Pyramid:
    view, tables, sizes = _view(image), list[TileTable](), list[Size]()
    chosen = _directories(image, directories)
    for page in chosen:
        nm = view.width / int(page.imagewidth)
        corner = round(view.x / nm), round(view.y / nm)
        tables.append(tile_table(page, page_size(page), sparse=False, corner=corner))
        sizes.append(Size(math.ceil(glass.width / nm), math.ceil(glass.height / nm)))
    first = chosen[0]
    scale = _agreed(resolution(first, (CENTIMETRE,), _power(image)), view, first)
    return Pyramid("leica", sizes[0], tuple(tables), downsamples(sizes), scale, first.iccprofile)


def _agreed(scale: Scale, view: _View, page: Any) -> Scale:
    """The resolution, where the area's size on the glass says the same."""
    um = view.width / int(page.imagewidth) / 1000
    if scale.spacing is None or abs(um / scale.spacing.x_um - 1) <= _SAME:
        return scale
    return Scale(
        doubt=f"the file says {scale.spacing.x_um:.3g} µm/px and, by the area's size, {um:.3g}"
    )


def _power(image: ElementTree.Element) -> float:
    found = image.find("{*}scanSettings/{*}objectiveSettings/{*}objective")
    return 0.0 if found is None else number(found.text)


def _directories(image: ElementTree.Element, directories: list[Any]) -> list[Any]:
    """Finest first; of several focal planes, the one in the middle."""
    dimensions = image.findall("{*}pixels/{*}dimension")
    chosen = [int(d.attrib["ifd"]) for d in dimensions if d.get("z", "0") == "0"]
    if not chosen or min(chosen) < 0:
        raise ValueError("a scanned area without a level")
    return sorted((directories[n] for n in chosen), key=lambda page: -int(page.imagewidth))


def _is_area(image: ElementTree.Element, glass: _View) -> bool:
    """Not the macro image, which shows all of the glass, and not fluorescence."""
    source = image.find("{*}scanSettings/{*}illuminationSettings/{*}illuminationSource")
    bright = source is not None and source.text == _BRIGHTFIELD
    return bright and _view(image) != glass


def _view(image: ElementTree.Element) -> _View:
    view = image.find("{*}view")
    if view is None:
        raise ValueError("an image that is nowhere on the glass")
    fields = (int(view.attrib[name]) for name in ("offsetX", "offsetY", "sizeX", "sizeY"))
    return _View(*fields)
