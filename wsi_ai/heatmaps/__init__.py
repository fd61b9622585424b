"""Predictions back on the slide; what is inferred survives a kill."""

from wsi_ai.heatmaps.canvas import Canvas, Keep
from wsi_ai.heatmaps.classification import Grid, TileCanvas
from wsi_ai.heatmaps.detection import ObjectsCanvas
from wsi_ai.heatmaps.embedding import VectorCanvas, Vectors
from wsi_ai.heatmaps.embedding_hdf5 import check_hdf5, write_hdf5
from wsi_ai.heatmaps.journal import Journal
from wsi_ai.heatmaps.segmentation import DenseCanvas
from wsi_ai.heatmaps.slide_classification import SlideCanvas
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
