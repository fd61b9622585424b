"""Connected regions of positive cells, as polygons on the slide.  Pure."""

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.corners import Corners
from wsi_ai.core.flags import Finding
from wsi_ai.core.values import Heatmap, Mask, bands
from wsi_ai.triage.outlines import trace_outlines


def find_regions(heatmap: Heatmap, positive: Mask) -> tuple[Finding, ...]:
    """One finding for each piece of ``positive`` (rows, cols) whose cells share edges, the largest
    first.  Outlines follow the cells' edges and stay inside the slide."""
    count, found_labels, stats, _ = cv2.connectedComponentsWithStats(
        positive.view(np.uint8), connectivity=4
    )
    labels: NDArray[np.int32] = np.asarray(found_labels, np.int32)
    ends = np.cumsum(stats[1:, cv2.CC_STAT_AREA], dtype=np.int64)
    scores = _by_region(heatmap, labels, np.concatenate([[0, 0], ends]))
    found = list[Finding]()
    for n in range(1, count):
        left, top, width, height, cells = (int(v) for v in stats[n])
        own = scores[ends[n - 1] - cells : ends[n - 1]]
        strips = _strips(labels[top : top + height, left : left + width], n)
        outer, *holes = _outlines(heatmap, strips, stats[n])
        found.append(
            Finding(
                label=heatmap.model.point.label,
                outline=outer,
                holes=tuple(holes),
                peak=float(own.max()),
                mean=float(own.mean(dtype=np.float64)),
                area_mm2=cells * heatmap.cell_mm2,
                cells=cells,
            )
        )
    return tuple(sorted(found, key=lambda f: (-f.cells, -f.peak, f.outline[0])))


def _by_region(
    heatmap: Heatmap, labels: NDArray[np.int32], begin: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The scores of all labelled cells: those of region n from ``begin[n]`` on, row by row."""
    found, free = np.empty(int(begin[-1]), np.float32), begin.copy()
    for rows in bands(len(labels)):
        here = labels[rows] > 0
        own, scores = labels[rows][here], heatmap.scores[heatmap.model.positive_class, rows][here]
        order = np.argsort(own, kind="stable")
        names, first, number = np.unique(own[order], return_index=True, return_counts=True)
        found[np.arange(len(own)) + np.repeat(free[names] - first, number)] = scores[order]
        free[names] += number
    return found


def _strips(labels: NDArray[np.int32], number: int) -> Iterator[Mask]:
    """The cells of this number, some rows at a time."""
    for rows in bands(len(labels)):
        yield labels[rows] == number


def _outlines(
    heatmap: Heatmap, strips: Iterable[Mask], stats: NDArray[np.int32]
) -> Iterator[Corners]:
    """In level-0 pixels; ``stats`` of the region begin with left, top, width and height."""
    left, top, cols, rows = (int(v) for v in stats[:4])
    step, size = heatmap.step, heatmap.slide.size
    x = np.minimum(np.arange(left, left + cols + 1) * step.x, size.width)
    y = np.minimum(np.arange(top, top + rows + 1) * step.y, size.height)
    if rows > 1:
        x, y = _to_a_hundredth(x), _to_a_hundredth(y)
    x, y = (np.array([round(place, 2) for place in along.tolist()]) for along in (x, y))
    for ring in trace_outlines(strips):
        yield Corners(np.stack([x[ring[:, 0]], y[ring[:, 1]]], axis=1))


def _to_a_hundredth(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Halves go up.  Places on one row only are rounded to even: so it was in the first results,
    and a result does not change."""
    return np.floor(places * 100 + 0.5) / 100
