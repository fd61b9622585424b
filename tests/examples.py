"""A heatmap and a flag to write out in tests."""

import dataclasses
from datetime import UTC, datetime

import numpy as np

from wsi_ai.core.flags import Check, Flag, Quality, Status
from wsi_ai.core.geometry import Size, Spacing, Step
from wsi_ai.core.values import Heatmap, SlideInfo
from wsi_ai.results.flag_json import Provenance
from wsi_ai.testing import MEAN_CARD
from wsi_ai.triage.judge import TriagePolicy, triage

CARD = dataclasses.replace(MEAN_CARD, classes=("stroma", "red"), intended_use="Tests.")
SLIDE = SlideInfo("S26-1234-A1-1", Size(60_000, 40_000), Spacing(0.25, 0.26), (1.0,), "f00d" * 16)
GOOD = Quality((Check("focus", 1.0, 0.6, Status.PASS, "share of spots in focus"),), 0.4)
STEP = Step(448.0, 430.76923)
PROVENANCE = Provenance(
    "wsi_ai 0", "none", "run", "0" * 64,
    datetime(2026, 6, 1, 12, tzinfo=UTC), datetime(2026, 6, 1, 12, 0, 1, 5000, tzinfo=UTC),
)  # fmt: skip


def example_heatmap(seed: int = 1) -> Heatmap:
    """(2, 92, 133): random scores, the first 20 rows planned but not assessed, the last 10
    not planned."""
    scores = np.random.default_rng(seed).random((2, 92, 133), np.float32)
    planned = np.ones((92, 133), bool)
    planned[-10:] = False
    scores[:, ~planned] = np.nan
    scores[:, :20] = np.nan
    return Heatmap(SLIDE, CARD, scores, STEP, planned)


def example_flag(heatmap: Heatmap | None = None) -> Flag:
    return triage(heatmap or example_heatmap(), TriagePolicy(), GOOD)
