"""Findings as GeoJSON that QuPath imports (File → Import objects from file).

A FeatureCollection (RFC 7946) whose coordinates are level-0 pixels, as QuPath takes them; the
properties are QuPath's own (https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from textwrap import indent
from typing import Any

from wsi_ai.flags import STATEMENT, Finding, Flag, Ring

_COLOUR = [213, 94, 0]  # vermillion of Okabe and Ito, as in the overlay


def write_geojson(path: Path, flag: Flag) -> None:
    """One annotation per finding, whole and unsimplified; there may be tens of thousands, of which
    one is held as text.  Raises OSError where the disk refuses."""
    head = {"type": "FeatureCollection", "statement": STATEMENT, "features": []}
    before, after = json.dumps(head, indent=2, ensure_ascii=False).rsplit("]", 1)
    with path.open("w", encoding="utf-8") as file:
        file.write(before)
        for n, finding in enumerate(flag.findings):
            text = json.dumps(_feature(flag, finding), indent=2, ensure_ascii=False)
            file.write(",\n" if n else "\n")
            file.write(indent(text, "    "))
        file.write(("\n  " if flag.findings else "") + f"]{after}\n")


def _feature(flag: Flag, finding: Finding) -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": _rings(finding.outline, finding.holes)},
        "properties": {
            "objectType": "annotation",
            "name": f"AI: {finding.label} (unverified)",
            "classification": {"name": finding.label.capitalize(), "color": _COLOUR},
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


def _rings(outline: Ring, holes: Sequence[Ring]) -> list[list[list[float]]]:
    """Closed, the outer one first."""
    return [[[x, y] for x, y in (*ring, ring[0])] for ring in (outline, *holes)]
