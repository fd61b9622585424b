"""When to try again: full jitter over growing steps.  Pure."""

from dataclasses import dataclass
from random import Random

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """The longest wait after the first, second … failure; the last goes on until ``give_up_s``."""

    steps_s: tuple[float, ...] = (5, 30, 120, 600, 1800, 7200)
    urgent_most_s: float = 120.0
    """No urgent flag waits longer between two attempts: late, it is worth nothing."""
    give_up_s: float = 72 * HOUR_S
    pause_s: float = 300.0
    """How long an endpoint that refused us altogether is left alone."""
    failures_in_a_row: int = 10
    """After so many, the endpoint itself is taken to be down …"""
    down_s: float = 30.0
    """… and asked no more often than about this.  Once it answers, all that waits goes out."""

    def wait_s(self, attempts: int, asked_s: float | None, random: Random) -> float:
        """After so many attempts; never less than the receiver asked for.

        Spread over the whole step, so that a receiver that comes back is not met by all at once.
        """
        return self._spread(self._step_s(attempts), asked_s, random)

    def urgent_wait_s(self, attempts: int, asked_s: float | None, random: Random) -> float:
        """The same for an urgent flag."""
        return self._spread(min(self._step_s(attempts), self.urgent_most_s), asked_s, random)

    def _step_s(self, attempts: int) -> float:
        return self.steps_s[min(attempts, len(self.steps_s)) - 1]

    def _spread(self, longest_s: float, asked_s: float | None, random: Random) -> float:
        asked = min(asked_s or 0.0, self.steps_s[-1])
        return max(random.uniform(0, longest_s), asked)

    def is_over(self, age_s: float) -> bool:
        return age_s > self.give_up_s
