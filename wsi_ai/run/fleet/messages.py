"""What a worker process and its run say to each other.  All of it can be pickled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsi_ai.core.flags import Standing


@dataclass(frozen=True, slots=True)
class RunSlide:
    """To the worker: run this one."""

    number: int
    path: Path


@dataclass(frozen=True, slots=True)
class Ready:
    """Its runtime is open."""


@dataclass(frozen=True, slots=True)
class RuntimeRefused:
    """Its runtime does not open, and it ends."""

    reason: str
    model: bool
    """The model's fault: no other device will do better."""


@dataclass(frozen=True, slots=True)
class Ask:
    """It has room for a slide."""


@dataclass(frozen=True, slots=True)
class Started:
    slide: Path


@dataclass(frozen=True, slots=True)
class Planned:
    tiles: int
    done: int


@dataclass(frozen=True, slots=True)
class Passed:
    done: int


@dataclass(frozen=True, slots=True)
class Done:
    number: int
    outcomes: Sequence[Any]
    """One ``Ended`` a model, of the run's own kind."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Its device failed, and it ends: what it still holds has to be run elsewhere."""

    reason: str


@dataclass(frozen=True, slots=True)
class Put:
    """A flag for the post, which answers with Kept."""

    flag: Mapping[str, Any]
    early: bool


@dataclass(frozen=True, slots=True)
class Kept:
    flag: dict[str, Any] | None
    error: str = ""
    """Where the post could not keep it."""


@dataclass(frozen=True, slots=True)
class AskStanding:
    """What holds of a flag?  The run answers with StandingAnswer."""

    flag_id: str


@dataclass(frozen=True, slots=True)
class StandingAnswer:
    standing: Standing | None
    error: str = ""
    """Where the post could not say."""


Progress = Started | Planned | Passed
News = Ready | RuntimeRefused | Ask | Started | Planned | Passed | Done | Lost | Put
