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
    processor_s: float
    """Of all threads."""


Answer = Ready | Refused | Took
