"""How good flags may be at a site's list, drawn from what a pool of sites says."""

import numpy as np
from scipy import special

from wsi_ai.trial.evidence.bivariate import Bivariate
from wsi_ai.trial.region.result import Result
from wsi_ai.trial.waiting.cases import Accuracy


def draw_accuracies(result: Result, number: int, seed: int) -> list[Accuracy]:
    """Of a further site, by the bivariate model; where that is not estimable, of all cases
    together.  A case that was not assessed waits its turn, as one that is standard does, so it is
    among those that are not flagged."""
    rng = np.random.default_rng([seed, number])
    found = result.bivariate
    if isinstance(found, Bivariate):
        spread = found.covariance + found.between
        logits = rng.multivariate_normal(found.mean, spread, number, method="eigh")
        ill, well = special.expit(logits).T
        return [Accuracy(float(a), float(1 - b)) for a, b in zip(ill, well, strict=True)]
    shares = (result.sensitivity.total, result.specificity.total)
    drawn = [rng.beta(s.hits + 0.5, s.cases - s.hits + 0.5, number) for s in shares]
    return [Accuracy(float(a), float(b)) for a, b in zip(*drawn, strict=True)]
