"""Stand-ins, for us and for plug-in authors."""

from wsi_ai.testing.stand_ins import MEAN_CARD, MeanRuntime, PaintedSlide

__all__ = ["MEAN_CARD", "MeanRuntime", "PaintedSlide"]
