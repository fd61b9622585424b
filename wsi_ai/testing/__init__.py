"""Stand-ins, and contracts as test classes, for us and for plug-ins."""

from wsi_ai.testing.example_flags import example_body, example_message
from wsi_ai.testing.memory_sink import MemorySink, endpoint_for
from wsi_ai.testing.object_store import ObjectStore, Stored, object_store
from wsi_ai.testing.runtime_contract import RuntimeContract
from wsi_ai.testing.sectra_data import Slide as SectraSlide
from wsi_ai.testing.sectra_pacs import SectraPacs, serving_pacs
from wsi_ai.testing.sink_contract import SinkContract
from wsi_ai.testing.slide_contract import SlideContract
from wsi_ai.testing.stand_ins import MEAN_CARD, MeanRuntime, PaintedSlide

__all__ = [
    "MEAN_CARD",
    "MeanRuntime",
    "MemorySink",
    "ObjectStore",
    "PaintedSlide",
    "RuntimeContract",
    "SectraPacs",
    "SectraSlide",
    "SinkContract",
    "SlideContract",
    "Stored",
    "endpoint_for",
    "example_body",
    "example_message",
    "object_store",
    "serving_pacs",
]
