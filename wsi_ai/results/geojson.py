"""Findings as GeoJSON that QuPath imports (File → Import objects from file).

A FeatureCollection (RFC 7946) whose coordinates are level-0 pixels, counted from where QuPath
begins: of a slide whose file says which part of the glass was scanned (Leica SCN, MIRAX), from that
part's corner.  ``origin_px`` says where on the whole glass that is.
The properties are QuPath's own
(https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html).
"""

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from wsi_ai.core.flags import Finding, Flag, statement_of

_COLOUR = [213, 94, 0]  # vermillion of Okabe and Ito, as in the overlay


def write_geojson(path: Path, flag: Flag) -> None:
    """One annotation per finding, whole and unsimplified; there may be tens of thousands, and one
    may have hundreds of thousands of corners, none of which is held as text.  Raises OSError where
    the disk refuses."""
    head: dict[str, Any] = {"type": "FeatureCollection", "statement": statement_of(flag.model)}
    head |= {"origin_px": list(flag.slide.bounds_origin), "features": []}
    before, after = json.dumps(head, indent=2, ensure_ascii=False).rsplit("]", 1)
    with path.open("w", encoding="utf-8") as file:
        file.write(before)
        for n, finding in enumerate(flag.findings):
            file.write(",\n    " if n else "\n    ")
            text = json.dumps(_feature(flag, finding), indent=2, ensure_ascii=False)
            begun, rest = text.replace("\n", "\n    ").split("[]", 1)
            file.write(begun)
            file.writelines(_coordinates(flag, finding))
            file.write(rest)
        file.write(("\n  " if flag.findings else "") + f"]{after}\n")


def _feature(flag: Flag, finding: Finding) -> dict[str, Any]:
    """Without its coordinates, which are the first list in it."""
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": []},
        "properties": {
            "objectType": "annotation",
            "name": f"AI: {finding.label} (unverified)",
            "classification": {"name": finding.label, "color": _COLOUR},
            "isLocked": True,
            "measurements": {
                "Peak score": finding.peak,
                "Mean score": finding.mean,
                "Threshold": flag.threshold,
                "Area mm^2": finding.area_mm2,
                "Tiles": finding.cells,
            },
        },
    }


def _coordinates(flag: Flag, finding: Finding) -> Iterator[str]:
    """The rings, closed, the outer one first: as ``json`` would indent them."""
    left, top = flag.slide.bounds_origin
    margin = "\n" + 10 * " "
    yield "["
    for n, ring in enumerate((finding.outline, *finding.holes)):
        yield f"{',' if n else ''}{margin}["
        for m, (x, y) in enumerate(chain(ring, ring[:1])):
            place = f"{margin}    {x - left!r},{margin}    {y - top!r}"
            yield f"{',' if m else ''}{margin}  [{place}{margin}  ]"
        yield f"{margin}]"
    yield margin[:-2] + "]"
