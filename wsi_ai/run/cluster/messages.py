"""What a worker of a cluster and its run say to each other, beside ``fleet.messages``."""

import pickle
from dataclasses import dataclass
from typing import Any

from wsi_ai.run.fleet import messages


@dataclass(frozen=True, slots=True)
class FromWorker:
    """On its way to the run."""

    run: str
    worker: str
    """Its address."""
    news: Any
    """Started, Planned or Passed; or a question: Put or AskStanding."""
    question: str = ""
    """Its id, where an answer is wanted."""

    def packed(self) -> bytes:
        return pickle.dumps(self)


@dataclass(frozen=True, slots=True)
class WorkerGone:
    address: str
    expected: bool
    """It went away in order; else it was killed, or froze."""


@dataclass(frozen=True, slots=True)
class GivenBack:
    """The worker is about to end: the slide is for any other."""

    number: int


Result = messages.Done | messages.Lost | messages.RuntimeRefused | GivenBack
"""What a task gives: it never raises, for Dask would log the slide's path."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A task is over."""

    number: int
    result: Result


def unpacked(packed: bytes) -> FromWorker:
    found: FromWorker = pickle.loads(packed)
    return found
