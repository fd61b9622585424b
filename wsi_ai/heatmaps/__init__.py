"""Predictions back on the slide's grid, and the grid on disk."""

from wsi_ai.heatmaps.grid import Canvas
from wsi_ai.heatmaps.journal import Journal
from wsi_ai.heatmaps.zarr import write_heatmap

__all__ = ["Canvas", "Journal", "write_heatmap"]
