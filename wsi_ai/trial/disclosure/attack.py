"""What somebody can conclude who knows the rule, all published numbers, and that tables add up."""

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from wsi_ai.errors import TrialError
from wsi_ai.trial.disclosure.rule import SmallNumbers
from wsi_ai.trial.disclosure.tables import System

_NO_END = 1_000_000
"""Whatever may be as large as this may be larger."""


class Attacker:
    """Knows of a hidden number only that it is not 0: it may be hidden for its neighbour's sake."""

    def __init__(self, system: System, rule: SmallNumbers, hidden: NDArray[np.bool_]) -> None:
        least, most = _limits(system, rule, hidden)
        self._matrix = system.matrix
        self._constraints = [optimize.LinearConstraint(system.matrix, least, most)]
        if len(system.links):
            self._constraints.append(optimize.LinearConstraint(system.links, 0, 0))
        self._seen_low = self._seen_high = system.values
        """Of tables found so far that would have been published alike."""

    def least(self, item: int) -> int:
        """That it can be."""
        return self._extreme(item, 1)

    def most(self, item: int) -> int:
        """That it can be; at least a million where there is no end."""
        return self._extreme(item, -1)

    def can_be(self, item: int, low: int, high: int) -> bool:
        """As low as the one and as high as the other."""
        return (self._seen_low[item] <= low or self.least(item) <= low) and (
            self._seen_high[item] >= high or self.most(item) >= high
        )

    def _extreme(self, item: int, sign: int) -> int:
        """Raises TrialError where the solver has no answer."""
        found = optimize.milp(
            sign * self._matrix[item],
            integrality=np.ones(self._matrix.shape[1]),
            bounds=optimize.Bounds(0, _NO_END),
            constraints=self._constraints,
        )
        if found.x is None:
            raise TrialError("the tables cannot be checked, so nothing of them is published")
        table = self._matrix @ np.rint(found.x).astype(np.int64)
        self._seen_low = np.minimum(self._seen_low, table)
        self._seen_high = np.maximum(self._seen_high, table)
        return int(table[item])


def _limits(
    system: System, rule: SmallNumbers, hidden: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    least = np.ones(len(system.keys))
    most = np.full(len(system.keys), np.inf)
    for item in np.flatnonzero(~hidden):
        least[item], most[item] = rule.possible(rule.rounded(int(system.values[item])))
    return least, most
