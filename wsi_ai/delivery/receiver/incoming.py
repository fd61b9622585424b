"""What comes in: a flag, a heartbeat, or a trial of the connection."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from wsi_ai.delivery import trial_event
from wsi_ai.delivery.flag_types import Heartbeat, TriageFlag
from wsi_ai.schemas.reading import from_json

HEARTBEAT = "org.wsi_ai.heartbeat.v1"
_HEAD = re.compile(r"[0-9]{1,15}:[0-9a-f]{64}")
_MOST_REVISIONS = 1 << 31
_NO_TEXT = re.compile(r"[\0\ud800-\udfff]")
"""What one database keeps and another refuses."""


@dataclass(frozen=True, slots=True)
class Event:
    """A CloudEvent whose data is a flag that satisfies the schema."""

    event_id: str
    flag: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Beat:
    """A CloudEvent that says that the sender is alive."""

    event_id: str
    heartbeat: Heartbeat
    audit_head: str | None = None
    """``LINES:SHA256``: the end of the sender's audit, to be kept where the sender cannot reach."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A CloudEvent that tries the connection: nothing is kept of it, and it is shown nobody."""

    event_id: str


def parse(body: bytes) -> Event | Beat | Trial:
    """Raises ValueError, whose text quotes nothing of the flag."""
    try:
        event = from_json(body)
        event_id, data, kind = event["id"], event["data"], event["type"]
        head = event.get("audithead")
        known = event["specversion"] == "1.0" and isinstance(event_id, str)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError("not a CloudEvent in structured mode") from None
    if not known:
        raise ValueError("not a CloudEvent of version 1.0")
    if any(map(_NO_TEXT.search, _texts([event_id, data]))):
        raise ValueError("a text has signs that no text has")
    if kind == trial_event.TYPE:
        return Trial(event_id)
    if kind == HEARTBEAT:
        if head is not None and not (isinstance(head, str) and _HEAD.fullmatch(head)):
            raise ValueError("the head of an audit is LINES:SHA256")
        return Beat(event_id, Heartbeat.model_validate(data), head)
    if TriageFlag.model_validate(data).revision >= _MOST_REVISIONS:
        raise ValueError("a number of a revision that cannot be")
    return Event(event_id, data)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
