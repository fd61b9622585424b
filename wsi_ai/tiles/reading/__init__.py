"""Turn a plan into batches of pixels."""

from wsi_ai.reading.host import HostTiles, Memory
from wsi_ai.reading.regions import RegionTiles
from wsi_ai.reading.sample import sample_pixels
from wsi_ai.reading.shared import SharedTiles

__all__ = ["HostTiles", "Memory", "RegionTiles", "SharedTiles", "sample_pixels"]
