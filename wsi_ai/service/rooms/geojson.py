"""Notes as GeoJSON, for QuPath (drag the file onto the image) and other programs.

An outline that crosses itself becomes parts that do not: QuPath refuses the file otherwise.
Coordinates are level-0 pixels, counted from where QuPath begins: of a slide whose file says which
part of the glass was scanned, from that part's corner, as in ``findings.geojson``.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import shapely
from shapely.geometry import mapping, shape

from wsi_ai.core.flags import STATEMENT
from wsi_ai.service.rooms.notes import Kept

_COLOUR = [0, 114, 178]  # blue of Okabe and Ito
_LONGEST_NAME = 80


def as_geojson(notes: Iterable[Kept], origin_px: tuple[int, int] = (0, 0)) -> dict[str, Any]:
    """``origin_px``: where on the glass QuPath counts from."""
    return {
        "type": "FeatureCollection",
        "statement": STATEMENT,
        "origin_px": list(origin_px),
        "features": [_feature(one, origin_px) for one in notes if one.body is not None],
    }


def _feature(note: Kept, origin_px: tuple[int, int]) -> dict[str, Any]:
    """QuPath takes a name of one line; the whole text is its description."""
    body = note.body or {}
    text = body["text"]
    first = text.strip().partition("\n")[0][:_LONGEST_NAME]
    at = datetime.fromtimestamp(note.at, UTC).isoformat(timespec="seconds")
    return {
        "type": "Feature",
        "id": note.note_id,
        "geometry": _geometry(body["geometry"], origin_px),
        "properties": {
            "objectType": "annotation",
            "name": f"{note.name}: {first}" if first else note.name,
            "classification": {"name": "wsi_ai note", "color": _COLOUR},
            "isLocked": True,
            "metadata": {
                "ANNOTATION_DESCRIPTION": text,
                "author": note.name,
                "trust": note.trust or "",
                "at": at,
                "revision": str(note.revision),
                "kind": body["kind"],
            },
        },
    }


def _geometry(drawn: Any, origin_px: tuple[int, int]) -> dict[str, Any]:
    """What is valid stays as it was drawn, to the number."""
    found = shape(drawn)
    if found.is_valid:
        return {"type": drawn["type"], "coordinates": _moved(drawn["coordinates"], origin_px)}
    whole = mapping(shapely.make_valid(found))
    if whole["type"] == "GeometryCollection":  # an outline with a stray line: without that
        parts = [one for one in whole["geometries"] if "Polygon" in one["type"]]
        whole = parts[0] if parts else whole["geometries"][0]
    return {"type": whole["type"], "coordinates": _moved(whole["coordinates"], origin_px)}


def _moved(coordinates: Any, origin_px: tuple[int, int]) -> Any:
    if not isinstance(coordinates[0], list | tuple):
        return [coordinates[0] - origin_px[0], coordinates[1] - origin_px[1]]
    return [_moved(one, origin_px) for one in coordinates]
