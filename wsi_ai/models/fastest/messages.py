"""What a run and a contender's process say to each other."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ready:
    """It is open, gives the flags of the golden tiles, and has run a batch."""

    runtime: str


@dataclass(frozen=True, slots=True)
class Refused:
    """It cannot, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Turn:
    """Run batches for this long, and one at least."""

    least_s: float


@dataclass(frozen=True, slots=True)
class Took:
    """One turn."""

    tiles: int
    seconds: float
    share: float = 1.0
    """Of the time in which its threads could run, the part in which they did."""

    @property
    def own_s(self) -> float:
        """About how long it would have taken with nothing else on the machine."""
        return self.seconds * self.share


Answer = Ready | Refused | Took
