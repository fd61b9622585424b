"""Against stains that were mixed by the law of Beer and Lambert."""

import numpy as np
import pytest

from wsi_ai.tissue.haematoxylin import haematoxylin_density
from wsi_ai.tissue.thumbnail import Thumbnail

HAEMATOXYLIN, EOSIN = (0.65, 0.70, 0.29), (0.07, 0.99, 0.11)


def stained(haematoxylin: float, eosin: float, shape: tuple[int, int] = (40, 60)) -> Thumbnail:
    """Glass under so much optical density of each stain, whose vectors have length 1."""
    amounts = [
        amount * np.array(stain) / np.linalg.norm(stain)
        for amount, stain in ((haematoxylin, HAEMATOXYLIN), (eosin, EOSIN))
    ]
    colour = np.rint(255 * 10 ** -np.sum(amounts, axis=0))
    pixels = np.broadcast_to(colour.astype(np.uint8), (*shape, 3))
    return Thumbnail(pixels, np.zeros(shape, bool))


@pytest.mark.parametrize("eosin", [0, 0.2, 0.6])
@pytest.mark.parametrize("haematoxylin", [0, 0.1, 0.5, 0.9])
def test_haematoxylin_is_told_from_eosin(haematoxylin: float, eosin: float) -> None:
    found = haematoxylin_density(stained(haematoxylin, eosin))
    np.testing.assert_allclose(found, haematoxylin, atol=0.02)


def test_a_large_thumbnail_is_looked_at_in_little_and_keeps_its_shape() -> None:
    assert haematoxylin_density(stained(0.5, 0, (2000, 1000))).shape == (512, 256)
