"""Objects as QuPath detections in GeoJSON, and as a table.

Both are written line by line, because there may be a million.  Coordinates are level-0 pixels; in
GeoJSON they are counted from where QuPath begins, see ``geojson``.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.flags import statement_of
from wsi_ai.core.values import Objects

_COLOURS = ([213, 94, 0], [0, 114, 178], [0, 158, 115], [204, 121, 167])  # Okabe and Ito 2008
_COLUMNS = ("x_px", "y_px", "left_px", "top_px", "right_px", "bottom_px", "score", "class")


def write_objects(
    folder: Path, objects: Objects, card: ModelCard, origin_px: tuple[int, int] = (0, 0)
) -> None:
    """``objects.geojson`` and ``objects.csv``: every object once, the highest score first."""
    rows = list(_rows(objects))
    with (folder / "objects.geojson").open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "statement": ')
        file.write(
            f'{json.dumps(statement_of(card))}, "origin_px": {json.dumps(origin_px)}, "features": ['
        )
        for n, row in enumerate(rows):
            file.write(",\n" if n else "\n")
            json.dump(_feature(row, card, origin_px), file, ensure_ascii=False)
        file.write("\n]}\n")
    with (folder / "objects.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(_COLUMNS)
        for box, score, kind in rows:
            middle = [round((box[0] + box[2]) / 2, 2), round((box[1] + box[3]) / 2, 2)]
            table.writerow([*middle, *box, score, card.classes[kind]])


def _rows(objects: Objects) -> Iterator[tuple[list[float], float, int]]:
    for n in (-objects.scores).argsort(kind="stable").tolist():
        box = [round(float(edge), 2) for edge in objects.boxes[n]]
        yield box, round(float(objects.scores[n]), 4), int(objects.classes[n])


def _feature(
    row: tuple[list[float], float, int], card: ModelCard, origin_px: tuple[int, int]
) -> dict[str, Any]:
    box, score, kind = row
    box = [round(edge - origin_px[n % 2], 2) for n, edge in enumerate(box)]
    name = card.classes[kind]
    return {
        "type": "Feature",
        "geometry": _geometry(*box),
        "properties": {
            "objectType": "detection",
            "name": f"AI: {name} (unverified)",
            "classification": {
                "name": name,
                "color": _COLOURS[kind % len(_COLOURS)],
            },
            "measurements": {"Score": score},
        },
    }


def _geometry(left: float, top: float, right: float, bottom: float) -> dict[str, Any]:
    if left == right and top == bottom:
        return {"type": "Point", "coordinates": [left, top]}
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    return {"type": "Polygon", "coordinates": [ring]}
