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

from wsi_ai.core.attempt import error_of
from wsi_ai.core.flags import Standing
from wsi_ai.core.software import software
from wsi_ai.core.timing import timestamp
from wsi_ai.delivery.audit import Audit
from wsi_ai.delivery.contract import HeartbeatSink
from wsi_ai.delivery.events import kind_of, message_of
from wsi_ai.delivery.messages import Endpoint, NotStarted
from wsi_ai.delivery.outbox import NO_SINK, Outbox, State, open_database
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
        """Tell every receiver that takes heartbeats that a run did not start, and that this many
        slides wait.  ``kind`` says whose fault it is; names no slide."""
        for sink in {sink.endpoint.name: sink for sink in self.relay.sinks}.values():
            if isinstance(sink, HeartbeatSink) and sink.endpoint.heartbeat_s is not None:
                self.relay.beat(sink, NotStarted(slides, kind))

    def drain(self, seconds: float) -> int:
        """Give what is under way so long to arrive.  Returns how many still wait."""
        return self.relay.wait_until_quiet(seconds)

    def unsendable(self, since: float) -> int:
        """How many flags put since then no sink takes: without an identity, or without a route."""
        lines = self.relay.outbox.lines((State.SKIPPED, State.DEAD), since)
        return len({line.flag_id for line in lines if line.sink == NO_SINK})


@contextmanager
def open_posting(
    places: Sequence[str], database: str, audit: Path | None = None
) -> Iterator[Posting]:
    """Deliver in the background while the block runs.

    Raises SinkError or OutputError before anything is sent.
    """
    with open_relay(places, database, audit) as posting, posting.relay.running():
        yield posting


@contextmanager
def open_relay(
    places: Sequence[str], database: str, audit: Path | None = None
) -> Iterator[Posting]:
    """The same, with no thread of its own: the caller runs the relay."""
    endpoints = load_endpoints(places)
    sinks = [open_sink(endpoint) for endpoint in endpoints for _ in range(_CONNECTIONS)]
    try:
        with open_outbox(database, audit) as outbox:
            outbox.route_again(endpoints)
            kept = open_audit(database, audit)
            record = kept.append
            names = [endpoint.name for endpoint in endpoints]
            record([{"what": "start", "software": software(), "sinks": names}])
            yield Posting(
                Relay(outbox, sinks, record=record, audit_head=kept.head_if_whole), endpoints
            )
    finally:
        for sink in sinks:
            error_of(sink.close)  # nothing waits for it any more


@contextmanager
def open_outbox(database: str, audit: Path | None = None) -> Iterator[Outbox]:
    """The outbox with its audit.  ``database`` is a path (SQLite) or SQLAlchemy's URL."""
    record = open_audit(database, audit)
    engine = open_database(database)
    try:
        yield Outbox(
            engine, time.time, SystemRandom(), decided=lambda flag: record.append([decision(flag)])
        )
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


def decision(flag: Mapping[str, Any]) -> dict[str, Any]:
    """What the audit says of a new revision.  Names no slide and no case."""
    return {
        "what": "decision",
        "event_id": message_of(flag).event_id,
        "flag_id": flag["flag_id"],
        "revision": flag["revision"],
        "kind": kind_of(flag).value,
        "level": flag["result"]["level"],
        "model": f"{flag['model']['name']} {flag['model']['version']}",
        "weights_sha256": flag["model"]["weights_sha256"],
        "retraction_reason": flag["retraction_reason"],
    }
