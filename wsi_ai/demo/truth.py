"""What is where on a sample slide, as QuPath reads and writes it: a GeoJSON FeatureCollection."""

import cv2
import numpy as np

from wsi_ai.demo.frame import CELL_PX, F16, U8
from wsi_ai.demo.plan import Plan

Ring = list[list[float]]
LARGEST_TRACED = 2000  # samples across: bounds the memory of tracing a large slide


def truth_of(plan: Plan) -> dict[str, object]:
    """Tissue, Tumor, Pen and Out of focus polygons in level-0 px, holes included.

    The drawn edge strays up to 70 px from them, and Tumor takes in the stroma between nests.
    """
    layers = (
        ("Tissue", (0, 160, 0), plan.tissue),
        ("Tumor", (200, 0, 0), plan.tumour),
        ("Pen", (0, 0, 200), plan.ink.inside),
        ("Out of focus", (128, 128, 128), plan.blur),
    )
    features = [
        _feature(name, colour, rings)
        for name, colour, inside in layers
        for rings in outlines(inside, plan.size_px)
    ]
    return {"type": "FeatureCollection", "features": features}


def _feature(name: str, colour: tuple[int, int, int], rings: list[Ring]) -> dict[str, object]:
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": rings},
        "properties": {
            "objectType": "annotation",
            "classification": {"name": name, "color": list(colour)},
        },
    }


def outlines(inside: F16, size_px: int) -> list[list[Ring]]:
    """Polygons (outer ring, then holes) where a map of the plan is positive: simple, closed."""
    mask, step = _traceable(inside, size_px)
    found, tree = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    polygons: dict[int, list[Ring]] = {}
    parents = [int(row[3]) for row in tree[0]] if len(found) else []
    for holes in (False, True):
        for i, contour in enumerate(found):
            if (parents[i] >= 0) != holes or len(contour) < 24:
                continue
            pts = cv2.approxPolyDP(contour, 0.8, True)[:, 0].astype(float)
            ring = ((pts + 0.5) * step - CELL_PX).round(1).tolist()
            if holes and parents[i] in polygons:
                polygons[parents[i]].append([*ring, ring[0]])
            elif not holes:
                polygons[i] = [[*ring, ring[0]]]
    return list(polygons.values())


def _traceable(inside: F16, size_px: int) -> tuple[U8, float]:
    """The map as a mask in which no part is thin or touches another, and its step in px.

    Opened, then three samples for one with the outermost taken away: so the outlines never meet,
    and simplifying by less than a sample keeps them apart.
    """
    factor = int(np.clip(LARGEST_TRACED // inside.shape[0], 1, 4))
    side, cells = inside.shape[0] * factor, inside.astype(np.float32)
    side, cells = inside.shape[0] * factor, inside.astype(np.float32)
    big = np.asarray(cv2.resize(cells, (side, side), interpolation=cv2.INTER_LINEAR))
    at = (np.arange(big.shape[0]) + 0.5) * CELL_PX / factor - CELL_PX
    within = (at > 0) & (at < size_px)
    mask = ((big > 0) & within[:, None] & within).astype(np.uint8)
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8)), np.uint8)
    mask = np.pad(mask.repeat(3, 0).repeat(3, 1), 1)
    thin = np.asarray(cv2.erode(mask, np.ones((3, 3), np.uint8)), np.uint8)[1:-1, 1:-1]
    return np.ascontiguousarray(thin), CELL_PX / (3 * factor)
