"""How far an event has come at a sink."""

from enum import StrEnum


class State(StrEnum):
    PENDING = "pending"
    INFLIGHT = "inflight"
    DELIVERED = "delivered"
    DEAD = "dead"
    """Needs a person: it is not tried again by itself."""
    SKIPPED = "skipped"
    """Never needs to be sent: a newer revision goes instead, or a person said so."""


RANKS = (0, 1)
"""Urgent first."""

OPEN = (State.PENDING, State.INFLIGHT)

NO_SINK = "(none)"
"""Stands for the sink of an event that no sink takes."""

SKEW_S = 60.0
"""How far the clocks of two machines may be apart.  A row from further in the future means that
the clock was set back: then what it says about time no longer holds."""
