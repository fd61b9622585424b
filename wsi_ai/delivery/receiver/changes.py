"""What changed and is looked at, in one order."""

from sqlalchemy import Connection, func, insert, select

from wsi_ai.delivery.outbox.database import alone
from wsi_ai.delivery.receiver.tables import change

LINE = "line"
"""A line of the worklist: the id is the flag's."""
SENDER = "sender"
"""Somebody who sends flags was heard of for the first time, or says other things than before."""

Whose = tuple[str | None, str | None]
"""Trust and network."""


def note(
    connection: Connection, what: str, name: str, at: float, whose: Whose = (None, None)
) -> int:
    """Inside the transaction that changes it, at its end: until that commits, no other change gets
    a number.  Returns the number."""
    alone(connection, "change")
    seq = (connection.scalar(select(func.max(change.c.seq))) or 0) + 1
    trust, network = whose
    row = {"seq": seq, "what": what, "id": name, "trust": trust, "network": network, "at": at}
    connection.execute(insert(change).values(row))
    return seq
