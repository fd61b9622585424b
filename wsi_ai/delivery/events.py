"""A decided flag becomes the next revision of what was said before, or nothing.  Pure.

Ids name the question, the revision and the answer: a crash and a re-run make the same event again,
and no two answers ever have one id.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wsi_ai.core.flags import Level
from wsi_ai.core.timing import timestamp
from wsi_ai.delivery.messages import Held, Kind, Message, Retraction, Version

SOURCE = "https://wsi-ai.example/"
_SCHEMAS = "https://wsi-ai.example/schema/triage-flag"
_REVISION = ("revision", "action", "supersedes", "retraction_reason")
_NOT_THE_ANSWER = (*_REVISION, "timestamps", "provenance", "extensions")
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
    version: Version | None = Version.V1_1
    """Of the flag that was kept; ``None`` where that is not known any more."""

    def says(self, flag: Mapping[str, Any]) -> bool:
        """Whether ``flag`` says nothing else.  What was kept by an earlier version of the schema
        is compared by what that could say; what an earlier version of the software worded, by its
        words."""
        shapes = [flag, _worded_as_before(flag)]
        if self.version is not Version.V1_1:
            shapes += [as_version(one, Version.V1_0) for one in shapes]
        return any(self.answer == answer_digest(one) for one in shapes)


_WORDINGS = (
    (re.compile(r" \([0-9.]+ % of its tissue\)"), ""),
    (re.compile(r"\b1 (tile|cell|object) looks like"), r"1 \1s look like"),
    (re.compile(r"\bthe (tile|cell) most like (.+?) scores"), r"the 1 \1s most like \2 score"),
)
"""How rules explain themselves, and did before."""


def _worded_as_before(flag: Mapping[str, Any]) -> dict[str, Any]:
    """The same flag with its explanation as it was worded until 0.1: an upgrade amends nothing that
    was sent."""
    words = str(flag["result"]["explanation"])
    for now, before in _WORDINGS:
        words = now.sub(before, words)
    return {**flag, "result": {**flag["result"], "explanation": words}}


def answer_digest(flag: Mapping[str, Any]) -> str:
    """SHA-256 of what the flag says, whenever, wherever and in whatever revision it was said.

    Extensions belong to it where there are any: a scale that was put in the place of the file's, or
    another image of the file, makes another answer, which a receiver must not take for the same
    one.  A flag without extensions has one digest in every version of the schema, so that an
    upgrade amends nothing that was sent; to a receiver of version 1.0, which cannot be shown them,
    the digest is of what it is shown.
    """
    answer = {k: v for k, v in flag.items() if k not in _NOT_THE_ANSWER}
    answer["model"] = {k: v for k, v in flag["model"].items() if k != "runtime"}
    answer["schema_version"] = Version.V1_0.value
    if flag.get("extensions"):
        answer["extensions"] = flag["extensions"]
    return hashlib.sha256(json.dumps(answer, sort_keys=True).encode()).hexdigest()


def as_version(flag: Mapping[str, Any], version: Version) -> dict[str, Any]:
    """The flag as a receiver of this version takes it; one of an earlier version stays as it is."""
    if version is Version.V1_1 or flag["schema_version"] == version:
        return dict(flag)
    kept = {name: value for name, value in flag.items() if name != "extensions"}
    return kept | {"schema_version": version.value}


def next_revision(flag: Mapping[str, Any], before: Revision | None) -> dict[str, Any] | None:
    """The flag as the revision after ``before``; ``None`` where it says nothing new.

    What was taken back stays taken back until the answer is another one.
    """
    if before is None:
        assessed = Level(flag["result"]["level"]) is not Level.NOT_ASSESSED
        return _revised(flag, 1, Kind.RAISED if assessed else Kind.NOT_ASSESSED, None)
    if before.says(flag):
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


def put_anew(flag: Mapping[str, Any], held: Held, revision: int) -> dict[str, Any]:
    """The same answer, or retraction, as a revision that follows what a receiver holds."""
    kind = Kind.RETRACTED if kind_of(flag) is Kind.RETRACTED else Kind.AMENDED
    reason = flag["retraction_reason"]
    return _revised(flag, revision, kind, held.event_id) | {"retraction_reason": reason}


def kind_of(flag: Mapping[str, Any]) -> Kind:
    return next(kind for kind, action in _ACTIONS.items() if action == flag["action"])


def event_id(flag_id: str, revision: int, kind: Kind, reason: str | None, answer: str) -> str:
    """``answer`` is the flag's ``answer_digest``."""
    name = f"{revision}+{kind.value}+{reason or ''}+{answer}"
    return f"evt_{uuid.uuid5(uuid.UUID(flag_id), name).hex}"


def message_of(flag: Mapping[str, Any]) -> Message:
    """The flag as a CloudEvent in structured mode; its bytes depend on the flag alone."""
    reason, answer = flag["retraction_reason"], answer_digest(flag)
    name = event_id(flag["flag_id"], flag["revision"], kind_of(flag), reason, answer)
    return _message(name, flag, answer)


def readdressed(message: Message, version: Version, supersedes: str | None) -> Message:
    """The same event for a receiver of this version that holds ``supersedes``; the very same
    bytes where it says so already."""
    flag = json.loads(message.body)["data"]
    told = as_version(flag, version) | {"supersedes": supersedes}
    return message if told == flag else _message(message.event_id, told, answer_digest(told))


def _message(name: str, flag: Mapping[str, Any], answer: str) -> Message:
    kind = kind_of(flag)
    event = {
        "specversion": "1.0",
        "id": name,
        "source": SOURCE,
        "type": f"org.wsi_ai.triage_flag.{kind.value}.v1",
        "subject": f"flag/{flag['flag_id']}",
        "time": flag["timestamps"]["issued"],
        "dataschema": f"{_SCHEMAS}/{flag['schema_version']}.json",
        "datacontenttype": "application/json",
        "sequence": f"{flag['revision']:010d}",
        "partitionkey": flag["flag_id"],
        "answerdigest": answer,
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
        answer=answer,
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
