"""What the queue page shows, read from the tables: of the trusts that somebody may read."""

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, func, select

from wsi_ai.core.flags import Level
from wsi_ai.core.timing import DAY_S
from wsi_ai.delivery.outbox.database import reading
from wsi_ai.delivery.outbox.tables import event
from wsi_ai.delivery.receiver.tables import newest
from wsi_ai.service.access.who import Role, Who, visible
from wsi_ai.service.database.tables import watched
from wsi_ai.service.drift import Judged, Moved, moved
from wsi_ai.service.jobs import JobState, Priority, job
from wsi_ai.service.unrouted import HAS_NO_MODEL

_WEEK_S, _BEFORE_S = 7 * DAY_S, 15 * DAY_S
_MOST, _MOST_ANSWERS, _AT_ONCE = 5000, 50_000, 500
_NUMBER = re.compile(r"\d+([.,]\d+)?")


@dataclass(frozen=True, slots=True)
class Waiting:
    trust: str
    priority: str
    number: int
    oldest_s: float
    allowance_s: float
    late_s: float
    """Past the time by which the first of them was due; 0 where none is."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Minutes from when a slide was asked for until its first flag."""

    trust: str
    number: int
    median: float
    p95: float


@dataclass(frozen=True, slots=True)
class Warned:
    model: str
    trust: str
    moved: Moved


@dataclass(frozen=True, slots=True)
class Figures:
    waiting: Sequence[Waiting]
    running: Sequence[Any]
    delays: Sequence[Delay]
    not_assessed: Sequence[tuple[str, int]]
    dead: Sequence[Any]
    unrouted: Sequence[Any]
    warnings: Sequence[Warned]


def figures(engine: Engine, who: Who, now: float) -> Figures:
    """Raises OutputError."""
    with reading(engine, "queue") as connection:
        mine = visible(who, Role.READ, job.c.trust, job.c.network)
        done = _jobs(connection, mine, JobState.DONE, now - _WEEK_S)
        return Figures(
            waiting=list(_waiting(connection, mine, now)),
            running=_jobs(connection, mine, JobState.RUNNING),
            delays=_delays(connection, done),
            not_assessed=_reasons(done),
            dead=[row for row in _jobs(connection, mine, JobState.DEAD) if "#" not in row.key],
            unrouted=_unrouted(connection, who),
            warnings=list(_warnings(connection, who, now)),
        )


def _waiting(connection: Connection, mine: ColumnElement[bool], now: float) -> Iterator[Waiting]:
    by = job.c.trust, job.c.priority
    found = select(*by, func.count().label("n"), func.min(job.c.created).label("first"),
                   func.min(job.c.due_by).label("due"))  # fmt: skip
    rows = connection.execute(found.where(mine, job.c.state == JobState.WAITING).group_by(*by))
    order = {priority.value: at for at, priority in enumerate(Priority)}
    for row in sorted(rows, key=lambda row: (order[row.priority], row.trust)):
        yield Waiting(
            row.trust,
            row.priority,
            row.n,
            max(0.0, now - row.first),
            Priority(row.priority).allowance_s,
            max(0.0, now - row.due),
        )


def _jobs(
    connection: Connection, mine: ColumnElement[bool], state: JobState, since: float | None = None
) -> list[Any]:
    """The latest first."""
    found = select(job).where(mine, job.c.state == state).order_by(job.c.created.desc())
    if since is not None:
        found = found.where(job.c.created >= since)
    return list(connection.execute(found.limit(_MOST)).all())


def _delays(connection: Connection, done: Sequence[Any]) -> list[Delay]:
    first: dict[str, float] = {}
    names = [name for row in done for name in row.flag_ids]
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        found = select(event.c.flag_id, func.min(event.c.created).label("at"))
        rows = connection.execute(found.where(event.c.flag_id.in_(some)).group_by(event.c.flag_id))
        first |= {row.flag_id: row.at for row in rows}
    minutes = defaultdict[str, list[float]](list)
    for row in done:
        times = [first[name] for name in row.flag_ids if name in first]
        if times and min(times) >= row.created:  # said before the slide was asked for again
            minutes[row.trust].append((min(times) - row.created) / 60)
    return [
        Delay(trust, len(found), statistics.median(found), _p95(found))
        for trust, found in sorted(minutes.items())
    ]


def _p95(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]


def _reasons(done: Sequence[Any]) -> list[tuple[str, int]]:
    """Whatever number stands in it, one reason is one reason."""
    found = Counter(
        _NUMBER.sub("…", row.reason or "not known")
        for row in done
        if row.level == Level.NOT_ASSESSED
    )
    return found.most_common(12)


def _unrouted(connection: Connection, who: Who) -> list[Any]:
    """The oldest first; of a file in a watched folder with the reason that its watcher has."""
    mine = visible(who, Role.OPERATE, job.c.trust, job.c.network)
    known = job.outerjoin(watched, watched.c.job_id == job.c.job_id)
    found = select(job, watched.c.reason.label("why")).select_from(known)
    ordered = found.where(HAS_NO_MODEL, mine).order_by(job.c.created).limit(_MOST)
    return list(connection.execute(ordered).all())


def _warnings(connection: Connection, who: Who, now: float) -> Iterator[Warned]:
    """The last day against the two weeks before it."""
    columns = newest.c.model, newest.c.trust, newest.c.level, newest.c.score, newest.c.at
    mine = visible(who, Role.READ, newest.c.trust, newest.c.network)
    lately = newest.c.at >= now - _BEFORE_S, ~newest.c.retracted, ~newest.c.silent
    found = select(*columns).where(mine, *lately).order_by(newest.c.at.desc())
    groups = defaultdict[tuple[str, str], tuple[list[Judged], list[Judged]]](lambda: ([], []))
    for row in connection.execute(found.limit(_MOST_ANSWERS)):
        recent, before = groups[row.model, row.trust or "not known"]
        (recent if row.at >= now - DAY_S else before).append(Judged(row.level, row.score))
    for (model, trust), (recent, before) in sorted(groups.items()):
        for each in moved(recent, before):
            yield Warned(model, trust, each)
