"""New revisions: each event and its deliveries in one transaction."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from wsi_ai.core.flags import Level, Standing
from wsi_ai.delivery.events import Revision, answer_digest, kind_of, message_of, trust_of
from wsi_ai.delivery.messages import Endpoint, Kind, Message, Version
from wsi_ai.delivery.outbox.retention import PURGED
from wsi_ai.delivery.outbox.states import NO_SINK, RANKS, State
from wsi_ai.delivery.outbox.tables import delivery, event, held_elsewise
from wsi_ai.errors import OutputError

NO_IDENTITY = "the slide has no identity"
NO_ROUTE = "no sink takes this trust's flags"
"""Why an event has no sink."""
ROUTED_NOW = "has a route now"
"""Of a row that stood for a sink, before there was one."""


class SpoiledRow(ValueError):
    """A row is not what was written: a bad disk, or someone's hand."""


@dataclass(frozen=True, slots=True)
class KeptRevision:
    """A flag's newest revision, as it is in the outbox."""

    said: Revision
    flag: dict[str, Any] | None
    """``None`` once it is purged."""


def newest(connection: Connection, flag_id: str) -> KeptRevision | None:
    """Raises OutputError where it is not what was kept."""
    row = connection.execute(
        select(event).where(event.c.flag_id == flag_id).order_by(event.c.revision.desc()).limit(1)
    ).first()
    return None if row is None else kept_from(row)


def kept_from(row: Any) -> KeptRevision:
    """Of a row of ``event``.  Raises OutputError where it is not what was kept."""
    try:
        flag = flag_from(row)
        kind, level = Kind(row.kind), Level(row.level)
    except ValueError:
        raise OutputError("a flag in the outbox is spoiled; see: wsi-ai outbox check") from None
    version = Version(flag["schema_version"]) if flag else None
    said = Revision(row.event_id, row.revision, kind, level, row.answer_sha256, version)
    return KeptRevision(said, flag)


def highest_held(connection: Connection, flag_id: str) -> int:
    """The highest revision from elsewhere that a receiver said that it holds."""
    known = select(func.max(held_elsewise.c.revision)).where(held_elsewise.c.flag_id == flag_id)
    return connection.scalar(known) or 0


def above_all_held(
    connection: Connection, flag_id: str, before: KeptRevision | None
) -> Revision | None:
    """What was said, numbered no lower than what any receiver holds from elsewhere."""
    if before is None:
        return None
    held = highest_held(connection, flag_id)
    return replace(before.said, revision=max(before.said.revision, held))


def standing(connection: Connection, flag_id: str) -> Standing | None:
    """What holds of a flag now; ``None`` where it was never put, or was taken back."""
    last = newest(connection, flag_id)
    if last is None or last.said.kind is Kind.RETRACTED:
        return None
    return Standing(
        level=last.said.level,
        revision=last.said.revision,
        sent=bool(sinks_that_know(connection, flag_id)),
        flag=last.flag,
    )


def keep(connection: Connection, flag: Mapping[str, Any], sinks: Iterable[str], now: float) -> str:
    """Write down a new revision, to be sent to each of ``sinks``; see that it is not lost where
    there is none.  Returns the event's id."""
    (event_id,) = keep_all(connection, [(flag, sinks)], now)
    return event_id


def keep_all(
    connection: Connection, flags: Sequence[tuple[Mapping[str, Any], Iterable[str]]], now: float
) -> list[str]:
    """The same of several flags at once, each with its sinks."""
    made = [(message_of(flag), flag, tuple(sinks)) for flag, sinks in flags]
    if not made:
        return []
    events = [_event_row(message, flag, now) for message, flag, _ in made]
    connection.execute(insert(event), events)
    _collapse(connection, [message for message, *_ in made], now)
    rows = [row for message, _, sinks in made for row in _delivery_rows(message, sinks, now)]
    connection.execute(insert(delivery), rows)
    return [message.event_id for message, *_ in made]


def keep_for(
    connection: Connection, flag: Mapping[str, Any], sink: str, made: float, now: float
) -> str:
    """Write down a revision that one sink alone needs, as late as what it stands for."""
    message = message_of(flag)
    connection.execute(insert(event).values(_event_row(message, flag, now)))
    row = delivery_row(message, sink, State.PENDING, None, now)
    connection.execute(insert(delivery).values(row | {"created": made}))
    return message.event_id


def sinks_for(endpoints: Iterable[Endpoint], trust: str | None) -> list[str]:
    return [endpoint.name for endpoint in endpoints if endpoint.takes(trust)]


def sinks_that_know(connection: Connection, flag_id: str) -> list[str]:
    """Where earlier revisions of the flag went, or are to go."""
    found = select(delivery.c.sink).where(delivery.c.flag_id == flag_id).distinct()
    return sorted(sink for sink in connection.scalars(found) if sink != NO_SINK)


def route_again(connection: Connection, endpoints: Iterable[Endpoint], now: float) -> int:
    """Give events that no sink took to the endpoints that take them now.  Returns how many."""
    endpoints = tuple(endpoints)
    columns = event.c.event_id, event.c.trust, event.c.revision
    unrouted = select(*columns).join(delivery, delivery.c.event_id == event.c.event_id)
    unrouted = unrouted.where(delivery.c.sink == NO_SINK, delivery.c.state == State.DEAD)
    routed = 0
    for event_id, trust, _ in connection.execute(unrouted.order_by(event.c.revision)).all():
        sinks = sinks_for(endpoints, trust)
        if not sinks:
            continue
        row = connection.execute(select(event).where(event.c.event_id == event_id)).one()
        try:
            message = message_from(row)
        except SpoiledRow:
            continue
        here = delivery.c.event_id == row.event_id
        gone = update(delivery).where(here, delivery.c.sink == NO_SINK)
        connection.execute(gone.values(state=State.SKIPPED, last_error=ROUTED_NOW))
        connection.execute(insert(delivery), _delivery_rows(message, sinks, now))
        routed += 1
    return routed


def route_to_new(
    connection: Connection, flag_id: str, endpoints: Iterable[Endpoint], now: float
) -> int:
    """Give a flag's newest revision to endpoints that take it and never got any of it: they were
    set up later.  Returns to how many."""
    last = select(event).where(event.c.flag_id == flag_id).order_by(event.c.revision.desc())
    row = connection.execute(last.limit(1)).first()
    known = set(sinks_that_know(connection, flag_id))
    new = [name for name in sinks_for(endpoints, row.trust) if name not in known] if row else []
    if new:
        message = message_from(row)
        rows = [delivery_row(message, sink, State.PENDING, None, now) for sink in new]
        connection.execute(insert(delivery), rows)
    return len(new)


def message_from(row: Any) -> Message:
    """The message of a row of ``event``: the very bytes that were kept.  Raises SpoiledRow."""
    if flag_from(row) is None:
        raise SpoiledRow("its content is purged")
    urgent = Level(row.level) is Level.EXPEDITE
    return Message(
        row.event_id,
        row.flag_id,
        row.revision,
        Kind(row.kind),
        row.trust,
        urgent,
        row.body,
        row.body_sha256,
    )


def supersedes_of(message: Message) -> str | None:
    said: str | None = json.loads(message.body)["data"]["supersedes"]
    return said


def flag_from(row: Any) -> dict[str, Any] | None:
    """The flag of a row of ``event``; ``None`` once it is purged.

    Raises SpoiledRow where the body is not what was written, or the columns beside it, by which it
    is ordered, routed and named, do not say what the body says.
    """
    body = row.body
    if body == PURGED:
        return None
    if not isinstance(body, bytes) or hashlib.sha256(body).hexdigest() != row.body_sha256:
        raise SpoiledRow("its content is not what was kept")
    told = json.loads(body)  # these are our own bytes
    flag: dict[str, Any] = told["data"]
    columns = _columns(told["id"], flag, answer_digest(flag))
    if any(getattr(row, name) != value for name, value in columns.items()):
        raise SpoiledRow("what stands beside its content is not what was kept")
    return flag


def flag_if_whole(row: Any) -> dict[str, Any] | None:
    """The same where the body is what was written; what stands beside it is not looked at."""
    if row.body == PURGED or hashlib.sha256(row.body).hexdigest() != row.body_sha256:
        return None
    flag: dict[str, Any] = json.loads(row.body)["data"]
    return flag


def _columns(event_id: str, flag: Mapping[str, Any], answer: str) -> dict[str, Any]:
    """What the table says of a flag beside its body."""
    return {
        "event_id": event_id,
        "flag_id": flag["flag_id"],
        "revision": flag["revision"],
        "kind": kind_of(flag).value,
        "level": flag["result"]["level"],
        "trust": trust_of(flag),
        "model_name": flag["model"]["name"],
        "model_version": flag["model"]["version"],
        "answer_sha256": answer,
    }


def _collapse(connection: Connection, messages: Sequence[Message], now: float) -> None:
    """Before new ones are there: older revisions that no one has seen need not be sent; those that
    someone may have seen go first, and at once, as urgent as what waits for them."""
    names = [message.flag_id for message in messages if message.revision > 1]
    if names:
        pending = delivery.c.state.concat("") == State.PENDING  # by flag: of this state are most
        waits = delivery.c.flag_id.in_(names), pending
        older = update(delivery).where(*waits).values(changed=now)
        unseen = older.where(delivery.c.attempts == 0)
        told = "superseded before it was sent"
        connection.execute(unseen.values(state=State.SKIPPED, last_error=told))
        connection.execute(older.values(next_at=now))
        urgent = [message.flag_id for message in messages if message.urgent]
        first = update(delivery).where(*waits, delivery.c.flag_id.in_(urgent))
        connection.execute(first.values(rank=RANKS[0]))


def _event_row(message: Message, flag: Mapping[str, Any], now: float) -> dict[str, Any]:
    return {
        **_columns(message.event_id, flag, message.answer),
        "body": message.body,
        "body_sha256": message.sha256,
        "created": now,
    }


def _delivery_rows(message: Message, sinks: Sequence[str], now: float) -> list[dict[str, Any]]:
    rows = [delivery_row(message, sink, State.PENDING, None, now) for sink in sinks]
    return rows or [_unsent_row(message, now)]


def delivery_row(
    message: Message, sink: str, state: State, told: str | None, now: float
) -> dict[str, Any]:
    return {
        "event_id": message.event_id,
        "sink": sink,
        "flag_id": message.flag_id,
        "revision": message.revision,
        "rank": 0 if message.urgent else 1,
        "state": state,
        "attempts": 0,
        "next_at": now,
        "changed": now,
        "created": now,
        "last_error": told,
        "alarmed": False,
    }


def _unsent_row(message: Message, now: float) -> dict[str, Any]:
    if message.trust is None:
        return delivery_row(message, NO_SINK, State.SKIPPED, NO_IDENTITY, now)
    return delivery_row(message, NO_SINK, State.DEAD, NO_ROUTE, now)
