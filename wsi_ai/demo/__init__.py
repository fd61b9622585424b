"""Synthetic slides with a ground truth, for trying things out and for tests."""

from wsi_ai.demo.sample import write_sample_slide
from wsi_ai.demo.spec import SampleSpec

__all__ = ["SampleSpec", "write_sample_slide"]
