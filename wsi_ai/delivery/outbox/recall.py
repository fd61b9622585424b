"""All that a model said, taken back: in batches, so that others get their turn in between."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, func, select

import wsi_ai.delivery.outbox.admin as admin
import wsi_ai.delivery.outbox.revisions as revisions
from wsi_ai.delivery.events import retraction
from wsi_ai.delivery.messages import Kind, Retraction
from wsi_ai.delivery.outbox.database import alone
from wsi_ai.delivery.outbox.retention import PURGED
from wsi_ai.delivery.outbox.states import NO_SINK
from wsi_ai.delivery.outbox.tables import delivery, event
from wsi_ai.errors import OutputError

BATCH = 200
PAUSE_S = 0.02
"""Between two batches, so that whoever waits for the database gets it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A step of a recall.  What was taken back is no longer live, so a recall that was stopped goes
    on where it was."""

    event_ids: list[str]
    spoiled: int
    """Flags that are not what was kept: a person must look."""
    last: str
    """The id of the last flag that was looked at."""


def take_one_back(
    connection: Connection, flag_id: str, why: Retraction, now: float
) -> dict[str, Any] | None:
    """The retraction of a flag; ``None`` where there is none, or it was taken back.

    Raises OutputError where its content is purged.
    """
    before = revisions.newest(connection, flag_id)
    if before is None or before.said.kind is Kind.RETRACTED:
        return None
    if before.flag is None:
        raise OutputError("its content is purged: tell its receiver that it no longer holds")
    said = revisions.above_all_held(connection, flag_id, before) or before.said
    return retraction(before.flag, said, why, datetime.fromtimestamp(now, UTC))


def take_back(
    connection: Connection, model: tuple[str, str], after: str, now: float
) -> Batch | None:
    """Take back the live flags among the next ``BATCH`` of a model; ``None`` behind the last."""
    asked = event.c.model_name == model[0], event.c.model_version == model[1]
    behind = select(event.c.flag_id).where(*asked, event.c.flag_id > after).distinct()
    names = list(connection.scalars(behind.order_by(event.c.flag_id).limit(BATCH)))
    if not names:
        return None
    for name in names:
        alone(connection, name)
    flags, spoiled = list[tuple[dict[str, Any], list[str]]](), 0
    sinks = _sinks_that_know(connection, names)
    live = select(event).where(*asked, event.c.flag_id.in_(names), event.c.kind != Kind.RETRACTED)
    at = datetime.fromtimestamp(now, UTC)
    for row in connection.execute(live.where(admin.is_newest(), event.c.body != PURGED)).all():
        try:
            kept = revisions.kept_from(row)
        except OutputError:
            spoiled += 1
            continue
        if kept.flag is not None:
            taken = retraction(kept.flag, kept.said, Retraction.MODEL_DEFECT, at)
            flags.append((taken, sinks.get(row.flag_id, [])))
    return Batch(revisions.keep_all(connection, flags, now), spoiled, names[-1])


def count_purged(connection: Connection, model: str, version: str) -> int:
    """How many live flags of a model can no longer be taken back."""
    asked = event.c.model_name == model, event.c.model_version == version
    gone = event.c.body == PURGED, event.c.kind != Kind.RETRACTED, admin.is_newest()
    return connection.scalar(select(func.count()).select_from(event).where(*asked, *gone)) or 0


def _sinks_that_know(connection: Connection, names: list[str]) -> dict[str, list[str]]:
    pairs = select(delivery.c.flag_id, delivery.c.sink).where(
        delivery.c.flag_id.in_(names), delivery.c.sink != NO_SINK
    )
    found: dict[str, list[str]] = {}
    for flag_id, sink in sorted(set(map(tuple, connection.execute(pairs)))):
        found.setdefault(flag_id, []).append(sink)
    return found
