"""Patients drawn anew, with all their cases, within each site: percentile intervals.

The draw of a patient is a weight, so an AUROC needs one sort for all draws.  The seed is the
protocol's: two people who analyse the same cases get the same interval.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_ai.trial.evidence.auroc import ONE_CLASS, Cases, Floats, Scores
from wsi_ai.trial.evidence.estimates import (
    ALPHA,
    Estimate,
    NotEstimable,
    check_alpha,
    check_columns,
    inside,
)

RUNS = 2000
_MOST_EMPTY = 0.01
_AT_ONCE = 1 << 22
"""Numbers in memory at a time, of each array."""
EMPTY = NotEstimable("drawn anew, too often no patient of one kind is there")


@dataclass(frozen=True, slots=True)
class Draws:
    """How patients are drawn."""

    seed: int
    runs: int = RUNS
    alpha: float = ALPHA

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        if self.runs < 1:
            raise ValueError(f"there is 1 run or more, got {self.runs}")


@dataclass(frozen=True, slots=True, eq=False)
class SiteScores:
    """One site's cases; a case that was not assessed may have the score -inf."""

    score: Scores
    cases: Cases

    def __post_init__(self) -> None:
        check_columns(self.score, self.cases.truth)
        if np.isnan(self.score).any():
            raise ValueError("a score is a number; a case that was not assessed may have -inf")


Weights = NDArray[np.int64]
"""(runs, cases): how often a case is there."""


def auroc_interval(sites: Sequence[SiteScores], draws: Draws) -> Estimate | NotEstimable:
    """Of the area over all pairs whose two cases are of one site."""
    rng = np.random.default_rng(draws.seed)
    right, pairs = np.zeros(draws.runs), np.zeros(draws.runs)
    at, of = 0.0, 0.0
    for site in sites:
        ones = np.ones((1, len(site.score)), np.int64)
        whole = _right(site, ones)
        at, of = at + float(whole[0][0]), of + float(whole[1][0])
        for start, weights in _drawn(site.cases.patient, draws.runs, rng):
            found = _right(site, weights)
            right[start : start + len(weights)] += found[0]
            pairs[start : start + len(weights)] += found[1]
    return _percentiles(at, of, (right, pairs), draws) if of else ONE_CLASS


def share_interval(
    hit: NDArray[np.bool_], patient: NDArray[np.int64], draws: Draws
) -> Estimate | NotEstimable:
    """Of a share of cases."""
    check_columns(hit, patient)
    if not len(hit):
        return NotEstimable("there is no such case")
    rng = np.random.default_rng(draws.seed)
    hits, cases = np.zeros(draws.runs), np.zeros(draws.runs)
    for start, weights in _drawn(patient, draws.runs, rng):
        hits[start : start + len(weights)] = weights @ hit
        cases[start : start + len(weights)] = weights.sum(1)
    return _percentiles(float(hit.sum()), float(len(hit)), (hits, cases), draws)


def _percentiles(
    at: float, of: float, drawn: tuple[Floats, Floats], draws: Draws
) -> Estimate | NotEstimable:
    there = drawn[1] > 0
    if 1 - there.mean() > _MOST_EMPTY:
        return EMPTY
    values = drawn[0][there] / drawn[1][there]
    low, high = np.quantile(values, [draws.alpha / 2, 1 - draws.alpha / 2])
    if low == high:
        return NotEstimable("every draw gives the same, so nothing shows how far chance could go")
    return inside(at / of, float(low), float(high), (0, 1))


def _drawn(
    patient: NDArray[np.int64], runs: int, rng: np.random.Generator
) -> Iterator[tuple[int, Weights]]:
    """As many runs at once as fit; the draws are the same however many do."""
    _, of = np.unique(patient, return_inverse=True)
    if not len(of):
        return
    patients = int(of.max()) + 1
    block = max(1, _AT_ONCE // len(of))
    for start in range(0, runs, block):
        size = min(block, runs - start)
        yield start, rng.multinomial(patients, np.full(patients, 1 / patients), size)[:, of]


def _right(site: SiteScores, weights: Weights) -> tuple[Floats, Floats]:
    """Of each run, the weight of pairs in the right order, ties half, and that of all pairs."""
    _, group = np.unique(site.score, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    truth, sorted_weights = site.cases.truth[order], weights[:, order]
    if not len(starts):
        return np.zeros(len(weights)), np.zeros(len(weights))
    positive = np.add.reduceat(sorted_weights * truth, starts, axis=1)
    negative = np.add.reduceat(sorted_weights * ~truth, starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    right = (positive * (2 * below + negative)).sum(1) / 2
    return right, positive.sum(1).astype(np.float64) * negative.sum(1)
