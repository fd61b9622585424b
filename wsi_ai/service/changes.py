"""What changed, in one order: pages follow it, and nobody misses a line.

A plain sequence would not do: PostgreSQL hands out numbers before it commits, so a reader that has
seen 7 may have passed over 6.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile

from sqlalchemy import Engine, delete, func, select

from wsi_ai.delivery.outbox.database import reading, translated
from wsi_ai.delivery.receiver import changes as received
from wsi_ai.delivery.receiver.tables import change

_AT_ONCE = 2000

note = received.note
"""At the end of a transaction that changes something; the inbox notes its own lines."""


class What(StrEnum):
    LINE = received.LINE
    """A line of the worklist: the id is the flag's."""
    JOB = "job"
    ROOM = "room"
    """A note on a slide: the id is the slide's fingerprint."""
    SENDER = received.SENDER
    """Somebody who sends flags was heard, or a worker came or went."""


@dataclass(frozen=True, slots=True)
class Change:
    seq: int
    what: What
    id: str
    trust: str | None
    network: str | None


def newest(engine: Engine) -> int:
    """The number of the last change; 0 before the first.  Raises OutputError."""
    with reading(engine) as connection:
        return connection.scalar(select(func.max(change.c.seq))) or 0


def since(engine: Engine, seq: int, most: int = 500) -> Sequence[Change]:
    """Those after it, the oldest first.  Raises OutputError."""
    with reading(engine) as connection:
        found = select(change).where(change.c.seq > seq).order_by(change.c.seq).limit(most)
        return [
            Change(row.seq, What(row.what), row.id, row.trust, row.network)
            for row in connection.execute(found)
        ]


def forget(engine: Engine, before: float) -> bool:
    """The oldest changes, as far as they are that old: no gap is left in the middle.  Never the
    last one, from which the next gets its number.  Only some at a time, so that nobody waits long
    to write; returns whether there may be more.  Raises OutputError."""
    oldest = select(change.c.seq, change.c.at).order_by(change.c.seq).limit(_AT_ONCE)
    with reading(engine) as connection:
        rows = list(takewhile(lambda row: row.at < before, connection.execute(oldest)))
    if not rows:
        return False
    with translated(), engine.begin() as connection:
        last = select(func.max(change.c.seq)).scalar_subquery()
        gone = delete(change).where(change.c.seq <= rows[-1].seq, change.c.seq < last)
        connection.execute(gone)
    return len(rows) == _AT_ONCE
