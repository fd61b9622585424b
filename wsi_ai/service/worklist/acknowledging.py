"""A person says that they looked at one revision of one flag.

It holds for as long as the line says the same to a reader.  A revision that says something else, a
raised level or a retraction among it, ends it where everybody sees that: the line is back among
those that nobody acknowledged, and names who had.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, delete, exists, insert, select, update

from wsi_ai.core.printable import printable
from wsi_ai.delivery.outbox.database import alone, translated
from wsi_ai.delivery.receiver.line import is_listed
from wsi_ai.delivery.receiver.tables import newest
from wsi_ai.errors import WsiAiError
from wsi_ai.service import changes
from wsi_ai.service.access import acts
from wsi_ai.service.access.who import Role, Who
from wsi_ai.service.changes import What
from wsi_ai.service.database.tables import acknowledgement

_LONGEST_NOTE = 500


class NoSuchLine(WsiAiError):
    """There is no such line, for this person."""


class MayNot(WsiAiError):
    """They may read it, and no more."""


class NewerRevision(WsiAiError):
    """The line says something else than what they looked at."""

    def __init__(self, revision: int) -> None:
        super().__init__("the line says something else by now: look at it again")
        self.revision = revision


@dataclass(frozen=True, slots=True)
class Looked:
    """What they looked at, and what they have to say of it."""

    flag_id: str
    revision: int
    note: str | None = None

    def __post_init__(self) -> None:
        """Raises ValueError."""
        note = self.note or ""
        if len(note) > _LONGEST_NOTE or printable(note) != note:
            raise ValueError(f"note: one line, {_LONGEST_NOTE} signs at most")
        if not 0 < self.revision < 1 << 31:
            raise ValueError("revision: a number from 1 on")


def acknowledge(engine: Engine, who: Who, looked: Looked, at: float) -> None:
    """Done twice, it is done once.  Raises NoSuchLine, MayNot, NewerRevision, OutputError."""
    with _line(engine, who, looked.flag_id) as (connection, line):
        if looked.revision != line.revision and not line.same_since <= looked.revision:
            raise NewerRevision(line.revision)
        if looked.revision > line.revision:
            raise NoSuchLine("there is no such revision")
        own = _own(who, looked)
        row = {"flag_id": looked.flag_id, "revision": looked.revision, "by": who.subject}
        row |= {"name": who.name, "at": at, "note": looked.note or None, "undone_at": None}
        connection.execute(delete(acknowledgement).where(*own))
        connection.execute(insert(acknowledgement).values(row))
        _changed(connection, who, "flag acknowledged", line, at)


def undo(engine: Engine, who: Who, looked: Looked, at: float) -> None:
    """Their own only; where there is none, nothing happens.  Raises NoSuchLine, MayNot,
    OutputError."""
    with _line(engine, who, looked.flag_id) as (connection, line):
        standing = *_own(who, looked), acknowledgement.c.undone_at.is_(None)
        undone = update(acknowledgement).where(*standing).values(undone_at=at)
        if connection.execute(undone).rowcount:
            _changed(connection, who, "acknowledgement undone", line, at)


@contextmanager
def _line(engine: Engine, who: Who, flag_id: str) -> Iterator[tuple[Connection, Any]]:
    """The line as it is now, and stays until this ends."""
    columns = [column for column in newest.c if column.name != "flag"]
    with translated("worklist"), engine.begin() as connection:
        alone(connection, f"inbox {flag_id}")
        line = connection.execute(select(*columns).where(newest.c.flag_id == flag_id)).first()
        if line is None or line.silent or not who.may(Role.READ, line.trust, line.network):
            raise NoSuchLine("there is no such line")
        if not who.may(Role.ACKNOWLEDGE, line.trust, line.network):
            raise MayNot("that takes the right to acknowledge")
        yield connection, line


def _own(who: Who, looked: Looked) -> tuple[Any, ...]:
    return (
        acknowledgement.c.flag_id == looked.flag_id,
        acknowledgement.c.revision == looked.revision,
        acknowledgement.c.by == who.subject,
    )


def _changed(connection: Connection, who: Who, what: str, line: Any, at: float) -> None:
    """What the line is now, said to whoever looks at it."""
    standing = exists(
        select(acknowledgement.c.by).where(
            acknowledgement.c.flag_id == line.flag_id,
            acknowledgement.c.revision >= line.same_since,
            acknowledgement.c.undone_at.is_(None),
        )
    )
    acknowledged = bool(connection.scalar(select(standing)))
    listed = is_listed({**line._mapping, "acknowledged": acknowledged})
    ids = {"flag": line.flag_id, "revision": line.revision}
    acts.append(connection, who, what, ids, line.trust, at)
    seq = changes.note(connection, What.LINE, line.flag_id, at, (line.trust, line.network))
    values = {"acknowledged": acknowledged, "listed": listed, "seq": seq}
    connection.execute(update(newest).where(newest.c.flag_id == line.flag_id).values(values))
