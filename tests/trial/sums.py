"""A site's sums as its analysis makes them, drawn at random."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wsi_ai.trial.evidence.accuracy import FlagTable, Levels
from wsi_ai.trial.evidence.auroc import Area, auroc, separate_patients
from wsi_ai.trial.evidence.clusters import clustered_share
from wsi_ai.trial.sums import (
    SCORE_EDGES,
    Flow,
    Histogram,
    Mix,
    MixKind,
    Month,
    Origin,
    Reason,
    SiteSums,
    Subgroup,
)

DIGEST = "cd" * 32


def origin(site: str = "RXX", protocol: str = DIGEST, look: int = 1) -> Origin:
    return Origin(protocol, "ef" * 32, 1, site, look, "2027-01", "2027-03", 40, "12" * 32, False)


def drawn_sums(
    seed: int,
    made_at: Origin | None = None,
    *,
    cases: int = 300,
    levels: Sequence[str] = ("a", "b"),
) -> SiteSums:
    """Some characteristic with these levels; one case in five has the condition."""
    rng = np.random.default_rng(seed)
    ill = rng.random(cases) < 0.2
    score = np.clip(rng.normal(np.where(ill, 0.75, 0.3), 0.15), 0, 1)
    failed = rng.random(cases) < 0.04
    level = np.where(failed, 2, np.where(score >= 0.62, 0, 1))
    group = rng.integers(0, len(levels), cases)
    missing = rng.random(cases) < 0.02
    truth = np.where(missing, 2, np.where(ill, 0, 1))
    tables = tuple(_table(level[group == g], truth[group == g]) for g in range(len(levels)))
    whole = _table(level, truth)
    known = truth < 2
    place = np.where(failed, -np.inf, score)
    patients = np.arange(cases)
    return SiteSums(
        origin=made_at or origin(),
        flags=whole,
        subgroups=(Subgroup("ethnicity", tuple(levels), tables),),
        reasons=_reasons(whole),
        area=auroc(place[known], separate_patients(ill[known])),
        area_assessed=auroc(score[known & ~failed], separate_patients(ill[known & ~failed])),
        sensitivity=clustered_share(level[truth == 0] == 0, patients[truth == 0]),
        specificity=clustered_share(level[truth == 1] != 0, patients[truth == 1]),
        histogram=Histogram(
            _bins(score[(truth == 0) & ~failed]), _bins(score[(truth == 1) & ~failed])
        ),
        flow=Flow(cases, cases + 3, 0, 1, 1, 1),
        months=(
            Month("2027-01", cases // 2, cases // 9, cases // 60, None),
            Month("2027-02", cases // 2, cases // 9, cases // 80, 0.04),
        ),
        mix=(
            Mix(MixKind.VENDOR, "aperio", cases, int(failed.sum())),
            Mix(MixKind.SOFTWARE, "0.1.0", cases, int(failed.sum())),
        ),
    )


def area_of(sums: SiteSums) -> Area:
    assert isinstance(sums.area, Area)
    return sums.area


def _table(level: NDArray[np.int64], truth: NDArray[np.int64]) -> FlagTable:
    of = [Levels(*(int(((level == k) & (truth == t)).sum()) for k in range(3))) for t in range(3)]
    return FlagTable(*of)


def _reasons(table: FlagTable) -> tuple[Reason, ...]:
    found = (table.with_condition, table.without, table.unknown)
    return (Reason("focus", *(levels.not_assessed for levels in found)),)


def _bins(score: NDArray[np.float64]) -> tuple[int, ...]:
    return tuple(int(n) for n in np.histogram(score, SCORE_EDGES)[0])
