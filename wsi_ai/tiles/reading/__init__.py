"""Turn a plan into batches of pixels."""

from wsi_ai.tiles.reading.host import HostTiles, Memory
from wsi_ai.tiles.reading.regions import RegionTiles
from wsi_ai.tiles.reading.sample import sample_pixels
from wsi_ai.tiles.reading.shared import SharedTiles

__all__ = ["HostTiles", "Memory", "RegionTiles", "SharedTiles", "sample_pixels"]
