"""How many slides no rule gives a model: heartbeats say so, for no flag does."""

from sqlalchemy import Connection, delete, insert, select

from wsi_ai.delivery.outbox.tables import about

_NAME = "unrouted"


def note_unrouted(connection: Connection, slides: int) -> None:
    if unrouted(connection) == slides:
        return
    connection.execute(delete(about).where(about.c.name == _NAME))
    if slides:
        connection.execute(insert(about).values(name=_NAME, value=str(slides)))


def unrouted(connection: Connection) -> int:
    return int(connection.scalar(select(about.c.value).where(about.c.name == _NAME)) or 0)
