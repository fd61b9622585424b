"""Results as QuPath takes them: a script that lays them on the open slide, and tiles on request.

QuPath itself is not among what the tests have: the script runs there against stand-ins.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from wsi_ai.core.flags import STATEMENT
from wsi_ai.errors import OutputError, disk_errors
from wsi_ai.results.written import FINDINGS, FINDINGS_BYTES, RECORD, read_object

SCRIPT = "wsi_ai.groovy"
TILES = "tiles.geojson"
_COLOUR = [0, 114, 178]
_BROKEN = (OSError, ValueError, LookupError, TypeError)


def write_script(out: Path) -> Path:
    """``OUT/wsi_ai.groovy``, which knows where OUT is.  Raises OutputError."""
    text = Path(__file__).with_name(SCRIPT).read_text("utf-8")
    with disk_errors():
        path = out / SCRIPT
        path.write_text(text.replace("@OUT@", _quoted(str(out.resolve()))), "utf-8")
    return path


def tiles_folder(out: Path, results: Path) -> Path:
    """Beside the results, which stay as they were written."""
    return out / "qupath" / results.parent.name / results.name


def write_tiles(results: Path, to: Path) -> int:
    """Each assessed cell of ``results`` as a detection with the score of every class; how many.

    Coordinates as in ``geojson``.  Raises OutputError where the results cannot be read.
    """
    try:
        record = read_object(results / RECORD)
        origin = _origin(results / FINDINGS)
        cells = list(_cells(results / "heatmap.ome.zarr", record["slide"]))
    except _BROKEN:
        raise OutputError("a folder of results has no heatmap that can be read") from None
    with disk_errors():
        to.mkdir(parents=True, exist_ok=True)
        with (to / TILES).open("w", encoding="utf-8") as file:
            head = {"statement": STATEMENT, "origin_px": origin}
            file.write(json.dumps({"type": "FeatureCollection", **head})[:-1] + ', "features": [')
            for n, (box, scores) in enumerate(cells):
                file.write(",\n" if n else "\n")
                json.dump(_feature(box, scores, origin), file, ensure_ascii=False)
            file.write("\n]}\n")
    return len(cells)


def _cells(path: Path, slide: dict[str, Any]) -> Iterator[tuple[list[float], dict[str, float]]]:
    """Left, top, right and bottom in level-0 pixels, cut off at the slide's edge; the scores."""
    group = zarr.open_group(path, mode="r")
    ome: Any = group.attrs["ome"]
    scale = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"]
    step_x, step_y = scale[2] / slide["mpp_x"], scale[1] / slide["mpp_y"]
    names = [str(one["label"]) for one in ome["omero"]["channels"]]
    level: Any = group["0"]
    scores = np.asarray(level[:])
    for row, col in np.argwhere(np.isfinite(scores).all(axis=0)).tolist():
        left, top = col * step_x, row * step_y
        right = min(left + step_x, slide["width"])
        box = [left, top, right, min(top + step_y, slide["height"])]
        values = scores[:, row, col].round(4).tolist()
        yield [round(edge, 2) for edge in box], dict(zip(names, values, strict=True))


def _quoted(text: str) -> str:
    """For Groovy's single quotes, whatever stands in a folder's name."""
    for sign, escaped in (("\\", r"\\"), ("'", r"\'"), ("\n", r"\n"), ("\r", r"\r")):
        text = text.replace(sign, escaped)
    return text


def _origin(path: Path) -> list[int]:
    content = read_object(path, FINDINGS_BYTES)
    return [int(value) for value in content.get("origin_px", (0, 0))]


def _feature(box: list[float], scores: dict[str, float], origin: list[int]) -> dict[str, Any]:
    left, top, right, bottom = (edge - origin[n % 2] for n, edge in enumerate(box))
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "objectType": "detection",
            "classification": {"name": "wsi_ai: tile", "color": _COLOUR},
            "measurements": {f"wsi_ai score: {name}": value for name, value in scores.items()},
        },
    }
