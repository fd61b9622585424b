"""Keeps each object once: of several detections of the same object, the best stays.  Pure.

Greedy non-maximum suppression, for any number of objects: pairs that meet are found with a tree,
and in each round all objects that no better one can remove are kept at once.  The result is the
same as by going through them one by one.
"""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

Boxes = NDArray[np.float64]
Pairs = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Objects as tiles reported them."""

    boxes: Boxes
    """(n, 4) left, top, right, bottom on the slide; a point has no extent."""
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    tiles: NDArray[np.int64]
    """The tile that each is from."""
    whole: NDArray[np.bool_]
    """Whether the object is whole: not cut off by its tile's edge."""

    def __len__(self) -> int:
        return len(self.scores)

    def part(self, chosen: NDArray[np.bool_]) -> "Candidates":
        return Candidates(
            self.boxes[chosen],
            self.scores[chosen],
            self.classes[chosen],
            self.tiles[chosen],
            self.whole[chosen],
        )

    def order(self) -> NDArray[np.int64]:
        """The best first: those seen whole, then the highest score; ties by place, whatever the
        order of tiles."""
        keys = (self.boxes[:, 1], self.boxes[:, 0], -self.scores, ~self.whole)
        return np.lexsort(keys)


def same_boxes(found: Candidates, iou: float) -> Pairs:
    """(pairs, 2), the better one first: boxes of one tile that share ``iou`` of their union, of
    two tiles as much of the smaller one, which an edge may have cut."""
    pairs = _meeting(found, 0.0)
    a, b = found.boxes[pairs[:, 0]], found.boxes[pairs[:, 1]]
    width = np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0])
    height = np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1])
    common = np.maximum(width, 0) * np.maximum(height, 0)
    areas = _areas(a), _areas(b)
    apart = found.tiles[pairs[:, 0]] != found.tiles[pairs[:, 1]]
    whole = np.where(apart, np.minimum(*areas), areas[0] + areas[1] - common)
    return np.asarray(pairs[common >= iou * np.maximum(whole, 1e-12)])


def same_points(found: Candidates, radius: float) -> Pairs:
    """(pairs, 2), the better one first: points no farther apart than ``radius``."""
    pairs = _meeting(found, radius)
    away = found.boxes[pairs[:, 0], :2] - found.boxes[pairs[:, 1], :2]
    return np.asarray(pairs[np.hypot(*away.T) <= radius])


def kept(count: int, pairs: Pairs) -> NDArray[np.bool_]:
    """(count,): which stay.  In each pair the first removes the second, if it stays itself."""
    stays, open_ = np.zeros(count, np.bool_), np.ones(count, np.bool_)
    while open_.any():
        beaten = np.zeros(count, np.bool_)
        beaten[pairs[:, 1]] = True
        new = open_ & ~beaten
        stays |= new
        gone = np.zeros(count, np.bool_)
        gone[pairs[new[pairs[:, 0]], 1]] = True
        open_ &= ~new & ~gone
        pairs = pairs[open_[pairs].all(axis=1)]
    return stays


def settled(count: int, pairs: Pairs, unsettled: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(count,): those that no chain of pairs joins to one that is unsettled."""
    moving = unsettled.copy()
    while True:
        touched = moving[pairs].any(axis=1) & ~moving[pairs].all(axis=1)
        if not touched.any():
            return ~moving
        moving[pairs[touched]] = True


def _meeting(found: Candidates, reach: float) -> Pairs:
    """(pairs, 2), the better one first: whose boxes, grown by half of ``reach``, meet."""
    if not len(found):
        return np.empty((0, 2), np.int64)
    grown = found.boxes + np.array([-1, -1, 1, 1]) * reach / 2
    shapes = shapely.box(*grown.T)
    one, other = shapely.STRtree(shapes).query(shapes)
    rank = np.empty(len(found), np.int64)
    rank[found.order()] = np.arange(len(found))
    better = rank[one] < rank[other]
    return np.stack([one[better], other[better]], axis=1).astype(np.int64)


def _areas(boxes: Boxes) -> NDArray[np.float64]:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
