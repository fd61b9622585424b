"""Which lines somebody wants to see, as a query and as a question to one line."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import ColumnElement, exists, select

from wsi_ai.core.flags import Level
from wsi_ai.delivery.receiver.line import URGENCY
from wsi_ai.delivery.receiver.tables import newest
from wsi_ai.service.access.who import Who
from wsi_ai.service.database.tables import acknowledgement

_LONGEST = 200
_NONE = "-"
"""In an address: those that have none."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What is empty is not asked for; ``-`` asks for lines that have none.  Raises ValueError."""

    level: str = ""
    model: str = ""
    stain: str = ""
    trust: str = ""
    network: str = ""
    acknowledged: str = ""
    """``yes`` or ``no``."""
    mine: str = ""
    """``yes``: those that they acknowledged themselves."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not isinstance(value, str) or len(value) > _LONGEST or not value.isprintable():
                raise ValueError(f"{each.name}: not a short line of text")
        if self.level and self.level not in list(Level):
            raise ValueError(f"level: one of {', '.join(Level)}")
        if self.acknowledged not in ("", "yes", "no") or self.mine not in ("", "yes"):
            raise ValueError("acknowledged: yes or no; mine: yes")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Filters":
        """Names that are none of them are left to others.  Raises ValueError."""
        return cls(**{one.name: given[one.name] for one in fields(cls) if one.name in given})

    def as_query(self) -> dict[str, str]:
        """Of an address, without what is not asked for."""
        return {one.name: value for one in fields(self) if (value := getattr(self, one.name))}

    def where(self, who: Who) -> list[ColumnElement[bool]]:
        """Of the table ``newest``."""
        found = [_equals(newest.c[name], value) for name, value in self._equal().items()]
        if self.level:  # in the words of the index
            found.append(newest.c.urgency == URGENCY[Level(self.level)])
        if self.acknowledged:
            found.append(newest.c.acknowledged.is_(self.acknowledged == "yes"))
        if self.mine:
            found.append(exists(select(acknowledgement.c.by).where(*_by(who))))
        return found

    def takes(self, line: Any, by: frozenset[str], who: Who) -> bool:
        """Whether ``where`` would find it; ``by`` acknowledged it and did not undo that."""
        equal = all(
            (getattr(line, name) or _NONE) == value for name, value in self._equal().items()
        )
        wanted = not self.acknowledged or line.acknowledged == (self.acknowledged == "yes")
        return equal and wanted and (not self.mine or who.subject in by)

    def _equal(self) -> dict[str, str]:
        named = {name: getattr(self, name) for name in _EQUAL}
        return {name: value for name, value in named.items() if value}


_EQUAL = "level", "model", "stain", "trust", "network"


def _equals(column: ColumnElement[Any], value: str) -> ColumnElement[bool]:
    return column.is_(None) if value == _NONE else column == value


def _by(who: Who) -> tuple[ColumnElement[bool], ...]:
    same = acknowledgement.c.flag_id == newest.c.flag_id
    return same, acknowledgement.c.by == who.subject, acknowledgement.c.undone_at.is_(None)
