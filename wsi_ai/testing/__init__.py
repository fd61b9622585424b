"""Stand-ins, for us and for plug-in authors."""

from wsi_ai.testing.slide_contract import SlideContract
from wsi_ai.testing.stand_ins import MEAN_CARD, MeanRuntime, PaintedSlide

__all__ = ["MEAN_CARD", "MeanRuntime", "PaintedSlide", "SlideContract"]
