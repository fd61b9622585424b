"""Outlines of the regions that were found, and objects, as few bytes as a browser needs."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from wsi_ai.results.written import FINDINGS_BYTES
from wsi_ai.schemas.reading import Unreadable, content_of

MOST_REGIONS, MOST_OBJECTS = 20_000, 100_000
_LARGEST_PX = 1 << 24


@dataclass(frozen=True, slots=True)
class Region:
    """One region that was found."""

    peak: float
    mean: float
    area_mm2: float
    rings: tuple[tuple[int, ...], ...]
    """x, y, x, y, … in level-0 pixels of the whole glass; the outer one first, none closed."""


def regions_json(path: Path) -> bytes:
    """Of a ``findings.geojson``, the highest scores first, at most ``MOST_REGIONS``; ``total`` says
    how many there are.  Raises OSError, or ValueError where it is not as it should be."""
    try:
        content = json.loads(content_of(path, FINDINGS_BYTES))
        left, top = content.get("origin_px", (0, 0))
        found = [_region(one, int(left), int(top)) for one in content["features"]]
    except (KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        raise Unreadable("holds no regions") from None
    found.sort(key=lambda one: (-one.peak, -one.area_mm2))
    shown = [
        {"peak": one.peak, "mean": one.mean, "area_mm2": one.area_mm2, "rings": one.rings}
        for one in found[:MOST_REGIONS]
    ]
    return json.dumps({"total": len(found), "regions": shown}, separators=(",", ":")).encode()


def objects_bytes(path: Path, kind: str) -> bytes:
    """Of an ``objects.csv``: x, y and score of each object of one class as float32, the highest
    scores first, at most ``MOST_OBJECTS``.  Raises OSError or ValueError."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(islice(_objects(file, kind), MOST_OBJECTS))
    points = np.asarray(rows, "<f4").reshape(-1, 3)
    if not np.isfinite(points).all():
        raise Unreadable("holds an object that is nowhere")
    return points.tobytes()


def _objects(file: Any, kind: str) -> Iterator[tuple[float, float, float]]:
    try:
        for row in csv.DictReader(file):
            if row["class"] == kind:
                yield float(row["x_px"]), float(row["y_px"]), float(row["score"])
    except (KeyError, TypeError, csv.Error):
        raise Unreadable("holds no objects") from None


def _region(feature: Any, left: int, top: int) -> Region:
    geometry, found = feature["geometry"], feature["properties"]["measurements"]
    if geometry["type"] != "Polygon":
        raise TypeError
    names = "Peak score", "Mean score", "Area mm^2"
    peak, mean, area_mm2 = (_number(found[name]) for name in names)
    rings = tuple(_ring(ring, left, top) for ring in geometry["coordinates"])
    return Region(peak, mean, area_mm2, rings)


def _ring(points: Any, left: int, top: int) -> tuple[int, ...]:
    """Counted from where QuPath begins; here from the corner of the glass."""
    return tuple(
        _place(value + origin) for x, y in points[:-1] for value, origin in ((x, left), (y, top))
    )


def _place(value: float) -> int:
    if not abs(value) <= _LARGEST_PX:
        raise TypeError
    return round(value)


def _number(value: Any) -> float:
    if not (isinstance(value, int | float) and np.isfinite(value)):
        raise TypeError
    return round(float(value), 4)
