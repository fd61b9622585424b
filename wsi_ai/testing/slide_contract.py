"""What every slide promises, as a test class: derive from it and say how to open yours.

>>> class TestMySlide(SlideContract):                  # doctest: +SKIP
...     @pytest.fixture
...     def slide(self):
...         with open_slide(PATH) as slide:
...             yield slide
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from wsi_ai.core.contracts import EncodedSlide, Slide
from wsi_ai.slides.codecs import decoder

_SIDE = 160
_ALIKE_GREY_LEVELS = 12.0
"""Most difference between levels, on average: scanners shrink in different ways."""


class SlideContract:
    """A pytest class; ``slide`` is an open slide whose pixels can all be read."""

    @pytest.fixture
    def slide(self) -> Iterator[Slide]:
        raise NotImplementedError("say how to open the slide")

    def test_it_says_what_it_is(self, slide: Slide) -> None:
        info = slide.info
        assert info.size.width > 0
        assert info.size.height > 0
        assert info.downsamples[0] == 1
        assert sorted(info.downsamples) == list(info.downsamples)
        assert len(bytes.fromhex(info.fingerprint)) == 32

    def test_a_region_is_made_of_its_parts(self, slide: Slide) -> None:
        x, y = _inside(slide)
        whole = slide.read(0, x, y, _SIDE, _SIDE)
        assert whole.shape == (_SIDE, _SIDE, 3)
        assert whole.dtype == np.uint8
        for dx, dy, width, height in (
            (0, 0, 99, 61),
            (99, 0, 61, 61),
            (0, 61, 99, 99),
            (99, 61, 61, 99),
        ):
            part = slide.read(0, x + dx, y + dy, width, height)
            np.testing.assert_array_equal(part, whole[dy : dy + height, dx : dx + width])

    def test_outside_the_slide_is_white(self, slide: Slide) -> None:
        size = slide.info.size
        assert (slide.read(0, size.width, size.height, 20, 20) == 255).all()
        assert (slide.read(0, -30, -30, 30, 30) == 255).all()
        over = slide.read(0, size.width - 8, size.height - 8, 16, 16)
        assert (over[8:] == 255).all()
        assert (over[:, 8:] == 255).all()

    def test_threads_see_the_same(self, slide: Slide) -> None:
        x, y = _inside(slide)
        alone = slide.read(0, x, y, _SIDE, _SIDE)
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda _: slide.read(0, x, y, _SIDE, _SIDE), range(12)))
        for pixels in together:
            np.testing.assert_array_equal(pixels, alone)

    def test_all_levels_show_the_same_place(self, slide: Slide) -> None:
        for level, down in enumerate(slide.info.downsamples):
            height, width = (
                max(1, int(min(side, 1024) / down) - 1)
                for side in (slide.info.size.height, slide.info.size.width)
            )
            coarse = slide.read(level, 0, 0, width, height).astype(int)
            fine = slide.read(0, 0, 0, round(width * down), round(height * down))
            shrunk = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA).astype(int)
            assert np.abs(coarse - shrunk).mean() < _ALIKE_GREY_LEVELS

    def test_stored_tiles_decode_to_what_is_read(self, slide: Slide) -> None:
        if not isinstance(slide, EncodedSlide):
            pytest.skip("this slide hands out no stored tiles")
        for level, down in enumerate(slide.info.downsamples):
            stored = slide.encoded_level(level)
            tile = stored.encoding.tile
            pixels: NDArray[np.uint8] = np.full((tile.height, tile.width, 3), 255, np.uint8)
            data = stored.encoded(0, 0)
            if data is not None:
                decoder(stored.encoding)(data, pixels)
            height, width = min(tile.height, stored.size.height), min(tile.width, stored.size.width)
            x, y = (round(along * down) for along in stored.corner)
            np.testing.assert_array_equal(
                slide.read(level, x, y, width, height), pixels[:height, :width]
            )
            assert (stored.corner[0] + stored.size.width - 2) * down <= slide.info.size.width
            assert (stored.corner[1] + stored.size.height - 2) * down <= slide.info.size.height


def _inside(slide: Slide) -> tuple[int, int]:
    """A corner off every grid, in the middle of the slide."""
    size = slide.info.size
    return max(0, size.width // 2 - 77), max(0, size.height // 2 - 53)
