"""Who works: a row for each start of a worker, with its last beat.

A worker that has not beaten for a minute is gone.  Its row stays until one takes its place on the
same device, or a person says that none will: until then pages say that lists may be incomplete.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Engine,
    Update,
    delete,
    insert,
    not_,
    or_,
    select,
    update,
)

from wsi_ai.delivery.outbox.database import reading, translated
from wsi_ai.delivery.outbox.states import SKEW_S
from wsi_ai.service import changes
from wsi_ai.service.access import acts
from wsi_ai.service.access.who import Who
from wsi_ai.service.changes import What
from wsi_ai.service.database.tables import worker

GONE_S = 60.0
WATCH = "watch:"
"""How the device of a watcher begins: it runs no job, and lists depend on it all the same."""
_ATTENTIVE_S = 15.0
"""A worker that beat within this time would have taken a job that waits."""


@dataclass(frozen=True, slots=True)
class Station:
    """What a worker says of itself when it starts."""

    worker_id: str
    host: str
    device: str
    software: str


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """A worker, as others see it."""

    worker_id: str
    host: str
    device: str
    software: str
    models: Sequence[str]
    started: float
    beat: float
    job_id: str | None
    draining: bool
    gone: bool
    """Nobody has heard of it for a minute, and it did not say goodbye."""


def enter(engine: Engine, station: Station, now: float) -> None:
    """It takes the place of those that are gone from the same device.  Raises OutputError."""
    row = {
        "worker_id": station.worker_id,
        "host": station.host,
        "device": station.device,
        "software": station.software,
        "models": [],
        "started": now,
        "beat": now,
        "draining": False,
    }
    here = worker.c.host == station.host, worker.c.device == station.device
    with translated(), engine.begin() as connection:
        connection.execute(delete(worker).where(*here, _is_gone(now)))
        connection.execute(insert(worker).values(row))
        changes.note(connection, What.SENDER, station.worker_id, now)


@dataclass(frozen=True, slots=True)
class Doing:
    """What a worker is at."""

    job_id: str | None = None
    models: Sequence[str] = field(default=())


def beat(engine: Engine, station: Station, doing: Doing, now: float) -> bool:
    """Say that it lives.  Returns whether it is asked to drain.  Raises OutputError."""
    values = {"beat": now, "job_id": doing.job_id, "models": list(doing.models)}
    mine = worker.c.worker_id == station.worker_id
    with translated(), engine.begin() as connection:
        before = connection.execute(select(worker).where(mine)).first()
        connection.execute(update(worker).where(mine).values(values))
        if before is not None:
            if before.job_id != doing.job_id:
                changes.note(connection, What.SENDER, station.worker_id, now)
            return bool(before.draining)
    enter(engine, station, now)  # somebody took it for gone
    return False


def leave(engine: Engine, worker_id: str, now: float) -> bool:
    """It says goodbye.  Returns whether it was in the list.  Raises OutputError."""
    return _changed(engine, worker_id, now, delete(worker))


def forget(engine: Engine, worker_id: str, who: Who, now: float) -> bool:
    """One that is gone will not come back.  Returns whether there was one.  Raises OutputError."""
    return _changed(engine, worker_id, now, delete(worker).where(_is_gone(now)), who)


def drain(engine: Engine, worker_id: str, who: Who, now: float) -> bool:
    """Ask it to claim nothing more, to give back what it has, and to end.  Returns whether there
    is one.  Raises OutputError."""
    return _changed(engine, worker_id, now, update(worker).values(draining=True), who)


def up(engine: Engine, now: float) -> list[WorkerLine]:
    """All that are known, the oldest first.  Raises OutputError."""
    with reading(engine) as connection:
        rows = connection.execute(select(worker, _is_gone(now).label("gone")).order_by(
            worker.c.started, worker.c.worker_id
        ))  # fmt: skip
        return [
            WorkerLine(
                worker_id=row.worker_id,
                host=row.host,
                device=row.device,
                software=row.software,
                models=tuple(row.models),
                started=row.started,
                beat=row.beat,
                job_id=row.job_id,
                draining=row.draining,
                gone=bool(row.gone),
            )
            for row in rows
        ]


def other_is_idle(connection: Connection, worker_id: str, now: float) -> bool:
    """Whether one that has nothing to do would take what waits."""
    here = worker.c.beat >= now - _ATTENTIVE_S, worker.c.beat <= now + SKEW_S
    free = worker.c.job_id.is_(None), not_(worker.c.draining), worker.c.worker_id != worker_id
    works = ~worker.c.device.startswith(WATCH)
    found = select(worker.c.worker_id).where(*here, *free, works).limit(1)
    return connection.execute(found).first() is not None


def took(connection: Connection, worker_id: str, job_id: str) -> None:
    """Inside the transaction that claims it: from then on it is not idle."""
    mine = worker.c.worker_id == worker_id, worker.c.job_id.is_(None)
    connection.execute(update(worker).where(*mine).values(job_id=job_id))


def _is_gone(now: float) -> ColumnElement[bool]:
    """A beat from the future means that the clock was set back: it says nothing."""
    return or_(worker.c.beat < now - GONE_S, worker.c.beat > now + SKEW_S)


def _changed(
    engine: Engine, worker_id: str, now: float, change: Delete | Update, who: Who | None = None
) -> bool:
    """``who`` has it done, by hand."""
    with translated(), engine.begin() as connection:
        found = connection.execute(change.where(worker.c.worker_id == worker_id)).rowcount
        if not found:
            return False
        if who is not None:
            what = "worker drained" if isinstance(change, Update) else "worker forgotten"
            acts.append(connection, who, what, {"worker": worker_id}, None, now)
        changes.note(connection, What.SENDER, worker_id, now)
        return True
