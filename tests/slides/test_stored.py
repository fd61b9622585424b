"""What a slide of stored tiles keeps of what it decoded."""

from tests.tiles.memory import MemoryLevel, memory_slide, noise
from wsi_ai.core.geometry import Size


def test_a_region_is_decoded_once_until_stored_tiles_are_taken() -> None:
    level = MemoryLevel(noise(256, 256), Size(64, 64))
    slide = memory_slide(level)
    for _ in range(3):
        slide.read(0, 0, 0, 128, 64)
    assert level.asked == [(0, 0), (1, 0)]
    slide.encoded_level(0)
    slide.read(0, 0, 0, 64, 64)
    assert level.asked == [(0, 0), (1, 0), (0, 0)]
