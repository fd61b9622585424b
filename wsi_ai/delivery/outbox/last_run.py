"""Whether the last run could begin: heartbeats say so until one does."""

import json

from sqlalchemy import Connection, delete, insert, select

from wsi_ai.delivery.messages import NotStarted
from wsi_ai.delivery.outbox.tables import about

_NAME = "not_started"


def note_run(connection: Connection, not_started: NotStarted | None) -> None:
    """``None`` where it began."""
    connection.execute(delete(about).where(about.c.name == _NAME))
    if not_started is not None:
        value = json.dumps([not_started.slides, not_started.kind])
        connection.execute(insert(about).values(name=_NAME, value=value))


def not_started(connection: Connection) -> NotStarted | None:
    """``None`` where the last run began, or there was none."""
    value = connection.scalar(select(about.c.value).where(about.c.name == _NAME))
    return NotStarted(*json.loads(value)) if value else None
