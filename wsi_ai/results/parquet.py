"""Scores as a table for people who compute: Apache Parquet, a row for each planned tile.

Units stand in the file's own metadata: of each column under ``unit``, of the whole under
``wsi_ai``.  Places are counted from the slide's top left corner.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import Task
from wsi_ai.core.flags import STATEMENT
from wsi_ai.core.plugins import from_extra
from wsi_ai.core.values import Heatmap, Objects
from wsi_ai.errors import OutputError

_VERSION = 1
_SIDES = ("x", "y", "width", "height")


def check_parquet() -> None:
    """Raises OutputError where Parquet cannot be written."""
    _library()


def write_tables(folder: Path, heatmap: Heatmap) -> None:
    """``scores.parquet``; of a detecting model also ``objects.parquet``.  Raises OSError."""
    write = from_extra("pyarrow.parquet", "tables", OutputError).write_table
    write(score_table(heatmap), folder / "scores.parquet")
    if heatmap.objects is not None:
        write(_object_table(heatmap, heatmap.objects), folder / "objects.parquet")


def score_table(heatmap: Heatmap) -> Any:
    """A ``pyarrow.Table`` with a row for each planned tile, or cell of a segmentation, row by row;
    where there is no score it is null, and ``assessed`` is false."""
    pa = _library()

    rows, cols = np.nonzero(heatmap.planned)
    boxes = tile_boxes(heatmap, rows, cols)
    columns: dict[str, Any] = {"row": rows.astype(np.int32), "col": cols.astype(np.int32)}
    columns |= _box_columns(heatmap, boxes)
    for name, layer in zip(heatmap.channels, heatmap.scores, strict=True):
        scores = layer[rows, cols]
        kind = "attention" if heatmap.of_slide else f"score_{name}"
        columns[kind] = pa.array(scores, mask=np.isnan(scores))
    columns["assessed"] = heatmap.assessed[rows, cols]
    return _table(columns, heatmap, heatmap.model.cell_name)


def tile_boxes(
    heatmap: Heatmap, rows: NDArray[np.intp], cols: NDArray[np.intp]
) -> NDArray[np.float64]:
    """(tiles, 4): left, top, width and height in level-0 pixels of what the network saw for these
    cells; of a segmentation, of the cells themselves."""
    step, tile = heatmap.step, heatmap.model.tile
    lead, width, height = 0.0, step.x, step.y
    if heatmap.model.task is not Task.SEGMENTATION:
        lead, share = tile.lead_px / tile.stride_px, tile.size_px / tile.stride_px
        width, height = step.x * share, step.y * share
    left, top = (cols - lead) * step.x, (rows - lead) * step.y
    return np.stack(
        [left, top, np.full(len(left), width), np.full(len(left), height)], axis=1
    ).astype(np.float64)


def _box_columns(heatmap: Heatmap, boxes: NDArray[np.float64]) -> dict[str, Any]:
    spacing = heatmap.slide.known_spacing()
    um = boxes * [spacing.x_um, spacing.y_um, spacing.x_um, spacing.y_um]
    found = {f"{side}_px": boxes[:, n] for n, side in enumerate(_SIDES)}
    return found | {f"{side}_um": um[:, n] for n, side in enumerate(_SIDES)}


def _object_table(heatmap: Heatmap, objects: Objects) -> Any:
    """A row for each object, the highest score first."""
    pa = _library()

    order = (-objects.scores).argsort(kind="stable")
    corners = objects.boxes[order]
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    names = pa.array(list(heatmap.model.classes))
    kinds = pa.DictionaryArray.from_arrays(objects.classes[order].astype(np.int32), names)
    columns = _box_columns(heatmap, boxes) | {"score": objects.scores[order], "class": kinds}
    return _table(columns, heatmap, "object")


def _table(columns: dict[str, Any], heatmap: Heatmap, row: str) -> Any:
    pa = _library()

    made = pa.table(columns)
    fields = [
        field.with_metadata({"unit": unit}) if (unit := _unit(field.name)) else field
        for field in made.schema
    ]
    about = {"wsi_ai": json.dumps(_about(heatmap, row), ensure_ascii=False)}
    return made.cast(pa.schema(fields, about))


def _library() -> Any:
    return from_extra("pyarrow", "tables", OutputError)


def _unit(column: str) -> str:
    """Level-0 pixels, micrometres, or a share of 1; none of a name or a truth."""
    ends = {"_px": "level-0 pixel", "_um": "micrometre"}
    found = next((unit for end, unit in ends.items() if column.endswith(end)), "")
    return found or ("1" if column.startswith(("score", "attention")) else "")


def _about(heatmap: Heatmap, row: str) -> dict[str, Any]:
    slide, model, spacing = heatmap.slide, heatmap.model, heatmap.slide.known_spacing()
    return {
        "version": _VERSION,
        "row": row,
        "origin": "the slide's top left corner; x to the right, y down",
        "slide_sha256": slide.fingerprint,
        "slide_px": [slide.size.width, slide.size.height],
        "um_per_px": [spacing.x_um, spacing.y_um],
        "model": model.ref.label,
        "weights_sha256": model.ref.sha256,
        "task": model.task.value,
        "classes": list(model.classes),
        "operating_point": {"class": model.point.label, "threshold": model.point.threshold},
        "step_px": [heatmap.step.x, heatmap.step.y],
        "limited": heatmap.limited,
        "statement": STATEMENT,
    }
