"""Lines of the worklist: a page of them in order, and those that changed.

Only lines that ``who`` may read come out, and none of a model on trial.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, func, literal, select, tuple_

from wsi_ai.delivery.outbox.database import reading
from wsi_ai.delivery.receiver.tables import change, newest
from wsi_ai.service.access.who import Role, Who, visible
from wsi_ai.service.changes import Change, What
from wsi_ai.service.database.tables import acknowledgement
from wsi_ai.service.worklist.filters import Filters

PAGE = 100
_COLUMNS = [column for column in newest.c if column.name != "flag"]
_ORDER = newest.c.urgency, newest.c.acknowledged, newest.c.issued, newest.c.flag_id
_MOST_CHANGES = 500


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """That somebody looked at a revision."""

    revision: int
    subject: str
    name: str
    at: float
    note: str | None
    stands: bool
    """What it was about is still what the line says."""


@dataclass(frozen=True, slots=True)
class Line:
    row: Any
    """Of the table ``newest``, without the flag."""
    by: tuple[Acknowledged, ...] = ()
    """That were not undone, the latest first."""

    @property
    def key(self) -> str:
        """Lines are in the order of these."""
        return f"{self.row.urgency}{self.row.acknowledged:d}{self.row.issued}{self.row.flag_id}"

    @property
    def subjects(self) -> frozenset[str]:
        return frozenset(one.subject for one in self.by)


@dataclass(frozen=True, slots=True)
class Page:
    lines: Sequence[Line]
    more: bool
    seq: int
    """Of the last change before it was read."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What happened to a list since."""

    seq: int
    lines: dict[str, Line | None] = field(default_factory=dict)
    """By flag; ``None`` for one that is not in the list any more."""
    too_many: bool = False
    """The list is to be read anew."""


def page(engine: Engine, who: Who, filters: Filters, after: str = "", most: int = PAGE) -> Page:
    """The most urgent first; of one level those that nobody acknowledged, and then the one that
    has waited longest.  ``after`` is a line's key.  Raises ValueError, OutputError."""
    where = [newest.c.listed.is_(True), seen_by(who), *filters.where(who)]
    if after:
        where.append(_after(after))
    found = select(*_COLUMNS).where(*where).order_by(*_ORDER).limit(most + 1)
    with reading(engine, "worklist") as connection:
        seq = connection.scalar(select(func.max(change.c.seq))) or 0
        rows = connection.execute(found).all()
        return Page(_with_acknowledgements(connection, rows[:most]), len(rows) > most, seq)


def since(engine: Engine, who: Who, filters: Filters, seq: int) -> Changed:
    """What happened to the list after the change of that number.  Raises OutputError."""
    mine = visible(who, Role.READ, change.c.trust, change.c.network)
    theirs = select(change.c.id).where(change.c.seq > seq, change.c.what == What.LINE, mine)
    ends = select(func.min(change.c.seq), func.max(change.c.seq))
    with reading(engine, "worklist") as connection:
        first, last = connection.execute(ends).one()
        names = list(connection.scalars(theirs.distinct().limit(_MOST_CHANGES + 1)))
    is_forgotten = seq < (first or 1) - 1
    if is_forgotten or len(names) > _MOST_CHANGES:
        return Changed(last or 0, too_many=True)
    return Changed(last or 0, among(by_id(engine, names), names, who, filters))


def concerning(who: Who, found: Sequence[Change]) -> list[str]:
    """The flags whose lines changed, of those that they may read, or might until then."""
    lines = [one for one in found if one.what is What.LINE]
    may = [one.id for one in lines if who.may(Role.READ, one.trust, one.network)]
    return list(dict.fromkeys(may))


def by_id(engine: Engine, flag_ids: Collection[str]) -> dict[str, Line]:
    """Whoever's they are: not to be shown before ``among`` looked at them.  Raises OutputError."""
    if not flag_ids:
        return {}
    found = select(*_COLUMNS).where(newest.c.flag_id.in_(flag_ids))
    with reading(engine, "worklist") as connection:
        lines = _with_acknowledgements(connection, connection.execute(found).all())
    return {line.row.flag_id: line for line in lines}


def among(
    lines: dict[str, Line], flag_ids: Collection[str], who: Who, filters: Filters
) -> dict[str, Line | None]:
    """Each as it stands in their list; ``None`` where it does not."""
    return {name: _in_list(lines.get(name), who, filters) for name in flag_ids}


def _in_list(line: Line | None, who: Who, filters: Filters) -> Line | None:
    if line is None or not line.row.listed:
        return None
    if not who.may(Role.READ, line.row.trust, line.row.network):
        return None
    return line if filters.takes(line.row, line.subjects, who) else None


def seen_by(who: Who) -> ColumnElement[bool]:
    """Of the table ``newest``."""
    return visible(who, Role.READ, newest.c.trust, newest.c.network)


def _after(key: str) -> ColumnElement[bool]:
    """Raises ValueError for what is no line's key."""
    urgency, acknowledged, issued, flag_id = key[:1], key[1:2], key[2:26], key[26:]
    if urgency not in ("0", "1", "2") or acknowledged not in ("0", "1") or len(flag_id) != 36:
        raise ValueError("after: no line of the list")
    if not (issued + flag_id).isascii() or not (issued + flag_id).isprintable():
        raise ValueError("after: no line of the list")
    values = int(urgency), acknowledged == "1", issued, flag_id
    typed = [literal(value, column.type) for value, column in zip(values, _ORDER, strict=True)]
    return tuple_(*_ORDER) > tuple_(*typed)


def _with_acknowledgements(connection: Connection, rows: Sequence[Any]) -> list[Line]:
    names = [row.flag_id for row in rows]
    found = (
        select(acknowledgement)
        .where(acknowledgement.c.flag_id.in_(names), acknowledgement.c.undone_at.is_(None))
        .order_by(acknowledgement.c.at.desc(), acknowledgement.c.by)
    )
    since = {row.flag_id: row.same_since for row in rows}
    by: dict[str, list[Acknowledged]] = {name: [] for name in names}
    for row in connection.execute(found) if names else ():
        stands = row.revision >= since[row.flag_id]
        by[row.flag_id].append(
            Acknowledged(row.revision, row.by, row.name, row.at, row.note, stands)
        )
    return [Line(row, tuple(by[row.flag_id])) for row in rows]
