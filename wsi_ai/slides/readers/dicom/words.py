"""What the header of a DICOM image says of it: its size, its scale, what sets it apart.

References are to DICOM 2025 PS3.3.
"""

from collections.abc import Callable, Sequence
from typing import Any

from pydicom.multival import MultiValue

from wsi_ai.core.geometry import Size
from wsi_ai.errors import SlideError
from wsi_ai.slides.readers.images import Listed, chosen, several
from wsi_ai.slides.scale import NO_SCALE, Scale, number, scale_of

_SAME = 0.05
"""By how much two words on one length may differ."""
_MANY_TILES, _LEAST_SHARE = 10_000, 0.001


def image_size(header: Any) -> Size:
    """Raises SlideError where the file promises more than it can hold."""
    size = Size(int(header.TotalPixelMatrixColumns), int(header.TotalPixelMatrixRows))
    if not (0 < size.width < 1 << 24 and 0 < size.height < 1 << 24):
        raise SlideError(f"an image of {size.width} x {size.height} px")
    return size


def check_frames(header: Any, frames: int) -> None:
    """A glass of which hardly anything was scanned is a promise that was not kept."""
    size, tile = image_size(header), Size(int(header.Columns), int(header.Rows))
    grid = -(-size.width // tile.width) * -(-size.height // tile.height)
    if grid > _MANY_TILES and frames < _LEAST_SHARE * grid:
        raise SlideError(f"only {frames} of the image's {grid} tiles are there")


def image_scale(header: Any) -> Scale:
    """Pixel spacing is in mm, between rows first (10.7.1.3); of all frames, or of each.  It
    must go together with the size of the image on the glass, and with the objective's power."""
    shared = header.get("SharedFunctionalGroupsSequence") or []
    each = header.get("PerFrameFunctionalGroupsSequence") or []
    found = {
        tuple(number(mm) * 1000 for mm in _each(measures.get("PixelSpacing")))
        for groups in (*shared, *each)
        for measures in groups.get("PixelMeasuresSequence") or []
    } - {()}
    if not found:
        return NO_SCALE
    if len(found) == 1 and len(next(iter(found))) != 2:
        return Scale(doubt="the file gives a pixel's size as other than two numbers")
    if len(found) > 1:
        return Scale(doubt="the file gives its frames different pixel spacings")
    down, along = found.pop()
    wide = number(header.get("ImagedVolumeWidth", 0)) * 1000 / int(header.TotalPixelMatrixColumns)
    if wide and abs(along / wide - 1) > _SAME:
        return Scale(
            doubt=f"the file says {along:.3g} µm/px and, by the size of what it images, {wide:.3g}"
        )
    return scale_of(along, down, _power(header))


def _each(value: Any) -> Sequence[Any]:
    """An element's values: none, one, or several."""
    return value if isinstance(value, MultiValue) else () if value is None else (value,)


def _power(header: Any) -> float:
    paths = header.get("OpticalPathSequence") or []
    return max((number(p.get("ObjectiveLensPower", 0)) for p in paths), default=0.0)


def profile_of(header: Any) -> bytes | None:
    paths = header.get("OpticalPathSequence") or []
    return next((bytes(p.ICCProfile) for p in paths if "ICCProfile" in p), None)


def chosen_of(sizes: Sequence[Sequence[Any]], wanted: str) -> int:
    """Which one of the images of the largest size.  Raises SlideError where none is wanted, or
    where choosing is of no use: slides in one series, or images of a smaller size only."""
    headers = next(same for same in sizes if len(same) > 1)
    size = image_size(headers[0])
    kind = f"images of {size.width} x {size.height} px in one series"
    differs = [name for name, word in _TELLS.items() if len({word(h) for h in headers}) > 1]
    by = f", which differ in {' and '.join(differs)}" if differs else ": focal planes, or slides"
    glasses = {str(h.get("ContainerIdentifier")) for same in sizes for h in same}
    if len(glasses) > 1 or headers is not sizes[0]:
        raise SlideError(f"{len(headers)} {kind}{by}; put each into a folder of its own")
    images = [
        Listed(n, ", ".join(f"{name} {_TELLS[name](header)}" for name in differs), size)
        for n, header in enumerate(headers)
    ]
    if not wanted:
        raise several(f"{kind}{by}", images)
    return chosen(images, wanted)


def image_key(header: Any) -> tuple[str, ...]:
    """Levels of one image have it in common."""
    return tuple(word(header) for word in _TELLS.values())


def _path_of(header: Any) -> str:
    paths = header.get("OpticalPathSequence") or [None]
    return str(paths[0] and paths[0].get("OpticalPathIdentifier"))


_TELLS: dict[str, Callable[[Any], str]] = {
    "optical path": _path_of,
    "colours": lambda header: str(header.get("PhotometricInterpretation")),
    "focal plane": lambda header: str(_depth(header)),
}


def _depth(header: Any) -> object:
    for groups in header.get("PerFrameFunctionalGroupsSequence") or []:
        for place in groups.get("PlanePositionSlideSequence") or []:
            return place.get("ZOffsetInSlideCoordinateSystem")
    origins = header.get("TotalPixelMatrixOriginSequence") or [None]
    return origins[0] and origins[0].get("ZOffsetInSlideCoordinateSystem")


def scanner_of(header: Any) -> str:
    told = (header.get(name) for name in ("Manufacturer", "ManufacturerModelName"))
    return " ".join(str(word) for word in told if word)
