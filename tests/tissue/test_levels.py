"""A level of other colours than the rest has been damaged in what its tiles share."""

import numpy as np
import pytest

from tests.tissue.test_overview import painted
from wsi_ai.core.flags import Status
from wsi_ai.core.geometry import Size
from wsi_ai.testing import PaintedSlide
from wsi_ai.tissue.mask import find_tissue
from wsi_ai.tissue.quality import QualityLimits, check_quality
from wsi_ai.tissue.thumbnail import take_thumbnail
from wsi_ai.triage.gates import quality_gate


class Recoloured(PaintedSlide):
    """One level is darker by some grey levels, or cannot be read."""

    level, darker = 0, 0.0

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        pixels = super().read(level, x, y, width, height)
        return np.clip(pixels - self.darker * (level == self.level), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("darker", [0, 10, 25])
def test_levels_of_different_colours_stop_a_slide(level: int, darker: int) -> None:
    whole = painted()
    slide = Recoloured(Size(3600, 2400), whole.spacing, (1.0, 4.0), whole.paint)
    slide.level, slide.darker = level, darker
    seen = take_thumbnail(slide)
    quality = check_quality(slide, seen, find_tissue(slide.info, seen), QualityLimits(focus_min=0))
    levels = next(check for check in quality.checks if check.name == "levels")
    assert (levels.status is Status.PASS) == (darker <= 10)
    assert ("of one colour at all levels" in str(quality_gate(quality))) == (darker > 10)
