"""Regions of interest that a person drew, from GeoJSON as QuPath writes it.

Coordinates are level-0 pixels, counted from where QuPath begins; see ``results.geojson``.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry import shape

from wsi_ai.core.values import SlideInfo
from wsi_ai.errors import SlideError
from wsi_ai.schemas.reading import TABLE_BYTES, Unreadable, content_of, from_json

_OUTSIDE = 0.01
"""Of a region's area may lie beyond the slide."""
_EXCLUDED = ("exclude", "ignore*")
"""Names of QuPath's classifications, in lower case."""
_PIXELS_OF_TRIDENT = "EPSG::3857"
"""What TRIDENT writes beside coordinates in level-0 pixels."""
_POLYGONS = ("Polygon", "MultiPolygon")


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """In level-0 pixels of the whole slide."""

    included: tuple[shapely.Geometry, ...]
    """Empty: everywhere."""
    excluded: tuple[shapely.Geometry, ...]

    def described(self) -> str:
        """As a clause for people."""
        inside = f"inside {_count(len(self.included))} only" if self.included else ""
        outside = f"outside {_count(len(self.excluded), 'excluded ')}" if self.excluded else ""
        return "assessed " + " and ".join(part for part in (inside, outside) if part)


def read_regions(path: Path, slide: SlideInfo, *, all_excluded: bool = False) -> Regions:
    """The polygons of a file.  A feature is excluded where its classification is ``Exclude`` or
    ``Ignore*``, or its property ``exclude`` is true; every one with ``all_excluded``.

    Raises SlideError for a file that is no GeoJSON, holds no polygon or something else, has rings
    that cross, or lies in another frame than the slide.
    """
    told = _content(path)
    _check_frame(told, slide)
    included, excluded = list[shapely.Geometry](), list[shapely.Geometry]()
    for number, feature in enumerate(_features(told), 1):
        polygon = _placed(_polygon(feature, number), slide, number)
        (excluded if all_excluded or _is_excluded(feature) else included).append(polygon)
    if not included and not excluded:
        raise SlideError("the file of regions holds no region")
    return Regions(tuple(included), tuple(excluded))


def file_digest(path: Path) -> str:
    """SHA-256 in hex of a file that was given; of one that cannot be read, of its name."""
    try:
        return hashlib.sha256(content_of(path, TABLE_BYTES)).hexdigest()
    except (OSError, Unreadable):
        return hashlib.sha256(f"unread:{path.name}".encode()).hexdigest()


def _content(path: Path) -> Any:
    try:
        return from_json(content_of(path, TABLE_BYTES))
    except OSError as error:
        raise SlideError(f"the file of regions cannot be read: {error.strerror}") from None
    except Unreadable as error:
        raise SlideError(f"the file of regions {error}") from None


def _features(told: Any) -> Iterator[Mapping[str, Any]]:
    """Of a FeatureCollection, a Feature, or a list of these, as older QuPaths wrote it."""
    if isinstance(told, dict) and told.get("type") == "FeatureCollection":
        told = told.get("features")
    for one in told if isinstance(told, list) else [told]:
        if not isinstance(one, dict) or one.get("type") != "Feature":
            raise SlideError("the file of regions is no GeoJSON of features")
        yield one


def _check_frame(told: Any, slide: SlideInfo) -> None:
    if not isinstance(told, dict):
        return
    if "crs" in told and _PIXELS_OF_TRIDENT not in str(told["crs"]):
        raise SlideError(
            "the regions are in another frame (crs); they are to be in level-0 pixels, as QuPath"
            " exports them"
        )
    origin = told.get("origin_px")
    if origin is not None and list(origin) != list(slide.bounds_origin):
        raise SlideError("the regions are counted from another corner (origin_px) than the slide's")


def _polygon(feature: Mapping[str, Any], number: int) -> shapely.Geometry:
    told = feature.get("geometry")
    kind = told.get("type") if isinstance(told, dict) else None
    if kind not in _POLYGONS:
        raise SlideError(f"region {number} is {kind or 'nothing'}; it is to be a polygon")
    try:
        polygon = shape(told)
    except (TypeError, ValueError, AttributeError, IndexError, shapely.errors.ShapelyError):
        raise SlideError(f"region {number} has corners that are none") from None
    if polygon.is_empty or not polygon.convex_hull.area > 0:
        raise SlideError(f"region {number} is empty")
    if not polygon.is_valid:
        raise SlideError(f"region {number} has rings that cross; draw it again without crossings")
    return polygon


def _placed(polygon: shapely.Geometry, slide: SlideInfo, number: int) -> shapely.Geometry:
    """In the frame of the whole slide.  Raises SlideError where it does not lie on it."""
    origin = np.array(slide.bounds_origin)
    moved = shapely.transform(polygon, lambda xy: xy + origin)
    whole = shapely.box(0, 0, slide.size.width, slide.size.height)
    if moved.difference(whole).area > _OUTSIDE * moved.area:
        raise SlideError(
            f"region {number} reaches beyond the slide: it is of another slide, or not in level-0"
            " pixels as QuPath exports them"
        )
    return moved


def _is_excluded(feature: Mapping[str, Any]) -> bool:
    told = feature.get("properties")
    if not isinstance(told, dict):
        return False
    kind = told.get("classification")
    name = kind.get("name") if isinstance(kind, dict) else kind
    return told.get("exclude") is True or (isinstance(name, str) and name.lower() in _EXCLUDED)


def _count(number: int, kind: str = "") -> str:
    return f"{number} {kind}region{'s' * (number != 1)}"
