"""What makers of TIFF slides say beyond plain TIFF: which directories are the pyramid, how large
a pixel is, what an empty tile means.

The rules are OpenSlide's wherever OpenSlide has one, so that both see the same slide.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any
from xml.etree import ElementTree

from wsi_ai.errors import UnknownFormat
from wsi_ai.geometry import Size, Spacing
from wsi_ai.readers.tiff_level import TileTable, tile_table

_MOST_PAGES = 512
"""A slide has a dozen; a damaged file may seem to have millions."""
_UNITS_UM = {"m": 1e6, "mm": 1e3, "µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3, "cm": 1e4}


@dataclass(frozen=True, slots=True)
class Pyramid:
    """Finest level first."""

    maker: str
    levels: tuple[TileTable, ...]
    downsamples: tuple[float, ...]
    spacing: Spacing | None
    icc: bytes | None = None


def describe(tiff: Any) -> Pyramid:
    """Which maker, and what follows from that.  Raises UnknownFormat where another reader knows
    better: tiles that overlap, stripes, several scanned areas."""
    first = tiff.pages.first
    if first.is_ndpi or first.is_scn or first.is_bif or "MedScan" in first.software:
        raise UnknownFormat("a layout that is more than a grid of tiles")
    if first.is_svs:
        return _aperio(tiff)
    if first.is_philips:
        return _philips(tiff)
    if first.is_ome:
        return _ome(tiff)
    return _generic(tiff)


def _aperio(tiff: Any) -> Pyramid:
    """Every tiled directory is a level; the µm/px stand in the first one's description."""
    pages = [page for page in _pages(tiff) if page.is_tiled]
    found = re.search(r"\|\s*MPP\s*=\s*([0-9.]+)", pages[0].description if pages else "")
    um = float(found[1]) if found else 0.0
    return _pyramid("aperio", pages, Spacing(um, um) if um > 0 else None)


def _generic(tiff: Any) -> Pyramid:
    """The first directory and all reduced images that are tiled; µm/px from the resolution."""
    pages = [
        page for page in _pages(tiff) if page.is_tiled and (page.index == 0 or page.is_reduced)
    ]
    if not pages or pages[0].index != 0:
        raise UnknownFormat("the image is not stored in tiles")
    return _pyramid("generic-tiff", pages, _resolution(pages[0]))


def _ome(tiff: Any) -> Pyramid:
    """The first image of the OME-XML and its SubIFDs; its PhysicalSize, or else no spacing."""
    series = tiff.series[0]
    if any(len(level.pages) != 1 for level in series.levels):
        raise UnknownFormat("several planes, channels or times")
    pages = [level.pages[0] for level in series.levels]
    if not all(page.is_tiled for page in pages):
        raise UnknownFormat("the image is not stored in tiles")
    return _pyramid("ome-tiff", pages, _ome_spacing(pages[0].description))


def _philips(tiff: Any) -> Pyramid:
    """Levels are padded to whole tiles; their true scale stands in the XML, finest first.  A tile
    of no bytes was never scanned."""
    pages = [page for page in _pages(tiff) if page.is_tiled]
    spacings = _philips_spacings(pages[0].description if pages else "")
    if not pages or len(spacings) != len(pages):
        raise UnknownFormat("the Philips description does not fit the levels")
    base, (x, y) = _size(pages[0]), spacings[0]
    downs = [(sx / x + sy / y) / 2 for sx, sy in spacings]
    sizes = [Size(max(1, int(base.width / d)), max(1, int(base.height / d))) for d in downs]
    tables = [tile_table(page, size, sparse=True) for page, size in zip(pages, sizes, strict=True)]
    spacing = Spacing(x * 1e3, y * 1e3)
    return Pyramid("philips", tuple(tables), tuple(downs), spacing, pages[0].iccprofile)


def _pyramid(maker: str, pages: list[Any], spacing: Spacing | None) -> Pyramid:
    if not pages:
        raise UnknownFormat("the image is not stored in tiles")
    pages = sorted(pages, key=lambda page: -int(page.imagewidth))
    tables = tuple(tile_table(page, _size(page), sparse=False) for page in pages)
    base = tables[0].size
    downs = tuple((base.width / t.size.width + base.height / t.size.height) / 2 for t in tables)
    return Pyramid(maker, tables, downs, spacing, pages[0].iccprofile)


def _pages(tiff: Any) -> Iterator[Any]:
    return islice(tiff.pages, _MOST_PAGES)


def _size(page: Any) -> Size:
    return Size(int(page.imagewidth), int(page.imagelength))


def _resolution(page: Any) -> Spacing | None:
    """Of a plain TIFF, in pixels per inch or centimetre."""
    unit_um = {2: 25_400.0, 3: 10_000.0}.get(int(page.tags.valueof("ResolutionUnit", default=2)))
    x, y = (page.tags.valueof(name) for name in ("XResolution", "YResolution"))
    if unit_um is None or not x or not y or 0 in (*x, *y):
        return None
    return Spacing(unit_um * x[1] / x[0], unit_um * y[1] / y[0])


def _ome_spacing(xml: str) -> Spacing | None:
    pixels = ElementTree.fromstring(xml).find(".//{*}Pixels")
    found = {} if pixels is None else pixels.attrib
    sides = [
        float(found.get(f"PhysicalSize{axis}", 0))
        * _UNITS_UM.get(found.get(f"PhysicalSize{axis}Unit", "µm"), 0)
        for axis in "XY"
    ]
    return Spacing(*sides) if min(sides) > 0 else None


def _philips_spacings(xml: str) -> list[tuple[float, float]]:
    """x and y in mm for each level, from the scanned image's representations."""
    for image in ElementTree.fromstring(xml).iter("DataObject"):
        kind = image.find("./Attribute[@Name='PIM_DP_IMAGE_TYPE']")
        if image.get("ObjectType") == "DPScannedImage" and kind is not None and kind.text == "WSI":
            path = ".//DataObject[@ObjectType='PixelDataRepresentation']"
            levels = image.findall(path + "/Attribute[@Name='DICOM_PIXEL_SPACING']")
            return [_two(level.text or "") for level in levels]
    return []


def _two(text: str) -> tuple[float, float]:
    """``"0.00025" "0.00026"``: between rows, then between columns."""
    down, along = (float(part.strip('"')) for part in text.split())
    return along, down
