"""What is written down of watched folders, so that a watcher that starts anew forgets nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, delete, func, insert, or_, select

from wsi_ai.delivery.outbox.database import alone, reading, translated
from wsi_ai.service import changes
from wsi_ai.service.changes import What
from wsi_ai.service.database.tables import watched

_MASK = (1 << 63) - 1


class WatchState(StrEnum):
    SETTLING = "settling"
    """It still changes, or it does not open yet."""
    OPENING = "opening"
    """Who finds this at its start has died of opening it."""
    SUBMITTED = "submitted"
    UNROUTED = "unrouted"
    """No rule has a model for it."""
    REFUSED = "refused"
    """It is not judged, for a reason; it is looked at again once it changes."""
    FOLDER = "folder"
    """A watched folder itself; its size and time are what the system knows it by."""
    GONE = "gone"
    """The same, which is not what it was."""


_FOLDERS = WatchState.FOLDER, WatchState.GONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    path: str
    size: int
    mtime_ns: int
    since: float
    state: WatchState
    job_id: str | None = None
    reason: str | None = None

    @property
    def is_over(self) -> bool:
        """Nothing more is done with it, as long as it stays as it is."""
        return self.state not in (WatchState.SETTLING, WatchState.OPENING)


def entries(engine: Engine, states: Sequence[WatchState], most: int = 100_000) -> list[Entry]:
    """By path.  Raises OutputError."""
    found = select(watched).where(watched.c.state.in_(states)).order_by(watched.c.path)
    with reading(engine) as connection:
        return [_entry(row) for row in connection.execute(found.limit(most))]


def below(engine: Engine, folder: Path | str) -> dict[str, Entry]:
    """Of a watched folder, with its own.  Raises OutputError."""
    inside = watched.c.path.startswith(f"{folder}/", autoescape=True)
    found = select(watched).where(or_(watched.c.path == str(folder), inside))
    with reading(engine) as connection:
        return {row.path: _entry(row) for row in connection.execute(found)}


def write(engine: Engine, entry: Entry, now: float) -> None:
    """In place of what was there; two watchers may do so at once.  Raises OutputError."""
    with translated(), engine.begin() as connection:
        alone(connection, f"watched {entry.path}")
        before = connection.execute(select(watched).where(watched.c.path == entry.path)).first()
        connection.execute(delete(watched).where(watched.c.path == entry.path))
        connection.execute(insert(watched).values(_row(entry)))
        if entry.state in _FOLDERS and (before is None or before.state != entry.state):
            changes.note(connection, What.SENDER, "watch", now)


def counts(engine: Engine) -> dict[str, int]:
    """How many files are in each state.  Raises OutputError."""
    found = select(watched.c.state, func.count().label("n")).group_by(watched.c.state)
    with reading(engine) as connection:
        return {row.state: row.n for row in connection.execute(found)}


def forget_folders(engine: Engine, folders: Sequence[Path]) -> None:
    """What is in them from now on is believed.  Raises OutputError."""
    for folder in folders:
        inside = watched.c.path.startswith(f"{folder}/", autoescape=True)
        with translated(), engine.begin() as connection:
            connection.execute(delete(watched).where(or_(watched.c.path == str(folder), inside)))


def identity_fields(identity: tuple[int, int]) -> tuple[int, int]:
    """As a database keeps them."""
    device, number = identity
    return number & _MASK, device & _MASK


def _entry(row: Any) -> Entry:
    return Entry(
        path=row.path,
        size=row.size,
        mtime_ns=row.mtime_ns,
        since=row.unchanged_since,
        state=WatchState(row.state),
        job_id=row.job_id,
        reason=row.reason,
    )


def _row(entry: Entry) -> dict[str, object]:
    return {
        "path": entry.path,
        "size": entry.size,
        "mtime_ns": entry.mtime_ns,
        "unchanged_since": entry.since,
        "state": entry.state,
        "job_id": entry.job_id,
        "reason": entry.reason,
    }
