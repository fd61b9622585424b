"""Views of a tile that are shown to a network, so that its scores can be averaged over them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import Tta


@dataclass(frozen=True, slots=True)
class Orientation:
    """Turned by quarters counterclockwise, then mirrored left to right."""

    quarters: int = 0
    mirrored: bool = False

    def of(self, tiles: Any, xp: Any) -> Any:
        """The view of square tiles (n, height, width, 3); ``xp`` is their library: numpy or
        torch."""
        turned = xp.rot90(tiles, self.quarters, (1, 2)) if self.quarters else tiles
        return xp.flip(turned, (2,)) if self.mirrored else turned

    def back(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of this view, turned back to the tile: the last two axes of (n, ..., height,
        width); (n, numbers) stays as it is."""
        if scores.ndim < 4:
            return scores
        plain = np.flip(scores, -1) if self.mirrored else scores
        return np.rot90(plain, -self.quarters, (-2, -1))


def views_of(tta: Tta) -> tuple[Orientation, ...]:
    """The views of a setting; the tile itself comes first."""
    return _VIEWS[tta]


def mean_over(
    views: Sequence[Orientation], scores: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """The mean of one array for each view; NaN where any view has no number.  Added up in the
    views' order, so that the same scores give the same mean everywhere."""
    total = np.zeros(scores[0].shape, np.float64)
    for view, part in zip(views, scores, strict=True):
        total += view.back(part)
    return np.asarray(total / len(views), np.float32)


_VIEWS = {
    Tta.NONE: (Orientation(),),
    Tta.FLIPS: (Orientation(), Orientation(0, True), Orientation(2), Orientation(2, True)),
    Tta.D4: tuple(
        Orientation(quarters, mirrored) for mirrored in (False, True) for quarters in range(4)
    ),
}
