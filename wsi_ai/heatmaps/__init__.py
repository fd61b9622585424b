"""Predictions back on the slide, and what comes of them on disk."""

from wsi_ai.heatmaps.canvas import Canvas, Keep
from wsi_ai.heatmaps.grid import Grid, TileCanvas
from wsi_ai.heatmaps.journal import Journal
from wsi_ai.heatmaps.zarr import write_heatmap

__all__ = ["Canvas", "Grid", "Journal", "Keep", "TileCanvas", "write_heatmap"]
