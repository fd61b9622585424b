"""Shrinking is area averaging, nearly."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from wsi_ai.core.geometry import Size
from wsi_ai.slides.readers.tiff.reader import open_slide
from wsi_ai.tiles.reading.shrink import shrinker


@pytest.mark.parametrize(
    ("read", "least_db"),
    [(230, 55), (300, 44), (336, 42), (418, 53), (448, 80), (560, 46), (700, 55), (890, 57)],
)
def test_tissue_shrinks_as_by_area_averaging(cmu: Path, read: int, least_db: float) -> None:
    out = np.empty((224, 224, 3), np.uint8)
    apart = []
    with open_slide(cmu) as slide:
        for x in range(300, 1300, 300):
            tile = slide.read(0, x, 900, read, read)
            shrinker(Size(read, read), Size(224, 224))(tile, out)
            exact = cv2.resize(tile, (224, 224), interpolation=cv2.INTER_AREA)
            apart.append(np.square(out.astype(float) - exact).mean())
    assert 10 * np.log10(255**2 / max(float(np.mean(apart)), 1e-9)) > least_db


def test_neighbours_meet_without_a_border() -> None:
    """A ramp across two tiles stays a ramp."""
    ramp = np.broadcast_to(np.linspace(0, 250, 836).astype(np.uint8)[None, :, None], (418, 836, 3))
    halves = [np.empty((224, 224, 3), np.uint8) for _ in range(2)]
    shrink = shrinker(Size(418, 418), Size(224, 224))
    for n, half in enumerate(halves):
        shrink(np.ascontiguousarray(ramp[:, n * 418 : (n + 1) * 418]), half)
    steps = np.diff(np.concatenate(halves, axis=1)[0, :, 0].astype(int))
    assert steps.min() >= 0
    assert steps.max() <= 2
