"""Predictions back on the slide, and what comes of them on disk."""

from wsi_ai.heatmaps.attention import SlideCanvas
from wsi_ai.heatmaps.canvas import Canvas, Keep
from wsi_ai.heatmaps.dense import DenseCanvas
from wsi_ai.heatmaps.found import ObjectsCanvas
from wsi_ai.heatmaps.grid import Grid, TileCanvas
from wsi_ai.heatmaps.journal import Journal
from wsi_ai.heatmaps.vectors import VectorCanvas, Vectors
from wsi_ai.heatmaps.vectors_hdf5 import check_hdf5, write_hdf5
from wsi_ai.heatmaps.zarr import write_heatmap

__all__ = [
    "Canvas",
    "DenseCanvas",
    "Grid",
    "Journal",
    "Keep",
    "ObjectsCanvas",
    "SlideCanvas",
    "TileCanvas",
    "VectorCanvas",
    "Vectors",
    "check_hdf5",
    "write_hdf5",
    "write_heatmap",
]
