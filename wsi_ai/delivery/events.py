"""A decided flag becomes the next revision of what was said before, or nothing.  Pure.

Ids name the question and the revision, so a crash and a re-run make the same event again.
"""

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wsi_ai.core.flags import Level
from wsi_ai.core.timing import timestamp
from wsi_ai.delivery.messages import Kind, Message, Retraction

SOURCE = "https://wsi-ai.example/"
DATA_SCHEMA = "https://wsi-ai.example/schema/triage-flag/1.0.json"
_REVISION = ("revision", "action", "supersedes", "retraction_reason")
_ACTIONS = {
    Kind.RAISED: "raise",
    Kind.AMENDED: "amend",
    Kind.RETRACTED: "retract",
    Kind.NOT_ASSESSED: "not_assessed",
}


@dataclass(frozen=True, slots=True)
class Revision:
    """The newest revision of a flag."""

    event_id: str
    revision: int
    kind: Kind
    level: Level
    answer: str
    """Its ``answer_digest``."""


def answer_digest(flag: Mapping[str, Any]) -> str:
    """SHA-256 of what the flag says, whenever, wherever and in whatever revision it was said."""
    said = {k: v for k, v in flag.items() if k not in (*_REVISION, "timestamps", "provenance")}
    said["model"] = {k: v for k, v in flag["model"].items() if k != "runtime"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def next_revision(flag: Mapping[str, Any], before: Revision | None) -> dict[str, Any] | None:
    """The flag as the revision after ``before``; ``None`` where it says nothing new.

    What was taken back stays taken back until the answer is another one.
    """
    if before is None:
        assessed = Level(flag["result"]["level"]) is not Level.NOT_ASSESSED
        return _revised(flag, 1, Kind.RAISED if assessed else Kind.NOT_ASSESSED, None)
    if answer_digest(flag) == before.answer:
        return None
    return _revised(flag, before.revision + 1, Kind.AMENDED, before.event_id)


def next_early_revision(flag: Mapping[str, Any], before: Revision | None) -> dict[str, Any] | None:
    """The same for a flag that a finished one will follow: only where it raises the level."""
    if before is None:
        return next_revision(flag, None)
    raises = before.level is not Level.EXPEDITE and flag["result"]["level"] == Level.EXPEDITE
    if before.kind is Kind.RETRACTED or not raises:
        return None
    return next_revision(flag, before)


def retraction(
    flag: Mapping[str, Any], before: Revision, why: Retraction, at: datetime
) -> dict[str, Any]:
    """The revision that takes a flag back.  Needs nothing but the flag as it was last sent."""
    taken = _revised(flag, before.revision + 1, Kind.RETRACTED, before.event_id)
    stamps = {**flag["timestamps"], "issued": timestamp(at)}
    return {**taken, "retraction_reason": why.value, "timestamps": stamps}


def kind_of(flag: Mapping[str, Any]) -> Kind:
    return next(kind for kind, action in _ACTIONS.items() if action == flag["action"])


def event_id(flag_id: str, revision: int, kind: Kind) -> str:
    return f"evt_{uuid.uuid5(uuid.UUID(flag_id), f'{revision}+{kind.value}').hex}"


def message_of(flag: Mapping[str, Any]) -> Message:
    """The flag as a CloudEvent in structured mode; its bytes depend on the flag alone."""
    kind = kind_of(flag)
    name = event_id(flag["flag_id"], flag["revision"], kind)
    event = {
        "specversion": "1.0",
        "id": name,
        "source": SOURCE,
        "type": f"org.wsi_ai.triage_flag.{kind.value}.v1",
        "subject": f"flag/{flag['flag_id']}",
        "time": flag["timestamps"]["issued"],
        "dataschema": DATA_SCHEMA,
        "datacontenttype": "application/json",
        "sequence": f"{flag['revision']:010d}",
        "partitionkey": flag["flag_id"],
        "data": dict(flag),
    }
    return Message(
        event_id=name,
        flag_id=flag["flag_id"],
        revision=flag["revision"],
        kind=kind,
        trust=trust_of(flag),
        urgent=Level(flag["result"]["level"]) is Level.EXPEDITE,
        body=json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode(),
    )


def trust_of(flag: Mapping[str, Any]) -> str | None:
    """Whose flag it is; ``None`` unless the slide's case is known too."""
    tenant = flag["tenant"]
    known = tenant is not None and flag["case"] is not None
    trust: str | None = tenant["trust_ods"] if known else None
    return trust


def _revised(
    flag: Mapping[str, Any], revision: int, kind: Kind, supersedes: str | None
) -> dict[str, Any]:
    return {
        **flag,
        "revision": revision,
        "action": _ACTIONS[kind],
        "supersedes": supersedes,
        "retraction_reason": None,
    }
