"""What an OME-Zarr group says of its image, in any version of NGFF (0.1 to 0.5).

https://ngff.openmicroscopy.org/0.5/index.html and the versions before it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wsi_ai.core.geometry import Size
from wsi_ai.errors import SlideError
from wsi_ai.slides.readers.images import Listed, chosen, only_one, several
from wsi_ai.slides.scale import NO_SCALE, Scale, number, scale_of, unit_um

_FIRST_AXES = ("t", "c", "z", "y", "x")
"""Of versions 0.1 and 0.2, which do not name them."""
_MOST_LEVELS = 64
_RGB = ({"r", "red"}, {"g", "green"}, {"b", "blue"})
_RGB_HEX = ("ff0000", "00ff00", "0000ff")
_MUCH_SMALLER = 16
"""By how many times the area of a label or a macro image is less than the slide's."""
_LAYOUT = 3  # bioformats2raw's only one that is left


@dataclass(frozen=True, slots=True)
class Image:
    """Finest array first."""

    arrays: list[Any]
    axes: tuple[str, ...]
    scale: Scale
    alpha: bool
    """A fourth channel is transparency."""
    name: str
    """Where it lies, if the folder holds several."""


def image_of(group: Any, wanted: str = "") -> Image:
    """The image that is wanted, where there are several.  Raises SlideError where the group holds
    none, or channels that are no colours."""
    places = _places(group)
    number = _number(places, wanted)
    place = places[number]
    axes, units = _axes(place.said)
    arrays = [place.group[str(data["path"])] for data in place.said["datasets"][:_MOST_LEVELS]]
    channels = dict(zip(axes, arrays[0].shape, strict=False)).get("c", 1)
    if wrong := _channel_complaint(_attributes(place.group).get("omero") or {}, channels):
        raise SlideError(wrong)
    name = f"image {number}" if len(places) > 1 else ""
    return Image(arrays, axes, _scale(place.said, axes, units), channels == 4, name)


@dataclass(frozen=True, slots=True)
class _Place:
    """One image of the folder."""

    group: Any
    said: Mapping[str, Any]
    """Its entry in ``multiscales``."""

    def listed(self, number: int) -> Listed:
        finest = self.group[str(self.said["datasets"][0]["path"])]
        sides = dict(zip(_axes(self.said)[0], finest.shape, strict=False))
        return Listed(number, str(self.said.get("name", "")), Size(sides["x"], sides["y"]))


def _number(places: list[_Place], wanted: str) -> int:
    """By default the first, where all others are small beside it.  Raises SlideError."""
    if len(places) == 1:
        only_one(wanted)
        return 0
    images = [place.listed(number) for number, place in enumerate(places)]
    if wanted:
        return chosen(images, wanted)
    first, *others = [image.size.width * image.size.height for image in images]
    if any(other * _MUCH_SMALLER > first for other in others):
        raise several("images in one OME-Zarr folder", images)
    return 0


def _places(group: Any) -> list[_Place]:
    """Raises SlideError where there is none."""
    said = _attributes(group)
    bundled = "multiscales" not in said and "bioformats2raw.layout" in said
    groups = _series(group, said) if bundled else [group]
    places = [_Place(g, m) for g in groups for m in _attributes(g).get("multiscales") or ()]
    if not places:
        raise SlideError("a Zarr folder without an OME-Zarr image")
    return places


def _attributes(group: Any) -> Mapping[str, Any]:
    """Since 0.5 below ``ome``."""
    attributes: Mapping[str, Any] = group.attrs.asdict()
    found: Mapping[str, Any] = attributes.get("ome", attributes)
    return found


def _series(group: Any, said: Mapping[str, Any]) -> list[Any]:
    """The layout of bioformats2raw: its series are groups, the slide before label and macro."""
    if said["bioformats2raw.layout"] != _LAYOUT:
        raise SlideError("a layout of bioformats2raw that is not known; convert it again")
    series = ["0"]
    if "OME" in group:
        series = [str(name) for name in _attributes(group["OME"]).get("series", series)]
    if not series or series[0] not in group:
        raise SlideError("the first image of the bioformats2raw folder is not there")
    return [group[name] for name in series if name in group]


def _axes(image: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Names, and micrometres of each one's unit; 0 where it has none."""
    said: Sequence[Any] = image.get("axes", _FIRST_AXES)
    names = [str(axis["name"] if isinstance(axis, Mapping) else axis).lower() for axis in said]
    units = [unit_um(str(a.get("unit", ""))) if isinstance(a, Mapping) else 0.0 for a in said]
    return tuple(names), tuple(units)


def _scale(image: Mapping[str, Any], axes: tuple[str, ...], units: tuple[float, ...]) -> Scale:
    """From the finest level's scale, and that of the whole image where it has one, too; none where
    an axis has no unit of length."""
    factors = np.ones(len(axes))
    stated = False
    for holder in (image["datasets"][0], image):
        for one in holder.get("coordinateTransformations") or ():
            if one.get("type") == "scale" and len(one.get("scale", ())) == len(axes):
                factors *= [number(value) for value in one["scale"]]
                stated = True
    um = dict(zip(axes, factors * units, strict=True))
    return scale_of(float(um.get("x", 0)), float(um.get("y", 0))) if stated else NO_SCALE


def _channel_complaint(omero: Mapping[str, Any], channels: int) -> str | None:
    """Three channels are colours, unless they are called otherwise."""
    said = [c for c in omero.get("channels") or () if isinstance(c, Mapping)]
    labels = [str(c.get("label", "")) for c in said]
    if channels <= 1 or len(said) < 3 or _is_rgb(said, labels):
        return None
    return f"{channels} channels ({', '.join(labels)}); an RGB image is needed"


def _is_rgb(said: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> bool:
    colours = tuple(str(c.get("color", "")).lower()[-6:] for c in said[:3])
    named = all(label.lower() in wanted for label, wanted in zip(labels[:3], _RGB, strict=True))
    return named or colours == _RGB_HEX
