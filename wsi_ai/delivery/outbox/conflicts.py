"""What a receiver holds, where that came from another outbox, and what follows from it."""

import json

from sqlalchemy import Connection, delete, insert, select, update

import wsi_ai.delivery.outbox.revisions as revisions
from wsi_ai.delivery.events import answer_digest, put_anew, readdressed
from wsi_ai.delivery.messages import Held, Kind, Message, Version
from wsi_ai.delivery.outbox.states import State
from wsi_ai.delivery.outbox.tables import addressed, delivery, event, held_elsewise

_TAKEN_BACK = "the receiver holds that this flag was taken back elsewhere"
_SAME = "the receiver holds this answer already"
_NEWER = "a newer revision goes instead"


def settle_conflict(
    connection: Connection, sink: str, message: Message, held: Held, now: float
) -> str | None:
    """The receiver holds another answer than ``message``.  Nothing of it is dead: where the held
    one says the same, or was taken back, there is nothing to say; else the answer is put anew, to
    follow the one that is held.  Returns the new
    event's id, if there is one.
    """
    _remember(connection, sink, message.flag_id, held)
    row = connection.execute(select(event).where(event.c.event_id == message.event_id)).one()
    flag, newest = revisions.flag_from(row), revisions.newest(connection, message.flag_id)
    why = _no_need(connection, sink, message, held)
    if why is not None or flag is None or newest is None:
        _drop(connection, sink, message.event_id, why or _NEWER, now)
        return None
    beyond = revisions.highest_held(connection, message.flag_id)
    revision = 1 + max(newest.said.revision, beyond)
    anew = put_anew(flag, held, revision)
    made = select(delivery.c.created).where(
        delivery.c.event_id == message.event_id, delivery.c.sink == sink
    )
    name = revisions.keep_for(connection, anew, sink, connection.execute(made).scalar_one(), now)
    told = f"the receiver held another answer: put anew as revision {revision}"
    _drop(connection, sink, message.event_id, told, now)
    return name


def is_no_surprise(connection: Connection, sink: str, message: Message, held: Held) -> bool:
    """Of an event that the receiver knew: what it holds is a later one of ours, or says the same.

    If not, another outbox said something else since: then what is said now must be said anew.
    """
    ours = select(event.c.revision).where(event.c.event_id == held.event_id)
    if (connection.scalar(ours) or 0) > message.revision:
        return True
    _remember(connection, sink, message.flag_id, held)
    answer = answer_digest(json.loads(message.body)["data"])
    return held.says(answer, retracted=message.kind is Kind.RETRACTED)


def for_sink(connection: Connection, sink: str, version: Version, message: Message) -> Message:
    """The message in the version that the sink takes, naming what is held there: revisions
    that were superseded before they were sent never came there."""
    if version is Version.V1_1 and message.kind in (Kind.RAISED, Kind.NOT_ASSESSED):
        return message
    return readdressed(message, version, _held_there(connection, sink, message))


def _held_there(connection: Connection, sink: str, message: Message) -> str | None:
    """Where nothing is known to be held: what the message itself says.  The same every time."""
    said = revisions.supersedes_of(message)
    if said is None:
        return None
    here = addressed.c.event_id == message.event_id, addressed.c.sink == sink
    before: str | None = connection.scalar(select(addressed.c.supersedes).where(*here))
    if before is not None:
        return before
    told = _newest_there(connection, sink, message) or said
    row = {"event_id": message.event_id, "sink": sink, "supersedes": told}
    connection.execute(insert(addressed).values(row))
    return told


def _newest_there(connection: Connection, sink: str, message: Message) -> str | None:
    """What is known to be held there, of revisions before the message's."""
    delivered = connection.execute(
        select(delivery.c.revision, delivery.c.event_id)
        .where(
            delivery.c.flag_id == message.flag_id,
            delivery.c.sink == sink,
            delivery.c.revision < message.revision,
            delivery.c.state == State.DELIVERED,
        )
        .order_by(delivery.c.revision.desc())
        .limit(1)
    ).first()
    told = connection.execute(
        select(held_elsewise.c.revision, held_elsewise.c.event_id).where(
            held_elsewise.c.flag_id == message.flag_id,
            held_elsewise.c.sink == sink,
            held_elsewise.c.revision < message.revision,
        )
    ).first()
    newest = max((tuple(row) for row in (delivered, told) if row is not None), default=None)
    return None if newest is None else str(newest[1])


def _no_need(connection: Connection, sink: str, message: Message, held: Held) -> str | None:
    """Why the message need not be said again; ``None`` where it must."""
    answer = answer_digest(json.loads(message.body)["data"])
    if held.says(answer, retracted=message.kind is Kind.RETRACTED):
        return _SAME
    if held.retracted:
        return _TAKEN_BACK
    newer = select(delivery.c.event_id).where(
        delivery.c.flag_id == message.flag_id,
        delivery.c.sink == sink,
        delivery.c.revision > message.revision,
        delivery.c.state != State.SKIPPED,
    )
    return _NEWER if connection.execute(newer).first() else None


def _drop(connection: Connection, sink: str, event_id: str, why: str, now: float) -> None:
    here = delivery.c.event_id == event_id, delivery.c.sink == sink
    done = {"state": State.SKIPPED, "lease_until": None, "changed": now, "last_error": why}
    connection.execute(update(delivery).where(*here).values(done))


def _remember(connection: Connection, sink: str, flag_id: str, held: Held) -> None:
    here = held_elsewise.c.sink == sink, held_elsewise.c.flag_id == flag_id
    connection.execute(delete(held_elsewise).where(*here))
    row = {"revision": held.revision, "event_id": held.event_id, "retracted": held.retracted}
    connection.execute(insert(held_elsewise).values(sink=sink, flag_id=flag_id, **row))
