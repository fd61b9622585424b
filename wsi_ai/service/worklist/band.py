"""Whether the list may lack lines: what stands above it in red.

A sender that is silent, a run that did not start, slides that no model runs on, a worker that is
gone, slides that wait where no worker is, and slides of which nobody said whose they are.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Select, func, select, union_all

from wsi_ai.core.timing import DAY_S, timestamp_if
from wsi_ai.core.wording import counted, verb
from wsi_ai.delivery.outbox.database import reading
from wsi_ai.delivery.outbox.revisions import NO_IDENTITY
from wsi_ai.delivery.outbox.states import NO_SINK, State
from wsi_ai.delivery.outbox.tables import delivery
from wsi_ai.delivery.receiver.completeness import completeness
from wsi_ai.delivery.receiver.inbox import Inbox
from wsi_ai.delivery.receiver.tables import newest
from wsi_ai.service import workers
from wsi_ai.service.access.who import REGION, Role, Who
from wsi_ai.service.database.tables import watched
from wsi_ai.service.jobs import JobState, job

_LATE_S = 60.0
"""Until then a worker may be starting."""


@dataclass(frozen=True, slots=True)
class Band:
    """Empty where nothing is known to be missing."""

    since: str | None = None
    """As a time in UTC, where that is known."""
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Work:
    """What is known of this service's own workers and jobs."""

    gone: Sequence[float] = ()
    """When they were heard of last."""
    running: int = 0
    waiting: int = 0
    oldest: float | None = None
    """When the first of those that wait was asked for."""
    folders_gone: int = 0
    """Watched folders that cannot be looked into, or are not what they were."""
    nobodys: int = 0
    """Slides judged in the last day of which nobody said whose they are."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Of everybody's senders and of this service, at one moment."""

    senders: Sequence[Mapping[str, Any]]
    networks: Mapping[str, str | None]
    """Of the senders' trusts that have lines."""
    work: Work
    now: float


def facts(engine: Engine, now: float) -> Facts:
    """Raises OutputError."""
    senders = Inbox(engine).senders(now)
    trusts = {trust for sender in senders for trust in sender["trusts"]}
    return Facts(senders, _networks(engine, trusts), work(engine, now), now)


def _networks(engine: Engine, trusts: Collection[str]) -> Mapping[str, str | None]:
    """Of each trust the network that one of its lines names: one look into an index for each."""
    if not trusts:
        return {}
    columns = newest.c.trust, newest.c.network
    one_each = [
        select(*select(*columns).where(newest.c.trust == trust).limit(1).subquery().c)
        for trust in sorted(trusts)
    ]
    with reading(engine, "worklist") as opened:
        rows = opened.execute(union_all(*one_each)).all()
    return {row.trust: row.network for row in rows}


_FOLDERS_GONE = select(func.count()).select_from(watched).where(watched.c.state == "gone")


def band_of(found: Facts, who: Who) -> Band:
    """Of the list as ``who`` sees it.  Pure."""
    senders = [one for one in found.senders if concerns(found, who, Role.READ, one)]
    since = (one["incomplete_since"] for one in senders if one["incomplete_since"])
    first = min(since, default=None)
    reasons = [(first, why) for why in completeness(senders)["why"]]
    reasons += _of_work(found.work, found.now)
    times = sorted(at for at, _ in reasons if at is not None)
    return Band(times[0] if times else None, tuple(why for _, why in reasons))


def work(engine: Engine, now: float) -> Work:
    """Raises OutputError."""
    known = workers.up(engine, now)
    gone = [one.beat for one in known if one.gone and not one.draining]
    found = select(func.count(), func.min(job.c.created)).where(job.c.state == JobState.WAITING)
    with reading(engine, "worklist") as connection:
        waiting, oldest = connection.execute(found).one()
        folders = connection.scalar(_FOLDERS_GONE) or 0
        nobodys = connection.scalar(_nobodys(now)) or 0
    return Work(gone, sum(not one.gone for one in known), waiting, oldest, folders, nobodys)


def _nobodys(now: float) -> Select[Any]:
    """Flags that are put to no sink, for nobody said whose slides they are of."""
    unsent = delivery.c.sink == NO_SINK, delivery.c.state == State.SKIPPED
    recent = delivery.c.created > now - DAY_S, delivery.c.last_error == NO_IDENTITY
    return select(func.count(delivery.c.flag_id.distinct())).where(*unsent, *recent)


def _of_work(found: Work, now: float) -> Iterator[tuple[str | None, str]]:
    if found.gone:
        number = len(found.gone)
        what = f"{counted(number, 'worker')} of this service {verb(number, 'is', 'are')} gone"
        yield timestamp_if(min(found.gone)), what
    if number := found.folders_gone:
        what = f"{counted(number, 'watched folder')} {verb(number, 'is', 'are')} gone"
        yield None, f"{what}: what arrives there is not seen"
    if number := found.nobodys:
        slides = f"{counted(number, 'slide')} {verb(number, 'was', 'were')} judged in the last day"
        yield None, f"{slides}, and nobody said whose: no list has the flag (--cases)"
    late = found.oldest is not None and now - found.oldest > _LATE_S
    if late and not found.running:
        number = found.waiting
        what = f"no worker runs; {counted(number, 'slide')} {verb(number, 'waits', 'wait')}"
        yield timestamp_if(found.oldest), what


def concerns(found: Facts, who: Who, role: Role, sender: Mapping[str, Any]) -> bool:
    """Whether it sends flags of a trust that they have the role at, or does not say whose."""
    trusts = sender["trusts"]
    if not trusts or REGION in who.scopes(role):
        return True
    return any(who.may(role, trust, found.networks.get(trust)) for trust in trusts)
