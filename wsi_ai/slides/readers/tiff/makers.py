"""What makers of TIFF slides say beyond plain TIFF: which directories are the pyramid, how large
a pixel is, what an empty tile means.

The rules are OpenSlide's wherever OpenSlide has one, so that both see the same slide.
"""

import re
from typing import Any
from xml.etree import ElementTree

from wsi_ai.core.geometry import Size
from wsi_ai.errors import SlideError, UnknownFormat
from wsi_ai.slides.readers.images import Listed, chosen, only_one, several
from wsi_ai.slides.readers.tiff.level import tile_table
from wsi_ai.slides.readers.tiff.ndpi import describe_ndpi
from wsi_ai.slides.readers.tiff.ome import describe_ome
from wsi_ai.slides.readers.tiff.pyramid import (
    Pyramid,
    fraction,
    page_area,
    page_size,
    pages,
    pyramid,
    resolution,
)
from wsi_ai.slides.readers.tiff.scn import describe_scn
from wsi_ai.slides.scale import number, scale_of

_TRESTLE = "MedScan"
_MUCH_SMALLER = 16
"""By how many times the area of a label or a macro image is less than the slide's."""
_LEAST_STEP, _SAME_SHAPE = 1.9, 0.02
"""From one level to the next: the factor, and by what share both sides may differ in it."""


def describe(tiff: Any, wanted: str = "") -> Pyramid:
    """Which maker, and what follows from that; the image that is ``wanted``, where there are
    several.  Raises UnknownFormat where another reader knows better: tiles that overlap, stripes,
    several scanned areas.  Raises SlideError where none does: several channels, focal planes or
    images, 16 bits."""
    if tiff.tiff.is_ndpi:
        return describe_ndpi(tiff, wanted)
    if (single := _of_one_image(tiff)) is not None:
        only_one(wanted)
        return single
    first = tiff.pages.first
    describe_its = _aperio if first.is_svs else describe_ome if first.is_ome else _generic
    return describe_its(tiff, wanted)


def _of_one_image(tiff: Any) -> Pyramid | None:
    """By makers who never put several images of tissue into one file."""
    first = tiff.pages.first
    if first.is_bif:
        raise UnknownFormat("Ventana's tiles overlap")
    if first.software.startswith(_TRESTLE):
        return _trestle(tiff)
    for is_its, describe_its in (
        (first.is_scn, describe_scn),
        (first.is_philips, _philips),
        (first.is_qpi, _akoya),
    ):
        if is_its:
            return describe_its(tiff)
    return None


def _aperio(tiff: Any, wanted: str) -> Pyramid:
    """Every tiled directory is a level; the µm/px stand in the first one's description.

    Of several focal planes, told apart by their distance from the first one, that one, or the one
    that is wanted.  A tile without place and bytes is white, as in OpenSlide: an encoder leaves
    such ones out.
    """
    planes: dict[float, list[Any]] = {}
    for page in pages(tiff):
        if page.is_tiled:
            planes.setdefault(_aperio_value(page.description, "OffsetZ"), []).append(page)
    images = [
        Listed(n, f"focal plane {offset}", page_size(levels[0]))
        for n, (offset, levels) in enumerate(planes.items())
    ]
    number = chosen(images, wanted) if wanted else 0
    levels = list(planes.values())[number] if planes else []
    about = levels[0].description if levels else ""
    um, power = (_aperio_value(about, name) for name in ("MPP", "AppMag"))
    image = f"image {number}" if len(images) > 1 else ""
    return pyramid("aperio", levels, scale_of(um, um, power), sparse=True, image=image)


def _aperio_value(about: str, name: str) -> float:
    found = re.search(rf"\|\s*{name}\s*=([^|]*)", about)
    return number(found[1]) if found else 0.0


def _generic(tiff: Any, wanted: str) -> Pyramid:
    """The first directory and all reduced images that are tiled, masks left out; µm/px from the
    resolution.  Raises SlideError where another directory is as large, and nothing says which is
    the slide: of several, the one that is wanted, without reduced images, which may be any one's.
    """
    found = [page for page in pages(tiff) if page.is_tiled and not page.is_mask]
    levels = [page for page in found if page.index == 0 or page.is_reduced]
    if not levels or levels[0].index != 0:
        raise UnknownFormat("the image is not stored in tiles")
    whole = [page for page in found if page.index == 0 or not page.is_reduced]
    images = [Listed(n, "", page_size(page)) for n, page in enumerate(whole)]
    if any(_is_another(page, whole[0]) for page in whole[1:]):
        if any(page.samplesperpixel == 1 for page in whole):
            raise SlideError(f"{len(whole)} grey planes in one file; export a single RGB image")
        if not wanted:
            raise several("images in one file, such as focal planes", images)
    number = chosen(images, wanted) if wanted else 0
    levels = levels if len(whole) == 1 or not wanted else [whole[number]]
    image = f"image {number}" if wanted and len(whole) > 1 else ""
    return pyramid("generic-tiff", levels, resolution(levels[0]), image=image)


def _is_another(page: Any, first: Any) -> bool:
    """Not a small picture of the glass, nor a level that its writer did not mark as reduced."""
    own, its = page_size(page), page_size(first)
    if page_area(page) >= page_area(first):
        return True
    if page_area(page) * _MUCH_SMALLER <= page_area(first):
        return False
    downs = its.width / own.width, its.height / own.height
    return min(downs) < _LEAST_STEP or abs(downs[0] / downs[1] - 1) > _SAME_SHAPE


def _akoya(tiff: Any) -> Pyramid:
    """QPTIFF: each directory's description says what it is; brightfield has one full image, other
    modes one for each channel."""
    kinds: dict[str, list[Any]] = {}
    for page in pages(tiff):
        kind = re.search(r"<ImageType>([^<]*)</ImageType>", page.description)
        kinds.setdefault(kind[1].strip() if kind else "", []).append(page)
    full = kinds.get("FullResolution", [])
    if len(full) != 1:
        raise SlideError(f"{len(full)} channels at full resolution; a brightfield scan is needed")
    levels = [p for p in full + kinds.get("ReducedResolution", []) if p.is_tiled]
    return pyramid("akoya", levels, resolution(full[0]))


def _trestle(tiff: Any) -> Pyramid:
    """Every directory is a level, and the resolution holds µm/px as they are.  Tiles may overlap,
    by so many pixels along x and y in each level: that is left to OpenSlide."""
    levels = list(pages(tiff))
    if not all(page.is_tiled for page in levels):
        raise UnknownFormat("the image is not stored in tiles")
    found = re.search(r"(?:^|;)OverlapsXY=([^;]*)", levels[0].description)
    if found and any(int(overlap) for overlap in found[1].split()):
        raise UnknownFormat("Trestle's tiles overlap")
    x, y = (fraction(levels[0].tags.valueof(name)) for name in ("XResolution", "YResolution"))
    return pyramid("trestle", levels, scale_of(x, y))


def _philips(tiff: Any) -> Pyramid:
    """Levels are padded to whole tiles; their true scale stands in the XML, finest first.  A tile
    of no bytes was never scanned."""
    levels = [page for page in pages(tiff) if page.is_tiled]
    spacings = _philips_spacings(levels[0].description if levels else "")
    if not levels or len(spacings) != len(levels):
        raise SlideError(
            f"the Philips description has {len(spacings)} scales for {len(levels)} levels"
        )
    base, (x, y) = page_size(levels[0]), spacings[0]
    downs = [(sx / x + sy / y) / 2 for sx, sy in spacings]
    sizes = [Size(max(1, int(base.width / d)), max(1, int(base.height / d))) for d in downs]
    tables = [tile_table(page, size, sparse=True) for page, size in zip(levels, sizes, strict=True)]
    scale, icc = scale_of(x * 1e3, y * 1e3), levels[0].iccprofile
    return Pyramid("philips", sizes[0], tuple(tables), tuple(downs), scale, icc)


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
