"""Jobs as the API reads them: only those that the asker may see."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Engine, and_, func, or_, select, tuple_

from wsi_ai.delivery.outbox.database import reading
from wsi_ai.service import workers
from wsi_ai.service.access.who import Role, Who, visible
from wsi_ai.service.jobs import JobState, job

_OPEN = JobState.WAITING, JobState.RUNNING
_LAST = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is left out is not asked for."""

    state: str | None = None
    trust: str | None = None
    priority: str | None = None
    since: float | None = None
    before: tuple[float, str] | None = None
    """Time and id of the last one of the page before."""


def page(engine: Engine, who: Who, wanted: Wanted, most: int) -> Sequence[Any]:
    """The newest first.  Raises OutputError."""
    found = select(job).where(_seen_by(who), *_asked_for(wanted))
    ordered = found.order_by(job.c.created.desc(), job.c.job_id.desc()).limit(most)
    with reading(engine) as connection:
        return connection.execute(ordered).all()


def one(engine: Engine, who: Who, job_id: str) -> Any | None:
    """``None`` also for another trust's.  Raises OutputError."""
    found = select(job).where(job.c.job_id == job_id, _seen_by(who))
    with reading(engine) as connection:
        return connection.execute(found).first()


def waiting(engine: Engine, trust: str, most: int) -> int:
    """Number of jobs of a trust that wait; counted no further than ``most``."""
    found = select(job.c.job_id).where(job.c.trust == trust, job.c.state == JobState.WAITING)
    counted = select(func.count()).select_from(found.limit(most).subquery())
    with reading(engine) as connection:
        return connection.scalar(counted) or 0


def place(engine: Engine, row: Any) -> int | None:
    """How many of all trusts' jobs go before it; ``None`` where it does not wait."""
    if row.state != JobState.WAITING:
        return None
    mine = row.due_by, row.created, row.job_id
    sooner = tuple_(job.c.due_by, job.c.created, job.c.job_id) < tuple_(*mine)
    same = and_(job.c.urgent.is_(row.urgent), sooner)
    before = same if row.urgent else or_(job.c.urgent.is_(True), same)
    found = select(func.count()).where(job.c.state == JobState.WAITING, before)
    with reading(engine) as connection:
        return connection.scalar(found) or 0


def expected_s(engine: Engine, row: Any, place: int | None, now: float) -> float | None:
    """Until it has its answer, by how long the last ones took and who works now; ``None`` where
    nobody can say."""
    if row.state not in _OPEN:
        return None
    each_s = _usual_s(engine)
    at_work = sum(not (one.gone or one.draining) for one in workers.up(engine, now))
    if each_s is None or not at_work:
        return None
    if place is None:
        left = 1 - (row.passed or 0) / row.planned if row.planned else 1.0
        return round(max(0.0, left) * each_s, 1)
    return round((place // at_work + 1) * each_s, 1)


def _usual_s(engine: Engine) -> float | None:
    found = select(job.c.seconds).where(job.c.state == JobState.DONE)
    last = found.order_by(job.c.created.desc()).limit(_LAST)
    with reading(engine) as connection:
        rows = connection.scalars(last).all()
    took = sorted(total for row in rows if (total := sum(row.values())) > 0)
    return took[len(took) // 2] if took else None


def _seen_by(who: Who) -> ColumnElement[bool]:
    return visible(who, Role.READ, job.c.trust, job.c.network)


def _asked_for(wanted: Wanted) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.state is not None:
        found.append(job.c.state == wanted.state)
    if wanted.trust is not None:
        found.append(job.c.trust == wanted.trust)
    if wanted.priority is not None:
        found.append(job.c.priority == wanted.priority)
    if wanted.since is not None:
        found.append(job.c.created >= wanted.since)
    if wanted.before is not None:
        found.append(tuple_(job.c.created, job.c.job_id) < tuple_(*wanted.before))
    return found
