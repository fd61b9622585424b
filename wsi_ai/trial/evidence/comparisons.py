"""Many questions asked of the same cases."""

from collections.abc import Sequence

from statsmodels.stats.multitest import multipletests

from wsi_ai.trial.evidence.estimates import ALPHA, check_alpha


def holm(p: Sequence[float]) -> tuple[float, ...]:
    """Adjusted so that the chance of one false claim or more stays below alpha (Holm 1979)."""
    return _adjusted(p, "holm")


def benjamini_hochberg(p: Sequence[float]) -> tuple[float, ...]:
    """Adjusted so that the share of false claims among claims does; for exploration (1995)."""
    return _adjusted(p, "fdr_bh")


def simultaneous_alpha(levels: int, alpha: float = ALPHA) -> float:
    """For each of several intervals that shall all hold at once (Bonferroni)."""
    check_alpha(alpha)
    if levels < 1:
        raise ValueError(f"there is 1 interval or more, got {levels}")
    return alpha / levels


def _adjusted(p: Sequence[float], method: str) -> tuple[float, ...]:
    if not all(0 <= value <= 1 for value in p):
        raise ValueError("a p value is in 0..1")
    return tuple(float(value) for value in multipletests(p, method=method)[1]) if p else ()
