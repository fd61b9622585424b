"""Slides wait for workers: a simulation of discrete events, on SimPy.  Opens nothing, asks no
clock."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import simpy

Steps = Generator[simpy.Event, None, None]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A slide as it comes to the queue."""

    at_s: float
    due_s: float
    """Among slides of one urgency the earliest due goes first."""
    busy_s: float
    """How long it takes a worker up, so that no other slide can have its place."""
    urgent: bool = False

    def __post_init__(self) -> None:
        if not (self.at_s >= 0 and self.busy_s >= 0 and self.due_s >= self.at_s):
            raise ValueError("a slide comes at 0 s or later, is due after that, and takes time")

    @property
    def rank(self) -> tuple[bool, float]:
        """The least goes first: as ``service.queue`` has it."""
        return not self.urgent, self.due_s


def waits_s(arrivals: Sequence[Arrival], workers: int) -> list[float]:
    """How long each waits until a worker takes it.  No worker gives a slide back.

    Arrivals are in the order of their times.  Raises ValueError.
    """
    if workers < 1:
        raise ValueError(f"there is 1 worker or more, got {workers}")
    env = simpy.Environment()
    places = simpy.PriorityResource(env, capacity=workers)
    waits = [0.0] * len(arrivals)

    def slide(number: int) -> Steps:
        arrival = arrivals[number]
        with places.request(priority=arrival.rank) as place:  # type: ignore[arg-type]  # any that compares
            yield place
            waits[number] = env.now - arrival.at_s
            yield env.timeout(arrival.busy_s)

    def come() -> Steps:
        for number, arrival in enumerate(arrivals):
            if arrival.at_s < env.now:
                raise ValueError("arrivals are in the order of their times")
            yield env.timeout(arrival.at_s - env.now)
            env.process(slide(number))

    env.process(come())
    env.run()
    return waits
