"""What a receiver of an earlier version kept in its file, in tables without a prefix."""

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, insert, inspect, text

from wsi_ai.delivery.receiver.changes import LINE, note
from wsi_ai.delivery.receiver.line import columns_of, is_silent
from wsi_ai.delivery.receiver.tables import arrival, audit_head, heard, newest

_TABLES = {
    "arrival": {"n", "event_id", "flag_id", "revision", "at", "became"},
    "newest": {"flag_id", "revision", "event_id", "at", "flag"},
    "heard": {"sender", "at", "told"},
    "audit_head": {"n", "sender", "at", "lines", "sha256"},
    "sender": {"trusts", "at", "told"},
}
"""With the columns that they always had."""


def take_over(connection: Connection) -> None:
    """Into today's tables; the earlier ones are gone then, so that it is done once.  Inside the
    transaction that makes today's."""
    if connection.dialect.name != "sqlite":
        return
    there = inspect(connection)
    ours = [
        name
        for name, columns in _TABLES.items()
        if there.has_table(name) and columns <= {one["name"] for one in there.get_columns(name)}
    ]
    copies = {"arrival": _arrivals, "newest": _flags, "heard": _heard, "audit_head": _heads}
    copies["sender"] = _of_trusts
    for name in ours:
        copies[name](connection)
        connection.execute(text(f"DROP TABLE {name}"))


def _rows(connection: Connection, table: str, order: str) -> Iterator[dict[str, Any]]:
    found = connection.execute(text(f"SELECT * FROM {table} ORDER BY {order}")).mappings()
    return map(dict, found.all())


def _arrivals(connection: Connection) -> None:
    if rows := list(_rows(connection, "arrival", "n")):
        connection.execute(insert(arrival), rows)


def _flags(connection: Connection) -> None:
    for row in _rows(connection, "newest", "at, flag_id"):
        flag = json.loads(row["flag"])
        made = columns_of(flag, row["event_id"]) | {"at": row["at"], "silent": is_silent(flag)}
        made |= {"same_since": made["revision"], "acknowledged": False}
        made |= {"acknowledged_before": False, "listed": not (made["retracted"] or made["silent"])}
        made["seq"] = note(connection, LINE, row["flag_id"], row["at"], _whose(made))
        connection.execute(insert(newest).values(made))


def _whose(made: dict[str, Any]) -> tuple[str | None, str | None]:
    return made["trust"], made["network"]


def _heard(connection: Connection) -> None:
    for row in _rows(connection, "heard", "sender"):
        known = {name: row.get(name) for name in ("sender", "at", "told", "since")}
        connection.execute(insert(heard).values(known))


def _of_trusts(connection: Connection) -> None:
    """Before senders had names."""
    known = {row["sender"] for row in _rows(connection, heard.name, "sender")}
    for row in _rows(connection, "sender", "trusts"):
        if row["trusts"] not in known:
            made = {"sender": row["trusts"], "at": row["at"], "told": row["told"], "since": None}
            connection.execute(insert(heard).values(made))


def _heads(connection: Connection) -> None:
    if rows := list(_rows(connection, "audit_head", "n")):
        connection.execute(insert(audit_head), rows)
