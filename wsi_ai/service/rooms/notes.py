"""Notes on a slide, as a log of operations in one order.

An operation names the revision that it was made on.  Where that is no longer the note's last, it
is not written and the asker gets both versions: nobody's work is overwritten unseen.  Sent again
under its id, it changes nothing.  The author is whoever is signed in, never a field.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Select, delete, func, insert, select

from wsi_ai.delivery.outbox.database import alone, reading, translated
from wsi_ai.service import changes
from wsi_ai.service.access import acts
from wsi_ai.service.access.who import Who
from wsi_ai.service.changes import What
from wsi_ai.service.database.tables import room_op
from wsi_ai.service.rooms.shapes import Body, check_body

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_REVISIONS = 1 << 30


@dataclass(frozen=True, slots=True)
class Room:
    """One trust's slide.  The same bytes at another trust are another room."""

    slide: str
    """Its SHA-256."""
    trust: str
    network: str | None = None

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if not _SHA256.fullmatch(self.slide) or not self.trust:
            raise ValueError("a room is a slide of a trust")

    @property
    def key(self) -> str:
        return f"{self.slide}/{self.trust}"


@dataclass(frozen=True, slots=True)
class Op:
    """What somebody wants of a note; it checks itself, and raises ValueError."""

    op_id: str
    note_id: str
    base: int
    """The revision that it was made on; 0 for a new note."""
    body: Body | None
    """``None`` removes the note; its log stays."""

    def __post_init__(self) -> None:
        if not (_UUID.fullmatch(self.op_id) and _UUID.fullmatch(self.note_id)):
            raise ValueError("op_id and note_id are UUIDs in small letters")
        if not 0 <= self.base < _MOST_REVISIONS:
            raise ValueError("base is a revision")
        if self.body is not None:
            check_body(self.body)
        elif self.base == 0:
            raise ValueError("a note that is not there cannot be removed")

    @classmethod
    def of(cls, message: Any) -> "Op":
        """Of a client's.  Raises ValueError, for a field too many as well: no author is taken."""
        if not isinstance(message, dict) or message.keys() != _FIELDS:
            raise ValueError("an operation has op_id, note_id, base and body, and nothing else")
        if not (isinstance(message["op_id"], str) and isinstance(message["note_id"], str)):
            raise ValueError("op_id and note_id are UUIDs in small letters")  # noqa: TRY004
        if type(message["base"]) is not int:
            raise ValueError("base is a revision")
        return cls(**message)


_FIELDS = {"op_id", "note_id", "base", "body"}


@dataclass(frozen=True, slots=True)
class Kept:
    """An operation that was written."""

    seq: int
    """Its place in the room's order, from 1 and without a gap."""
    op_id: str
    at: float
    by: str
    name: str
    trust: str | None
    """Where the author works."""
    note_id: str
    revision: int
    body: Body | None

    @classmethod
    def of(cls, row: Any) -> "Kept":
        return cls(
            row.seq, row.op_id, row.at, row.by, row.name, row.trust, row.note_id, row.revision,
            row.body,
        )  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """What pages and the API are given."""
        return {
            "seq": self.seq, "op_id": self.op_id, "at": self.at, "by": self.by, "name": self.name,
            "trust": self.trust, "note_id": self.note_id, "revision": self.revision,
            "body": self.body,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Conflict:
    """Not written: somebody else changed the note since."""

    op: Op
    theirs: Kept

    def as_json(self) -> dict[str, Any]:
        return {
            "op_id": self.op.op_id, "note_id": self.op.note_id, "mine": self.op.body,
            "theirs": self.theirs.as_json(),
        }  # fmt: skip


def append(engine: Engine, room: Room, op: Op, who: Who, at: float) -> Kept | Conflict:
    """In one transaction.  That they may is the caller's to know.

    Raises ValueError where the operation cannot be, or its id is another's; OutputError where the
    database refuses.
    """
    with translated(), engine.begin() as connection:
        alone(connection, f"room {room.key}")
        if (known := _known(connection, room, op, who)) is not None:
            return known
        last = _last(connection, room, op.note_id)
        if last is None and op.base:
            raise ValueError("there is no such note")
        if last is not None and last.revision != op.base:
            return Conflict(op, last)
        kept = _write(connection, room, op, who, at)
        what = "note removed" if op.body is None else "note written"
        ids: acts.Ids = {"slide": room.slide, "note": op.note_id, "revision": kept.revision}
        acts.append(connection, who, what, ids, room.trust, at)
        changes.note(connection, What.ROOM, room.slide, at, (room.trust, room.network))
        return kept


def since(engine: Engine, room: Room, seq: int, most: int = 500) -> Sequence[Kept]:
    """What was written after that, the oldest first.  Raises OutputError."""
    last = min(seq, _MOST_REVISIONS)  # no database counts further than some number
    with reading(engine) as connection:
        found = _of(room).where(room_op.c.seq > last).order_by(room_op.c.seq).limit(most)
        return [Kept.of(row) for row in connection.execute(found)]


def newest(engine: Engine, room: Room) -> int:
    """The number of the last operation; 0 before the first.  Raises OutputError."""
    with reading(engine) as connection:
        return _newest(connection, room)


def current(engine: Engine, room: Room) -> Sequence[Kept]:
    """The last revision of each note, in the order in which they were first written; without those
    that were removed.  Raises OutputError."""
    last: dict[str, Kept] = {}
    seq = 0
    while found := since(engine, room, seq):
        seq = found[-1].seq
        last.update((one.note_id, one) for one in found)
    return [one for one in last.values() if one.body is not None]


def purge(engine: Engine, slide: str) -> int:
    """With the slide, all that was written about it, of every trust.  Returns the number of
    operations.  Raises OutputError."""
    if not _SHA256.fullmatch(slide):
        raise ValueError("a slide is named by its SHA-256")
    with translated(), engine.begin() as connection:
        gone = delete(room_op).where(room_op.c.room.startswith(f"{slide}/"))
        return connection.execute(gone).rowcount


def _known(connection: Connection, room: Room, op: Op, who: Who) -> Kept | None:
    """The same one that came before.  An id that stands for another operation is refused: its
    sender would believe that it was written."""
    row = connection.execute(_of(room).where(room_op.c.op_id == op.op_id)).first()
    if row is None:
        return None
    kept = Kept.of(row)
    same = kept.note_id, kept.revision, kept.body, kept.by
    if same != (op.note_id, op.base + 1, op.body, who.subject):
        raise ValueError("this op_id stands for another operation")
    return kept


def _last(connection: Connection, room: Room, note_id: str) -> Kept | None:
    found = _of(room).where(room_op.c.note_id == note_id)
    row = connection.execute(found.order_by(room_op.c.revision.desc()).limit(1)).first()
    return Kept.of(row) if row is not None else None


def _write(connection: Connection, room: Room, op: Op, who: Who, at: float) -> Kept:
    seq = _newest(connection, room) + 1
    kept = Kept(
        seq, op.op_id, at, who.subject, who.name, who.trust, op.note_id, op.base + 1, op.body
    )
    connection.execute(insert(room_op).values(room=room.key, **kept.as_json()))
    return kept


def _newest(connection: Connection, room: Room) -> int:
    last = select(func.max(room_op.c.seq)).where(room_op.c.room == room.key)
    return connection.scalar(last) or 0


def _of(room: Room) -> Select[Any]:
    return select(room_op).where(room_op.c.room == room.key)
