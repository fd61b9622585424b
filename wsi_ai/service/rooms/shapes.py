"""What a note says, and where: GeoJSON's geometries in level-0 pixels of the whole glass.  Pure."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

MOST_BYTES = 64 * 1024
MOST_CHARACTERS, MOST_POINTS = 4_000, 2_000
_FARTHEST_PX = 1 << 24
_TEXT = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]*")
_GEOMETRY = {
    "point": "Point", "rectangle": "Polygon", "polygon": "Polygon", "ruler": "LineString",
}  # fmt: skip
_CORNERS = 4

Body = Mapping[str, Any]
"""``kind``, ``geometry`` (``{"type": "Polygon", "coordinates": [[[x, y], …]]}``) and ``text``.
Rings are closed, as RFC 7946 asks."""


def check_body(body: Any) -> None:
    """Raises ValueError, whose text a person can be shown."""
    if not (isinstance(body, dict) and body.keys() == {"kind", "geometry", "text"}):
        raise ValueError("a note has kind, geometry and text, and nothing else")
    _check_text(body["text"])
    _check_geometry(body["kind"], body["geometry"])
    if len(json.dumps(body).encode()) > MOST_BYTES:
        raise ValueError("the note is too large")


def _check_text(text: Any) -> None:
    if not isinstance(text, str) or len(text) > MOST_CHARACTERS:
        raise ValueError(f"the text of a note has {MOST_CHARACTERS} characters at most")
    if not _TEXT.fullmatch(text):
        raise ValueError("the text of a note has a character that cannot be kept")


def _check_geometry(kind: Any, geometry: Any) -> None:
    known = isinstance(kind, str) and kind in _GEOMETRY and isinstance(geometry, dict)
    if not known or geometry.keys() != {"type", "coordinates"}:
        raise ValueError("a note is a point, rectangle, polygon or ruler")
    if geometry["type"] != _GEOMETRY[kind]:
        raise ValueError(f"a {kind} is a {_GEOMETRY[kind]}")
    coordinates = geometry["coordinates"]
    if kind == "point":
        _check_place(coordinates)
    elif kind == "ruler":
        _check_line(coordinates)
        if len(coordinates) != 2:
            raise ValueError("a ruler has two ends")
    else:
        _check_rings(kind, coordinates)


def _check_rings(kind: str, rings: Any) -> None:
    if not (isinstance(rings, list) and len(rings) == 1):
        raise ValueError(f"a {kind} has one ring")
    _check_line(rings[0])
    if len(rings[0]) < _CORNERS or rings[0][0] != rings[0][-1]:
        raise ValueError(f"a {kind} is a ring of three corners or more, closed")
    if kind == "rectangle" and not _is_upright(rings[0]):
        raise ValueError("a rectangle has four corners, and sides along the slide's")


def _is_upright(ring: Sequence[Sequence[float]]) -> bool:
    corners = {tuple(place) for place in ring}
    across, down = {x for x, _ in corners}, {y for _, y in corners}
    return len(ring) == _CORNERS + 1 and (len(across), len(down), len(corners)) == (2, 2, _CORNERS)


def _check_line(places: Any) -> None:
    if not (isinstance(places, list) and 2 <= len(places) <= MOST_POINTS):
        raise ValueError(f"an outline has {MOST_POINTS} points at most")
    for place in places:
        _check_place(place)


def _check_place(place: Any) -> None:
    if not (isinstance(place, list) and len(place) == 2 and all(map(is_length, place))):
        raise ValueError("a place is x and y in pixels of the slide")


def is_length(value: Any) -> bool:
    """A number of level-0 pixels, which may lie off the slide a little."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= _FARTHEST_PX  # neither infinity nor NaN is
