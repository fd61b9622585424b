"""OME-TIFF: images that the OME-XML names, each a directory with its coarser levels in SubIFDs.

https://docs.openmicroscopy.org/ome-model/stable/ome-tiff/specification.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from wsi_ai.errors import SlideError
from wsi_ai.slides.readers.images import Listed, chosen, several
from wsi_ai.slides.readers.tiff.pyramid import Pyramid, page_area, page_size, pages, pyramid
from wsi_ai.slides.scale import Scale, number, scale_of, unit_um

_ASIDE = ("label", "macro", "overview", "thumbnail", "barcode")
"""Words in the names of images that show the glass from outside."""
_MUCH_COARSER = 4.0


@dataclass(frozen=True, slots=True)
class _Image:
    """One image of the file, as the XML has it."""

    number: int
    name: str
    pixels: ElementTree.Element
    ifd: int
    page: Any

    @property
    def listed(self) -> Listed:
        return Listed(self.number, self.name, page_size(self.page))

    @property
    def area(self) -> int:
        return page_area(self.page)

    @property
    def scale(self) -> Scale:
        return scale_of(*(_um(self.pixels.attrib, axis) for axis in "XY"))

    def is_aside(self, finest: "_Image") -> bool:
        """Not another part of the tissue, beside the finest one."""
        if any(word in self.name.lower() for word in _ASIDE):
            return True
        own, its = (_um(i.pixels.attrib, "X") for i in (self, finest))
        if own and its:
            return own >= _MUCH_COARSER * its
        return self.area * _MUCH_COARSER**2 <= finest.area


def describe_ome(tiff: Any, wanted: str = "") -> Pyramid:
    """The image that is wanted; else the finest, beside which the others only show the glass from
    outside.

    Raises SlideError where there are several to choose from, or it is no 8-bit colour image.
    """
    images = _images(tiff)
    image = _the_image(images, wanted)
    if wrong := _complaint(image.pixels):
        raise SlideError(wrong)
    levels = [image.page, *(image.page.pages or ())]
    if not image.page.is_tiled:
        raise SlideError("the image is not stored in tiles; convert it to a tiled pyramid")
    name = f"image {image.number}" if len(images) > 1 else ""
    tiled = [page for page in levels if page.is_tiled]
    return pyramid("ome-tiff", tiled, image.scale, image=name)


def _the_image(images: list[_Image], wanted: str) -> _Image:
    """Raises SlideError."""
    if wanted:
        return images[chosen([image.listed for image in images], wanted)]
    finest = max(images, key=lambda image: image.area)
    if all(image is finest or image.is_aside(finest) for image in images):
        return finest
    raise several("images in one file", [image.listed for image in images])


def _images(tiff: Any) -> list[_Image]:
    root = ElementTree.fromstring(tiff.pages.first.description)
    if root.find("{*}BinaryOnly") is not None:
        raise SlideError("one file of a set of several; export the slide as a single file")
    directories, found = list(pages(tiff)), list[_Image]()
    for image in root.findall("{*}Image"):
        pixels = image.find("{*}Pixels")
        if pixels is None:
            continue
        ifd = _first_directory(pixels, root.get("UUID", ""), len(directories))
        name = str(image.get("Name", ""))
        found.append(_Image(len(found), name, pixels, ifd, directories[ifd]))
    if not found:
        raise SlideError("the OME-XML names no image")
    return found


def _first_directory(pixels: ElementTree.Element, own: str, directories: int) -> int:
    """Where the image begins.  Raises SlideError where it lies in another file."""
    data = pixels.findall("{*}TiffData")
    owners = {(uuid.text or "").strip() for d in data for uuid in d.findall("{*}UUID")}
    if not data or owners - {own}:
        raise SlideError("one file of a set of several; export the slide as a single file")
    ifd = min(int(d.get("IFD", 0)) for d in data)
    if not 0 <= ifd < directories:
        raise SlideError(f"the OME-XML names directory {ifd} of {directories}")
    return ifd


def _complaint(pixels: ElementTree.Element) -> str | None:
    """Why these are not 8-bit colours in one plane, or ``None``."""
    said = pixels.attrib
    kind = said.get("Type", "uint8")
    channels = [c.get("Name", "") for c in pixels.findall("{*}Channel")]
    focal, times = (int(number(said.get(f"Size{axis}", 1))) for axis in "ZT")
    named = f" ({', '.join(channels)})" if all(channels) and channels else ""
    if kind != "uint8":
        return f"{kind} samples in {len(channels) or 1} channels{named}; 8-bit colour is needed"
    if focal > 1 or times > 1:
        return f"{focal} focal planes and {times} times; export a single plane"
    if len(channels) > 1:
        return f"{len(channels)} grey planes{named}; export it as RGB"
    return None


def _um(said: Mapping[str, str], axis: str) -> float:
    unit = said.get(f"PhysicalSize{axis}Unit", "µm")
    return number(said.get(f"PhysicalSize{axis}", 0)) * unit_um(unit)
