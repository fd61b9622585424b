"""What makers of TIFF slides say beyond plain TIFF: which directories are the pyramid, how large
a pixel is, what an empty tile means.

The rules are OpenSlide's wherever OpenSlide has one, so that both see the same slide.
"""

import math
import re
from typing import Any
from xml.etree import ElementTree

from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.errors import UnknownFormat
from wsi_ai.slides.readers.tiff.level import tile_table
from wsi_ai.slides.readers.tiff.ndpi import describe_ndpi
from wsi_ai.slides.readers.tiff.pyramid import Pyramid, page_size, pages, pyramid, resolution
from wsi_ai.slides.readers.tiff.scn import describe_scn

_TRESTLE = "MedScan"
_UNITS_UM = {"m": 1e6, "mm": 1e3, "µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3, "cm": 1e4}


def describe(tiff: Any) -> Pyramid:
    """Which maker, and what follows from that.  Raises UnknownFormat where another reader knows
    better: tiles that overlap, stripes, several scanned areas."""
    first = tiff.pages.first
    if first.is_bif:
        raise UnknownFormat("Ventana's tiles overlap")
    if tiff.tiff.is_ndpi:
        return describe_ndpi(tiff)
    if first.is_scn:
        return describe_scn(tiff)
    if first.software.startswith(_TRESTLE):
        return _trestle(tiff)
    if first.is_svs:
        return _aperio(tiff)
    if first.is_philips:
        return _philips(tiff)
    if first.is_ome:
        return _ome(tiff)
    return _generic(tiff)


def _aperio(tiff: Any) -> Pyramid:
    """Every tiled directory is a level; the µm/px stand in the first one's description."""
    levels = [page for page in pages(tiff) if page.is_tiled]
    found = re.search(r"\|\s*MPP\s*=([^|]*)", levels[0].description if levels else "")
    um = _number(found[1]) if found else 0.0
    return pyramid("aperio", levels, Spacing(um, um) if 0 < um < math.inf else None)


def _generic(tiff: Any) -> Pyramid:
    """The first directory and all reduced images that are tiled, masks left out; µm/px from the
    resolution."""
    levels = [
        page
        for page in pages(tiff)
        if page.is_tiled and (page.index == 0 or page.is_reduced) and not page.is_mask
    ]
    if not levels or levels[0].index != 0:
        raise UnknownFormat("the image is not stored in tiles")
    return pyramid("generic-tiff", levels, resolution(levels[0]))


def _trestle(tiff: Any) -> Pyramid:
    """Every directory is a level, and the resolution holds µm/px as they are.  Tiles may overlap,
    by so many pixels along x and y in each level: that is left to OpenSlide."""
    levels = list(pages(tiff))
    if not all(page.is_tiled for page in levels):
        raise UnknownFormat("the image is not stored in tiles")
    found = re.search(r"(?:^|;)OverlapsXY=([^;]*)", levels[0].description)
    if found and any(int(overlap) for overlap in found[1].split()):
        raise UnknownFormat("Trestle's tiles overlap")
    x, y = (levels[0].tags.valueof(name) for name in ("XResolution", "YResolution"))
    known = x and y and 0 not in (*x, *y)
    return pyramid("trestle", levels, Spacing(x[0] / x[1], y[0] / y[1]) if known else None)


def _ome(tiff: Any) -> Pyramid:
    """The first image of the OME-XML and its SubIFDs; its PhysicalSize, or else no spacing."""
    series = tiff.series[0]
    if any(len(level.pages) != 1 for level in series.levels):
        raise UnknownFormat("several planes, channels or times")
    levels = [level.pages[0] for level in series.levels]
    if not all(page.is_tiled for page in levels):
        raise UnknownFormat("the image is not stored in tiles")
    return pyramid("ome-tiff", levels, _ome_spacing(levels[0].description))


def _philips(tiff: Any) -> Pyramid:
    """Levels are padded to whole tiles; their true scale stands in the XML, finest first.  A tile
    of no bytes was never scanned."""
    levels = [page for page in pages(tiff) if page.is_tiled]
    spacings = _philips_spacings(levels[0].description if levels else "")
    if not levels or len(spacings) != len(levels):
        raise UnknownFormat("the Philips description does not fit the levels")
    base, (x, y) = page_size(levels[0]), spacings[0]
    downs = [(sx / x + sy / y) / 2 for sx, sy in spacings]
    sizes = [Size(max(1, int(base.width / d)), max(1, int(base.height / d))) for d in downs]
    tables = [tile_table(page, size, sparse=True) for page, size in zip(levels, sizes, strict=True)]
    spacing = Spacing(x * 1e3, y * 1e3)
    return Pyramid("philips", sizes[0], tuple(tables), tuple(downs), spacing, levels[0].iccprofile)


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


def _number(text: str) -> float:
    """All of the text, or nothing: a part of ``2.5e-1`` or ``0,25`` is another number."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def _two(text: str) -> tuple[float, float]:
    """``"0.00025" "0.00026"``: between rows, then between columns."""
    down, along = (float(part.strip('"')) for part in text.split())
    return along, down
