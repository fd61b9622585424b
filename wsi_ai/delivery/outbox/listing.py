"""Each flag as it holds now, and how far its newest revision has come."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from wsi_ai.delivery.outbox import admin, revisions
from wsi_ai.delivery.outbox.outbox import Outbox
from wsi_ai.delivery.outbox.recall import BATCH
from wsi_ai.delivery.outbox.states import NO_SINK, OPEN, State
from wsi_ai.delivery.outbox.tables import delivery, endpoint, event
from wsi_ai.errors import OutputError

_MOST_NAMED = 3
_LEAST_SIGNS = 4


@dataclass(frozen=True, slots=True)
class Step:
    """Of the newest revision of a flag, to one sink."""

    flag_id: str
    sink: str
    state: State
    why: str | None

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    def __str__(self) -> str:
        """``delivered``; ``waiting: the receiver answered 401``; ``not sent: …``."""
        to = "" if self.sink == NO_SINK else f" ({self.sink})"
        if self.state is State.DELIVERED:
            return f"delivered{to}"
        if self.is_open:
            return f"waiting: {self.why or 'not tried yet'}{to}"
        stopped = "needs a person" if self.state is State.DEAD and to else "not sent"
        return f"{stopped}: {self.why or 'no reason was kept'}{to}"


@dataclass(frozen=True, slots=True)
class ListedFlag:
    flag: Mapping[str, Any]
    steps: tuple[Step, ...]


def listed(outbox: Outbox) -> Iterator[ListedFlag]:
    """The newest revision of every flag that is not purged, by its id."""
    after = ""
    while True:
        with outbox.reading() as connection:
            rows = admin.newest_events(connection, after, BATCH)
            steps = _steps(connection, [row.event_id for row in rows])
        if not rows:
            return
        for row in rows:
            if (flag := revisions.kept_from(row).flag) is not None:
                yield ListedFlag(flag, tuple(steps.get(row.flag_id, ())))
        after = rows[-1].flag_id


def steps_of(outbox: Outbox, flag_ids: Sequence[str]) -> dict[str, list[Step]]:
    """Of each of these flags, how far its newest revision has come."""
    found: dict[str, list[Step]] = {}
    with outbox.reading() as connection:
        for start in range(0, len(flag_ids), BATCH):
            wanted = flag_ids[start : start + BATCH]
            newest = select(event.c.event_id).where(event.c.flag_id.in_(wanted), admin.is_newest())
            found |= _steps(connection, list(connection.scalars(newest)))
    return found


def whole_id(outbox: Outbox, beginning: str) -> str:
    """The flag whose id begins so.  Raises OutputError where there is none, or several."""
    wanted = event.c.flag_id.startswith(beginning, autoescape=True)
    with outbox.reading() as connection:
        some = select(event.c.flag_id).where(wanted).distinct().order_by(event.c.flag_id)
        found = list(connection.scalars(some.limit(_MOST_NAMED)))
    if len(found) > 1:
        named = ", ".join(found)
        raise OutputError(f"several flags have an id that begins so; give more of it: {named}")
    if not found or len(beginning) < _LEAST_SIGNS:
        raise OutputError("no such flag; see: wsi-ai flags list")
    return str(found[0])


def _steps(connection: Connection, event_ids: Sequence[str]) -> dict[str, list[Step]]:
    """By flag.  Of what was not tried yet, why what goes before it was not taken: an older
    revision, or all that goes to a sink that is paused."""
    columns = delivery.c.flag_id, delivery.c.sink, delivery.c.state, delivery.c.last_error
    wanted = select(*columns, endpoint.c.why)
    wanted = wanted.outerjoin(endpoint, endpoint.c.sink == delivery.c.sink)
    wanted = wanted.where(delivery.c.event_id.in_(event_ids)).order_by(delivery.c.sink)
    rows = connection.execute(wanted).all()
    before = _older_reasons(connection, [row.flag_id for row in rows])
    found: dict[str, list[Step]] = {}
    for flag_id, sink, state, error, why in rows:
        if error != revisions.ROUTED_NOW:
            known = error or why or before.get((flag_id, sink))
            found.setdefault(flag_id, []).append(Step(flag_id, sink, State(state), known))
    return found


def _older_reasons(
    connection: Connection, flag_ids: Sequence[str]
) -> dict[tuple[str, str], str | None]:
    """By flag and sink: why what still waits of it was not taken so far."""
    columns = delivery.c.flag_id, delivery.c.sink, delivery.c.last_error
    waits = delivery.c.state.in_(OPEN), delivery.c.last_error.is_not(None)
    wanted = select(*columns).where(delivery.c.flag_id.in_(flag_ids), *waits)
    rows = connection.execute(wanted.order_by(delivery.c.revision)).all()
    return {(row.flag_id, row.sink): row.last_error for row in rows}
