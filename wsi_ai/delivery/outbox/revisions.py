"""New revisions: each event and its deliveries in one transaction."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from wsi_ai.core.flags import Level, Standing
from wsi_ai.delivery.events import Revision, answer_digest, message_of
from wsi_ai.delivery.messages import Endpoint, Kind, Message
from wsi_ai.delivery.outbox.retention import PURGED
from wsi_ai.delivery.outbox.states import NO_SINK, State
from wsi_ai.delivery.outbox.tables import delivery, event


@dataclass(frozen=True, slots=True)
class KeptRevision:
    """A flag's newest revision, as it is in the outbox."""

    said: Revision
    flag: dict[str, Any] | None
    """``None`` once it is purged."""


def newest(connection: Connection, flag_id: str) -> KeptRevision | None:
    row = connection.execute(
        select(event).where(event.c.flag_id == flag_id).order_by(event.c.revision.desc()).limit(1)
    ).first()
    if row is None:
        return None
    said = Revision(row.event_id, row.revision, Kind(row.kind), Level(row.level), row.answer_sha256)
    return KeptRevision(said, json.loads(row.body)["data"] if row.body != PURGED else None)


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


def keep(connection: Connection, flag: Mapping[str, Any], sinks: Iterable[str], now: float) -> None:
    """Write down a new revision, to be sent to each of ``sinks``; see that it is not lost where
    there is none."""
    message = message_of(flag)
    connection.execute(insert(event).values(_event_row(message, flag, now)))
    _collapse(connection, message, now)
    rows = [_delivery_row(message, sink, State.PENDING, None, now) for sink in sinks]
    connection.execute(insert(delivery), rows or [_unsent_row(message, now)])


def sinks_for(endpoints: Iterable[Endpoint], trust: str | None) -> list[str]:
    return [endpoint.name for endpoint in endpoints if endpoint.takes(trust)]


def sinks_that_know(connection: Connection, flag_id: str) -> list[str]:
    """Where earlier revisions of the flag went, or are to go."""
    found = select(delivery.c.sink).where(delivery.c.flag_id == flag_id).distinct()
    return sorted(sink for sink in connection.scalars(found) if sink != NO_SINK)


def route_again(connection: Connection, endpoints: Iterable[Endpoint], now: float) -> int:
    """Give events that no sink took to the endpoints that take them now.  Returns how many."""
    endpoints = tuple(endpoints)
    unrouted = select(event).join(delivery, delivery.c.event_id == event.c.event_id)
    unrouted = unrouted.where(delivery.c.sink == NO_SINK, delivery.c.state == State.DEAD)
    routed = 0
    for row in connection.execute(unrouted.order_by(event.c.revision)).all():
        sinks = sinks_for(endpoints, row.trust)
        if not sinks:
            continue
        message = message_from(row)
        here = delivery.c.event_id == row.event_id
        gone = update(delivery).where(here, delivery.c.sink == NO_SINK)
        connection.execute(gone.values(state=State.SKIPPED, last_error="has a route now"))
        rows = [_delivery_row(message, sink, State.PENDING, None, now) for sink in sinks]
        connection.execute(insert(delivery), rows)
        routed += 1
    return routed


def message_from(row: Any) -> Message:
    """The message of a row of ``event``: the very bytes that were kept."""
    urgent = Level(row.level) is Level.EXPEDITE
    return Message(
        row.event_id, row.flag_id, row.revision, Kind(row.kind), row.trust, urgent, row.body
    )


def _collapse(connection: Connection, message: Message, now: float) -> None:
    """Older revisions that no one has seen need not be sent; those that someone may have seen go
    first, and at once."""
    older = update(delivery).where(
        delivery.c.flag_id == message.flag_id,
        delivery.c.revision < message.revision,
        delivery.c.state == State.PENDING,
    )
    told = "superseded before it was sent"
    connection.execute(
        older.where(delivery.c.attempts == 0).values(
            state=State.SKIPPED, changed=now, last_error=told
        )
    )
    connection.execute(older.values(next_at=now, changed=now))


def _event_row(message: Message, flag: Mapping[str, Any], now: float) -> dict[str, Any]:
    return {
        "event_id": message.event_id,
        "flag_id": message.flag_id,
        "revision": message.revision,
        "kind": message.kind,
        "level": flag["result"]["level"],
        "trust": message.trust,
        "model_name": flag["model"]["name"],
        "model_version": flag["model"]["version"],
        "answer_sha256": answer_digest(flag),
        "body": message.body,
        "body_sha256": hashlib.sha256(message.body).hexdigest(),
        "created": now,
    }


def _delivery_row(
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
        told = "the slide has no identity"
        return _delivery_row(message, NO_SINK, State.SKIPPED, told, now)
    return _delivery_row(message, NO_SINK, State.DEAD, "no sink takes this trust's flags", now)
