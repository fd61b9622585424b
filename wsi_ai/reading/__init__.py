"""Turn a plan into batches of pixels."""

from wsi_ai.reading.host import HostTiles, Memory
from wsi_ai.reading.regions import RegionTiles

__all__ = ["HostTiles", "Memory", "RegionTiles"]
