"""When to try again: full jitter over growing steps.  Pure."""

from dataclasses import dataclass
from random import Random

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """The longest wait after the first, second … failure; the last goes on until ``give_up_s``."""

    steps_s: tuple[float, ...] = (5, 30, 120, 600, 1800, 7200)
    give_up_s: float = 72 * HOUR_S
    pause_s: float = 300.0
    """How long an endpoint that refused us altogether is left alone."""
    failures_in_a_row: int = 10
    """After so many, the endpoint itself is taken to be down, and left alone for a while."""

    def wait_s(self, attempts: int, asked_s: float | None, random: Random) -> float:
        """After so many attempts; never less than the receiver asked for.

        Spread over the whole step, so that a receiver that comes back is not met by all at once.
        """
        longest = self.steps_s[min(attempts, len(self.steps_s)) - 1]
        drawn = random.uniform(0, longest)
        return drawn if asked_s is None else max(drawn, min(asked_s, self.steps_s[-1]))

    def is_over(self, age_s: float) -> bool:
        return age_s > self.give_up_s
