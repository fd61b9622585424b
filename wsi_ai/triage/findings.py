"""Connected regions of positive cells, as polygons on the slide.  Pure."""

import cv2
import numpy as np
import shapely

from wsi_ai.core.flags import Finding, Ring
from wsi_ai.core.values import Heatmap, Mask


def find_regions(heatmap: Heatmap, positive: Mask) -> tuple[Finding, ...]:
    """One finding for each piece of ``positive`` (rows, cols) whose cells share edges, the largest
    first.  Outlines follow the cells' edges and stay inside the slide."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        positive.view(np.uint8), connectivity=4
    )
    found, layer = list[Finding](), heatmap.scores[heatmap.model.positive_class]
    places = dict[float, float]()
    for n in range(1, count):
        left, top, width, height = (int(v) for v in stats[n, :4])
        window = np.s_[top : top + height, left : left + width]
        own = labels[window] == n
        scores = layer[window][own]
        shape = _outline(heatmap, own, top, left)
        found.append(
            Finding(
                label=heatmap.model.point.label,
                outline=_ring(shape.exterior, places),
                holes=tuple(_ring(hole, places) for hole in shape.interiors),
                peak=float(scores.max()),
                mean=float(scores.mean(dtype=np.float64)),
                area_mm2=int(own.sum()) * heatmap.cell_mm2,
                cells=int(own.sum()),
            )
        )
    return tuple(sorted(found, key=lambda f: (-f.cells, -f.peak, f.outline)))


def _outline(heatmap: Heatmap, own: Mask, top: int, left: int) -> shapely.Polygon:
    """Joins runs of cells to one polygon, in level-0 pixels."""
    edges = np.diff(np.pad(own.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    step, size = heatmap.step, heatmap.slide.size
    boxes = shapely.box(
        (left + starts) * step.x,
        (top + rows) * step.y,
        np.minimum((left + ends) * step.x, size.width),
        np.minimum((top + rows + 1) * step.y, size.height),
    )
    return shapely.union_all(boxes, grid_size=0.01).normalize()


def _ring(line: shapely.LinearRing, places: dict[float, float]) -> Ring:
    """The corners of a polygon; each number is held once, in ``places``, for all lie on one
    grid."""
    rounded = ((round(x, 2), round(y, 2)) for x, y in line.coords[:-1])
    return tuple((places.setdefault(x, x), places.setdefault(y, y)) for x, y in rounded)
