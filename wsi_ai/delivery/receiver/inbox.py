"""What was received: every event once, and of each flag the newest revision."""

import itertools
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Select, delete, insert, select

from wsi_ai.core.timing import timestamp_if
from wsi_ai.delivery.messages import Held
from wsi_ai.delivery.outbox.database import alone, connect, make_private, reading, translated
from wsi_ai.delivery.receiver.changes import LINE, SENDER, note
from wsi_ai.delivery.receiver.completeness import is_troubled, reasons
from wsi_ai.delivery.receiver.earlier import take_over
from wsi_ai.delivery.receiver.incoming import Beat, Event
from wsi_ai.delivery.receiver.line import columns_of, is_listed, is_silent, shown
from wsi_ai.delivery.receiver.tables import META, arrival, audit_head, heard, newest
from wsi_ai.delivery.succession import Standing, as_json, standing

_MISSED = 3
"""Number of heartbeats in a row; then the sender is silent."""


class Became(StrEnum):
    """What an event did to the worklist."""

    NEWEST = "newest"
    DUPLICATE = "duplicate"
    OUTDATED = "outdated"
    CONFLICT = "conflict"
    """Another answer than the one that is held, by someone who does not know of it: refused."""


_BECAME = {
    Standing.FOLLOWS: Became.NEWEST,
    Standing.KNOWN: Became.OUTDATED,
    Standing.CONFLICTS: Became.CONFLICT,
}


def open_inbox(place: Path | str) -> "Inbox":
    """In a file of its own, or in the database of a URL; made where it is not there.  What an
    earlier version kept in the file is taken over.  Raises OutputError."""
    with translated("inbox"):
        engine = connect(str(place))
        if engine.dialect.name == "sqlite":
            make_private(engine.url.database)
    make_inbox_tables(engine)
    return Inbox(engine)


def make_inbox_tables(engine: Engine) -> None:
    """Where they are not there.  Raises OutputError."""
    with translated("inbox"), engine.begin() as connection:
        alone(connection, "tables")
        META.create_all(connection)
        take_over(connection)


@dataclass(frozen=True, slots=True)
class Inbox:
    """An event that was answered for is on the disk.  Any number of processes may share it.  Raises
    OutputError where the database refuses."""

    engine: Engine
    _alone: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    """Threads of one process wait here, where whoever is first goes on at once."""

    def take(self, event: Event, at: float) -> Became:
        """Keep an event.  The worklist changes where it follows the one that is held: so
        duplicates, late arrivals and replays do no harm, and nobody overrules an answer unseen."""
        flag, flag_id = event.flag, event.flag["flag_id"]
        with self._writing() as connection:
            alone(connection, f"inbox {flag_id}")
            row = connection.execute(select(*_HELD, *_KEPT).where(_is(flag_id))).first()
            became = _became(connection, event, row)
            came = {"event_id": event.event_id, "flag_id": flag_id, "at": at}
            came |= {"revision": flag["revision"], "became": became}
            connection.execute(insert(arrival).values(came))
            if became is Became.NEWEST:
                _keep(connection, event, row, at)
        return became

    def hear(self, beat: Beat, at: float) -> None:
        """Of each sender the last one; one of version 1.0 is known by whose flags it sends."""
        heartbeat = beat.heartbeat
        sender = heartbeat.sender or json.dumps(heartbeat.trusts)
        told = heartbeat.model_dump_json(exclude_unset=True)
        with self._writing() as connection:
            alone(connection, f"inbox sender {sender}")
            before = connection.execute(select(heard).where(heard.c.sender == sender)).first()
            since = _troubled_since(before, at) if is_troubled(json.loads(told)) else None
            row = {"sender": sender, "at": at, "told": told, "since": since}
            connection.execute(delete(heard).where(heard.c.sender == sender))
            connection.execute(insert(heard).values(row))
            if beat.audit_head is not None:
                _keep_head(connection, sender, at, beat.audit_head)
            if before is None or _looks(before, at) != _looks_of(json.loads(told)):
                note(connection, SENDER, sender, at)

    def senders(self, now: float) -> list[dict[str, Any]]:
        """Who says to be alive, and who no longer does: then nothing that is shown is complete."""
        with reading(self.engine, "inbox") as connection:
            rows = connection.execute(select(heard).order_by(heard.c.sender)).all()
            heads = {row.sender: _heads(connection, row.sender) for row in rows}
        return [
            _sender(row.at, json.loads(row.told), row.since, now) | _audit(heads[row.sender])
            for row in rows
        ]

    def worklist(self) -> list[dict[str, Any]]:
        """Flags that hold, the most urgent first; one that was taken back is not among them, and
        none of a model on trial."""
        columns = [column for column in newest.c if column.name != "flag"]
        lines = select(*columns).where(~newest.c.retracted, ~newest.c.silent)
        ordered = lines.order_by(newest.c.urgency, newest.c.issued, newest.c.flag_id)
        return [shown(row._mapping) for row in self._rows(ordered)]

    def held(self) -> list[dict[str, Any]]:
        """The newest revision of every flag, taken back or not: for the sender to compare."""
        rows = self._rows(select(newest.c.flag_id, *_HELD).order_by(newest.c.flag_id))
        return [{"flag_id": row.flag_id, **as_json(_held(row))} for row in rows]

    def holds(self, flag_id: str) -> Held | None:
        rows = self._rows(select(*_HELD).where(_is(flag_id)))
        return _held(rows[0]) if rows else None

    def arrivals(self) -> list[tuple[str, str, int, str]]:
        """Event id, flag id, revision and what it became, in the order of arrival."""
        found = arrival.c.event_id, arrival.c.flag_id, arrival.c.revision, arrival.c.became
        return [tuple(row) for row in self._rows(select(*found).order_by(arrival.c.n))]

    def close(self) -> None:
        self.engine.dispose()

    def _rows(self, query: Select[Any]) -> list[Any]:
        with reading(self.engine, "inbox") as connection:
            return list(connection.execute(query).all())

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._alone, translated("inbox"), self.engine.begin() as connection:
            yield connection


_HELD = newest.c.revision, newest.c.event_id, newest.c.answer, newest.c.retracted
_KEPT = (
    newest.c.seen, newest.c.same_since, newest.c.silent, newest.c.acknowledged,
    newest.c.acknowledged_before, newest.c.trust, newest.c.network,
)  # fmt: skip


def _is(flag_id: str) -> Any:
    return newest.c.flag_id == flag_id


def _held(row: Any) -> Held:
    return Held(row.revision, row.event_id, row.answer, row.retracted)


def _became(connection: Connection, event: Event, row: Any) -> Became:
    seen = select(arrival.c.n).where(
        arrival.c.event_id == event.event_id, arrival.c.became != Became.CONFLICT
    )
    if connection.execute(seen).first() is not None:
        return Became.DUPLICATE
    return _BECAME[standing(event.flag, _held(row) if row is not None else None)]


def _keep(connection: Connection, event: Event, before: Any, at: float) -> None:
    """In the place of the one before.  Whoever saw that under another trust is told too."""
    row = columns_of(event.flag, event.event_id)
    row |= {"at": at, "silent": is_silent(event.flag)} | _since(row, before)
    row["listed"] = is_listed(row)
    whose = row["trust"], row["network"]
    if before is not None and (before.trust, before.network) != whose:
        note(connection, LINE, row["flag_id"], at, (before.trust, before.network))
    row["seq"] = note(connection, LINE, row["flag_id"], at, whose)
    connection.execute(delete(newest).where(_is(row["flag_id"])))
    connection.execute(insert(newest).values(row))


def _since(row: Mapping[str, Any], before: Any) -> dict[str, Any]:
    """What is carried on from the revision before.  A flag that people were shown is not hidden
    from them by one that says to be on trial."""
    fresh = {"same_since": row["revision"], "acknowledged": False, "acknowledged_before": False}
    if before is None:
        return fresh
    hidden = {} if before.silent else {"silent": False}
    if before.seen == row["seen"]:
        same = {name: getattr(before, name) for name in fresh}
        return same | hidden
    looked = before.acknowledged or before.acknowledged_before
    return fresh | {"acknowledged_before": looked} | hidden


def _troubled_since(before: Any, at: float) -> float:
    """When it first said so, of all the heartbeats since that said so too."""
    return at if before is None or before.since is None else float(before.since)


def _looks(before: Any, now: float) -> tuple[bool, list[str]]:
    told = json.loads(before.told)
    return _is_silent(before.at, told, now), list(reasons(told))


def _looks_of(told: Mapping[str, Any]) -> tuple[bool, list[str]]:
    return False, list(reasons(told))


def _keep_head(connection: Connection, sender: str, at: float, head: str) -> None:
    """Where it is another than the last."""
    lines, _, sha256 = head.partition(":")
    if _heads(connection, sender)[-1:] != [(int(lines), sha256)]:
        row = {"sender": sender, "at": at, "lines": int(lines), "sha256": sha256}
        connection.execute(insert(audit_head).values(row))


def _heads(connection: Connection, sender: str) -> list[tuple[int, str]]:
    found = select(audit_head.c.lines, audit_head.c.sha256).where(audit_head.c.sender == sender)
    return [(row.lines, row.sha256) for row in connection.execute(found.order_by(audit_head.c.n))]


def _audit(heads: list[tuple[int, str]]) -> dict[str, Any]:
    """The last head, and whether the audit ever became shorter, or another, than it had been."""
    grew = all(a[0] < b[0] for a, b in itertools.pairwise(heads))
    last = f"{heads[-1][0]}:{heads[-1][1]}" if heads else None
    return {"audit_head": last, "audit_holds": grew if heads else None}


def _is_silent(at: float, told: Mapping[str, Any], now: float) -> bool:
    return bool(now - at > _MISSED * told["every_s"])


def _sender(at: float, told: dict[str, Any], since: float | None, now: float) -> dict[str, Any]:
    shown = ("trusts", "waiting", "dead", "oldest_waiting", "newest_flag")
    newer = ("sender", "waiting_elsewhere", "run_not_started", "extensions")
    silent = _is_silent(at, told, now)
    troubled = at if is_troubled(told) and since is None else since
    return {
        "silent": silent,
        "heard": timestamp_if(at),
        "incomplete_since": timestamp_if(at if silent and troubled is None else troubled),
        **{name: told[name] for name in shown},
        **{name: told.get(name) for name in newer},
    }
