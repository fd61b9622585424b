"""Net benefit: true positives per case, less false positives at the rate of exchange that the
threshold stands for (Vickers and Elkin 2006, Med Decis Making 26: 565)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_ai.trial.evidence.estimates import NotEstimable, check_columns
from wsi_ai.trial.evidence.shares import NO_CASES


def net_benefit(
    score: NDArray[np.floating[Any]], truth: NDArray[np.bool_], threshold: float
) -> float | NotEstimable:
    """Of acting where the score reaches the threshold, itself a probability.

    At 0 nothing that is found costs anything, and at 1 everything does: neither is a threshold.
    """
    check_columns(score, truth)
    if not 0 < threshold < 1:
        raise ValueError(f"a threshold is between 0 and 1, got {threshold}")
    if not len(truth):
        return NO_CASES
    acted = score >= threshold
    hits, false_alarms = int((acted & truth).sum()), int((acted & ~truth).sum())
    return (hits - false_alarms * threshold / (1 - threshold)) / len(truth)


def net_benefit_of_all(truth: NDArray[np.bool_], threshold: float) -> float | NotEstimable:
    """Of acting on every case."""
    return net_benefit(np.ones(len(truth)), truth, threshold)
