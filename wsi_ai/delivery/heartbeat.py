"""A sender says that it is alive, and what waits, so that its silence is noticed.  Pure."""

import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wsi_ai.core.timing import timestamp, timestamp_if
from wsi_ai.delivery.events import SOURCE
from wsi_ai.delivery.messages import Endpoint, NotStarted, Pulse, Version

TYPE = "org.wsi_ai.heartbeat.v1"
_SCHEMAS = "https://wsi-ai.example/schema/heartbeat"
_NAMESPACE = uuid.UUID("6a9d2f4e-0000-4000-8000-686561727462")


@dataclass(frozen=True, slots=True)
class Backlog:
    """What an endpoint has not got; times are seconds since 1970."""

    waiting: int
    dead: int
    """Deliveries that a person has to look at."""
    oldest: float | None
    """When the oldest of those that wait was made."""
    newest: float | None
    """When the newest flag for this endpoint was made, delivered or not."""
    elsewhere: int = 0
    """Deliveries that wait for a sink that is not set up."""
    unrouted: int = 0
    """Slides here that no rule gives a model."""


def pulse_of(
    endpoint: Endpoint,
    sender: str,
    backlog: Backlog,
    at: datetime,
    audit_head: str | None = None,
    not_started: NotStarted | None = None,
) -> Pulse:
    """As a CloudEvent in structured mode; see ``schemas/heartbeat-1.1.schema.json``.

    ``sender`` is one machine with one outbox: that another one lives says nothing of it.
    ``audit_head`` goes as an attribute of the event's own, which whoever does not know it passes
    over: where our audit ends, for the receiver to keep.  ``not_started`` is of the last run,
    if that could not begin; a receiver of version 1.0 cannot be told.
    """
    trusts = sorted(endpoint.trusts or ())
    moment = timestamp(at)
    name = f"{endpoint.name}/{sender}/{trusts}/{moment}"
    event_id = f"evt_{uuid.uuid5(_NAMESPACE, name).hex}"
    newer = {
        "sender": sender,
        "waiting_elsewhere": backlog.elsewhere,
        **_not_started_field(not_started),
        "extensions": {"unrouted": backlog.unrouted} if backlog.unrouted else {},
    }
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": TYPE,
        "subject": "sender",
        "time": moment,
        "dataschema": f"{_SCHEMAS}/{endpoint.version}.json",
        "datacontenttype": "application/json",
        "data": {
            "schema_version": endpoint.version.value,
            "trusts": trusts,
            "every_s": endpoint.heartbeat_s,
            "waiting": backlog.waiting,
            "dead": backlog.dead,
            "oldest_waiting": timestamp_if(backlog.oldest),
            "newest_flag": timestamp_if(backlog.newest),
            **(newer if endpoint.version is Version.V1_1 else {}),
        },
    }
    if audit_head is not None:
        event["audithead"] = audit_head
    return Pulse(event_id, json.dumps(event, separators=(",", ":")).encode())


def _not_started_field(found: NotStarted | None) -> dict[str, Any]:
    if found is None:
        return {}
    return {"run_not_started": {"slides_waiting": found.slides, "reason": found.kind}}


def sender_of(outbox: str, machine: str) -> str:
    """Names one machine with one outbox, and tells no one which."""
    return uuid.uuid5(_NAMESPACE, f"{outbox}/{machine}").hex
