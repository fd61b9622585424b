"""Data whose answers are known; see ``data/SOURCES.md``."""

import csv
import json
import os
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from hypothesis import settings
from numpy.typing import NDArray

from wsi_ai.trial.evidence.bivariate import SiteAccuracy
from wsi_ai.trial.evidence.calibration import Probabilities
from wsi_ai.trial.evidence.estimates import NotEstimable
from wsi_ai.trial.evidence.pooling import Effects
from wsi_ai.trial.evidence.shares import Share

FOLDER = Path(__file__).parent / "data"
WFNS_GOOD = np.array([37, 20, 3, 8, 4])
WFNS_POOR = np.array([2, 12, 1, 8, 18])
CT_NORMAL = np.array([33, 6, 6, 11, 2])
CT_ABNORMAL = np.array([3, 2, 2, 11, 33])


LAW = settings(max_examples=int(os.environ.get("WSI_AI_TRIAL_RUNS", "25")), deadline=None)
"""Of each property; a night may try more."""
T = TypeVar("T")


def known(value: T | NotEstimable) -> T:
    """What is estimable here."""
    assert not isinstance(value, NotEstimable), value.reason
    return value


@cache
def known_answers() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads((FOLDER / "known_answers.json").read_text())
    return found


def rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(newline="") as file:
        return list(csv.DictReader(file))


def grades(
    negatives: NDArray[np.int64], positives: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """A row a case, from counts by grade."""
    of_each = [np.repeat(np.arange(len(n)), n) for n in (negatives, positives)]
    truth = np.repeat([False, True], [negatives.sum(), positives.sum()])
    return np.concatenate(of_each).astype(float), truth


@cache
def cancer() -> Probabilities:
    return Probabilities(column("cancerpredmarker"), np.array(_text("cancer")) == "TRUE")


@cache
def column(name: str) -> NDArray[np.float64]:
    return np.array([float(value) for value in _text(name)])


def _text(name: str) -> list[str]:
    return [row[name] for row in rows("df_binary.csv")]


@cache
def bcg() -> Effects:
    """Log risk ratios."""
    names = ("tpos", "tneg", "cpos", "cneg")
    a, b, c, d = np.array([[int(row[n]) for n in names] for row in rows("bcg.csv")], float).T
    return Effects(np.log(a / (a + b) / (c / (c + d))), 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d))


@cache
def audit_c() -> tuple[SiteAccuracy, ...]:
    counts = [{k: int(v) for k, v in row.items()} for row in rows("auditc.csv")]
    return tuple(
        SiteAccuracy(Share(n["TP"], n["TP"] + n["FN"]), Share(n["FP"], n["FP"] + n["TN"]))
        for n in counts
    )
