"""Values that may leave a trust.

They are made in ``wsi_ai.trial.disclosure`` and nowhere else: their constructors take an argument
that no one has, so that a count that was forgotten at the door is a type error where it is sent.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Never, TypeVar

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class Published(ABC):
    """Only the door makes one."""

    def __init__(self, nothing: Never, /) -> None:
        raise TypeError("what is published is made by wsi_ai.trial.disclosure")

    @abstractmethod
    def as_json(self) -> Json: ...


@dataclass(frozen=True, slots=True, init=False)
class PublishedCount(Published):
    """A rounded number of cases, or one that is hidden."""

    shown: int | None

    def __str__(self) -> str:
        return "*" if self.shown is None else str(self.shown)

    def as_json(self) -> Json:
        return str(self)


@dataclass(frozen=True, slots=True, init=False)
class PublishedShare(Published):
    """In per cent, computed from published counts alone; ``None`` where one of them is hidden."""

    percent: float | None
    low: float | None
    high: float | None

    def as_json(self) -> Json:
        return {"percent": self.percent, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True, init=False)
class PublishedArea(Published):
    """An AUROC, rounded so that it says nothing of single pairs."""

    value: float | None
    low: float | None
    high: float | None

    def as_json(self) -> Json:
        return {"value": self.value, "low": self.low, "high": self.high}


def render(entries: Mapping[str, Published]) -> str:
    """The only text of results for the audience ``open``."""
    return json.dumps({name: entry.as_json() for name, entry in entries.items()}, sort_keys=True)


P = TypeVar("P", bound=Published)


def let_out(kind: type[P], **fields: float | None) -> P:
    """For this package alone."""
    made = object.__new__(kind)
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made
