"""Which job is next, and which ones are taken from workers that are gone: inside a transaction."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, or_, select, update

from wsi_ai.delivery.outbox.states import SKEW_S
from wsi_ai.service import changes
from wsi_ai.service.changes import What
from wsi_ai.service.jobs import JobState, Priority, job

MOST_FAILURES = 3
LONGEST_WAIT_S = 3600.0
IDLE: Mapping[str, Any] = {"state": JobState.WAITING, "lease_until": None, "worker": None}
_NOBODY_LEFT: Mapping[str, Any] = {"urgent": True, "due_by": 0.0}
"""Before all others, whatever its priority is: nobody has said yet that it is dead."""
_FAILURES = job.c.attempt - job.c.given_back


def end_leases(
    connection: Connection, now: float, lease_s: float, again_at: Callable[[int], float]
) -> None:
    """A worker that died leaves its job to the next; so does a clock that was set back."""
    over = or_(job.c.lease_until <= now, job.c.lease_until > now + lease_s + SKEW_S)
    found = select(job).where(job.c.state == JobState.RUNNING, over)
    for row in connection.execute(found.with_for_update(skip_locked=True)).all():
        failures = row.attempt - row.given_back
        last = failures >= MOST_FAILURES
        again = {**_NOBODY_LEFT, "next_at": now} if last else {"next_at": again_at(failures - 1)}
        gone = {**IDLE, **again, "reason": "its worker is gone"}
        connection.execute(update(job).where(job.c.job_id == row.job_id).values(gone))
        noted(connection, row, now)


def next_job(connection: Connection, now: float, *where: ColumnElement[bool]) -> Any:
    """Locked; ``None`` where none is due."""
    ready = select(job).where(job.c.state == JobState.WAITING, is_due(now), *where)
    ordered = ready.order_by(job.c.urgent.desc(), job.c.due_by, job.c.created).limit(1)
    return connection.execute(ordered.with_for_update(skip_locked=True)).first()


def nobody_left() -> ColumnElement[bool]:
    """Of a job whose workers have all died of it."""
    return _FAILURES >= MOST_FAILURES


def is_due(now: float) -> ColumnElement[bool]:
    """A time from far in the future means that the clock was set back."""
    return or_(job.c.next_at <= now, job.c.next_at > now + LONGEST_WAIT_S + SKEW_S)


def urgent_waits(connection: Connection, now: float) -> bool:
    urgent = job.c.priority == Priority.URGENT
    waits = and_(job.c.state == JobState.WAITING, urgent, is_due(now))
    return connection.execute(select(job.c.job_id).where(waits).limit(1)).first() is not None


class Noted(NamedTuple):
    """What a change says of a job."""

    job_id: str
    trust: str
    network: str | None


def noted(connection: Connection, row: Any, now: float) -> None:
    """At the end of what changed the job."""
    changes.note(connection, What.JOB, row.job_id, now, (row.trust, row.network))
