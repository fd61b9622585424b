"""What changed, in one order: pages follow it, and nobody misses a line.

A plain sequence would not do: PostgreSQL hands out numbers before it commits, so a reader that has
seen 7 may have passed over 6.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, Engine, delete, func, insert, select

from wsi_ai.delivery.outbox.tables import READING, alone, translated
from wsi_ai.service.database.tables import change


class What(StrEnum):
    LINE = "line"
    """A line of the worklist: the id is the flag's."""
    JOB = "job"
    ROOM = "room"
    """A note on a slide: the id is the slide's fingerprint."""
    SENDER = "sender"
    """Somebody who sends flags was heard, or a worker came or went."""


@dataclass(frozen=True, slots=True)
class Change:
    seq: int
    what: What
    id: str
    trust: str | None
    network: str | None


def note(
    connection: Connection,
    what: What,
    name: str,
    at: float,
    whose: tuple[str | None, str | None] = (None, None),
) -> int:
    """Inside the transaction that changes it, at its end: until that commits, no other change gets
    a number.  ``whose`` is trust and network.  Returns the number."""
    alone(connection, "change")
    seq = (connection.scalar(select(func.max(change.c.seq))) or 0) + 1
    trust, network = whose
    row = {"seq": seq, "what": what, "id": name, "trust": trust, "network": network, "at": at}
    connection.execute(insert(change).values(row))
    return seq


def newest(engine: Engine) -> int:
    """The number of the last change; 0 before the first.  Raises OutputError."""
    with _reading(engine) as connection:
        return connection.scalar(select(func.max(change.c.seq))) or 0


def since(engine: Engine, seq: int, most: int = 500) -> Sequence[Change]:
    """Those after it, the oldest first.  Raises OutputError."""
    with _reading(engine) as connection:
        found = select(change).where(change.c.seq > seq).order_by(change.c.seq).limit(most)
        return [
            Change(row.seq, What(row.what), row.id, row.trust, row.network)
            for row in connection.execute(found)
        ]


def forget(engine: Engine, before: float) -> int:
    """Changes that old, but never the last one, from which the next gets its number."""
    with translated(), engine.begin() as connection:
        last = select(func.max(change.c.seq)).scalar_subquery()
        gone = delete(change).where(change.c.at < before, change.c.seq < last)
        return connection.execute(gone).rowcount


@contextmanager
def _reading(engine: Engine) -> Iterator[Connection]:
    with translated(), engine.connect() as connection:
        yield connection.execution_options(**READING)
