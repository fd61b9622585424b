"""Outbox, sinks, relay and audit put together, for a run that posts and for a relay of its own.

>>> with open_posting(["sinks.toml"], "outbox.db") as posting:       # doctest: +SKIP
...     for outcome in run_slides(slides, model, out, post=posting):
...         print(outcome.level)
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom
from typing import Any

from sqlalchemy import Engine

from wsi_ai.core.attempt import error_of
from wsi_ai.core.flags import Standing
from wsi_ai.core.software import software
from wsi_ai.core.timing import timestamp
from wsi_ai.delivery.audit import Audit
from wsi_ai.delivery.contract import HeartbeatSink, Sink
from wsi_ai.delivery.messages import Endpoint, NotStarted
from wsi_ai.delivery.outbox import Outbox, adoption, open_database, revisions
from wsi_ai.delivery.outbox.database import open_existing_database
from wsi_ai.delivery.outbox.listing import Step, steps_of
from wsi_ai.delivery.registry import open_sink
from wsi_ai.delivery.relay import Relay
from wsi_ai.delivery.routes import load_endpoints
from wsi_ai.errors import OutputError

_CONNECTIONS = 2
"""To each endpoint, so that the next flag is on its way while the receiver writes the last."""


@dataclass(frozen=True, slots=True)
class Posting:
    """See ``contracts.Post``.  What is put is on its way at once."""

    relay: Relay
    endpoints: tuple[Endpoint, ...]

    def put(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        kept = self.relay.outbox.put(flag, self.endpoints)
        self.relay.wake()
        return kept

    def put_early(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        kept = self.relay.outbox.put_early(flag, self.endpoints)
        self.relay.wake()
        return kept

    def standing(self, flag_id: str) -> Standing | None:
        return self.relay.outbox.standing(flag_id)

    def not_started(self, slides: int, kind: str) -> None:
        """Tell every receiver that takes heartbeats, now and until a run begins, that one did not
        and that this many slides wait.  ``kind`` says whose fault it is; names no slide."""
        self.relay.outbox.note_run(NotStarted(slides, kind))
        for sink in {sink.endpoint.name: sink for sink in self.relay.sinks}.values():
            if isinstance(sink, HeartbeatSink) and sink.endpoint.heartbeat_s is not None:
                self.relay.beat(sink)

    def begun(self) -> None:
        """A run did start: what an earlier one left to be said holds no more."""
        self.relay.outbox.note_run(None)

    def drain(self, seconds: float) -> int:
        """Give what is under way so long to arrive.  Returns how many still wait."""
        return self.relay.wait_until_quiet(seconds)

    def steps(self, flag_ids: Sequence[str]) -> dict[str, list[Step]]:
        """By flag: how far the newest revision of each has come."""
        return steps_of(self.relay.outbox, flag_ids)

    def waiting_elsewhere(self) -> dict[str, int]:
        """By sink that is none of these: how many deliveries wait for it."""
        with self.relay.outbox.reading() as connection:
            return adoption.waiting_elsewhere(connection, {one.name for one in self.endpoints})


@contextmanager
def open_posting(
    places: Sequence[str], database: str, audit: Path | None = None
) -> Iterator[Posting]:
    """Deliver in the background while the block runs; the outbox is made where there is none.

    Raises SinkError or OutputError before anything is sent.
    """
    endpoints = load_endpoints(places)
    with (
        make_outbox(database, audit) as outbox,
        _posting(endpoints, outbox, open_audit(database, audit)) as posting,
        posting.relay.running(),
    ):
        yield posting


@contextmanager
def open_relay(
    places: Sequence[str], database: str, audit: Path | None = None
) -> Iterator[Posting]:
    """The same for an outbox that is there, with no thread: the caller runs the relay."""
    endpoints = load_endpoints(places)
    with (
        open_outbox(database, audit) as outbox,
        _posting(endpoints, outbox, open_audit(database, audit)) as posting,
    ):
        yield posting


@contextmanager
def _posting(endpoints: Sequence[Endpoint], outbox: Outbox, audit: Audit) -> Iterator[Posting]:
    sinks = list[Sink]()
    try:
        with outbox.writing() as connection:
            endpoints = adoption.with_known_names(connection, endpoints)
            adoption.take_over_bare(connection, endpoints, outbox.clock())
        sinks += [open_sink(endpoint) for endpoint in endpoints for _ in range(_CONNECTIONS)]
        outbox.route_again(endpoints)
        names = [endpoint.name for endpoint in endpoints]
        audit.append([{"what": "start", "software": software(), "sinks": names}])
        outbox.write_down()
        relay = Relay(outbox, sinks, record=audit.append, audit_head=audit.head_if_whole)
        yield Posting(relay, endpoints)
    finally:
        for sink in sinks:
            error_of(sink.close)  # nothing waits for it any more


@contextmanager
def open_outbox(database: str, audit: Path | None = None) -> Iterator[Outbox]:
    """The outbox with its audit.  ``database`` is a path (SQLite) or SQLAlchemy's URL.

    Raises OutputError where there is none: a mistyped one is never made.
    """
    with _outbox(open_existing_database(database), open_audit(database, audit)) as outbox:
        yield outbox


@contextmanager
def make_outbox(database: str, audit: Path | None = None) -> Iterator[Outbox]:
    """The same, made where there is none."""
    record = open_audit(database, audit)
    with _outbox(open_database(database), record) as outbox:
        yield outbox


@contextmanager
def _outbox(engine: Engine, audit: Audit) -> Iterator[Outbox]:
    try:
        yield Outbox(engine, time.time, SystemRandom(), log=Decisions(audit))
    finally:
        engine.dispose()


def open_audit(database: str, path: Path | None) -> Audit:
    """``path``, or beside an SQLite outbox.  Raises OutputError where neither is known."""
    if path is None:
        kind, _, rest = database.rpartition("://")
        if kind not in ("", "sqlite"):
            raise OutputError("with a database server, say where the audit goes: --audit PATH")
        path = Path(f"{rest.removeprefix('/') if kind else rest}.audit.jsonl")
    return Audit(path, lambda: timestamp(datetime.now(UTC)))


@dataclass(frozen=True, slots=True)
class Decisions:
    """See ``outbox.decisions.DecisionLog``: new revisions in the audit."""

    audit: Audit

    def check(self) -> None:
        self.audit.append([])

    def record(self, rows: Sequence[Any]) -> None:
        self.audit.append([decision(row) for row in rows])


def decision(row: Any) -> dict[str, Any]:
    """What the audit says of a new revision.  Names no slide and no case."""
    flag = revisions.flag_if_whole(row)
    return {
        "what": "decision",
        "event_id": row.event_id,
        "flag_id": row.flag_id,
        "revision": row.revision,
        "kind": row.kind,
        "level": row.level,
        "model": f"{row.model_name} {row.model_version}",
        "weights_sha256": flag["model"]["weights_sha256"] if flag else None,
        "retraction_reason": flag["retraction_reason"] if flag else None,
    }
