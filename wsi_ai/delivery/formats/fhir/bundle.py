"""The transaction that brings a server to what a flag says now, and what it holds read back."""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from wsi_ai.core.flags import Level
from wsi_ai.delivery.formats.event import FlagEvent, Summary
from wsi_ai.delivery.formats.fhir import codes, resources
from wsi_ai.delivery.formats.fhir.codes import OURS, Systems, code_of, concept
from wsi_ai.delivery.formats.fhir.resources import Resource
from wsi_ai.delivery.formats.fhir.worklist import with_theirs
from wsi_ai.schemas.reading import from_json

_REVISION, _EVENT, _ANSWER, _ACTION = "revision", "event-id", "answer-digest", "action"
_RETRACT = "retract"


@dataclass(frozen=True, slots=True)
class Stored:
    """A resource of a server, in the version that was read."""

    resource_id: str
    version_id: str
    resource: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """As it is there."""


@dataclass(frozen=True, slots=True)
class OnServer:
    """What a server holds of a flag.  More than one of a kind is a mistake that a write mends."""

    tasks: Sequence[Stored] = ()
    observations: Sequence[Stored] = ()
    events: Sequence[str] = ()
    """The events that it was written by, the newest last."""


NOTHING = OnServer()


@dataclass(frozen=True, slots=True)
class TaskState:
    """What a Task says of the flag behind it."""

    flag_id: str
    revision: int
    events: tuple[str, ...]
    """As ``OnServer.events``."""
    answer: str
    retracted: bool


def render(event: FlagEvent, systems: Systems = OURS, there: OnServer = NOTHING) -> bytes:
    """The transaction.  What the server holds is replaced in the version that was read, and in no
    other; what it does not hold is made unless someone else makes it first."""
    flag = event.flag
    device, found, task = (_urn(event, kind) for kind in ("Device", "Observation", "Task"))
    observation = resources.observation(event, systems, device)
    worklist = resources.task(event, systems, device, found)
    worklist["input"] = _inputs(event, there.events)
    made_by = resources.device_id(flag["model"])
    entries = [
        _made(device, resources.device(flag), made_by),
        *_written(found, observation, there.observations),
        *_written(task, worklist, there.tasks),
        _provenance(event, [found, task], device),
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    return json.dumps(codes.filled(bundle), ensure_ascii=False, separators=(",", ":")).encode()


def _urn(event: FlagEvent, kind: str) -> str:
    return f"urn:uuid:{uuid.uuid5(uuid.UUID(event.flag['flag_id']), kind)}"


def _inputs(event: FlagEvent, before: Sequence[str]) -> list[Resource]:
    events = [*(one for one in before if one != event.event_id), event.event_id]
    texts = [
        (_ACTION, "Action", event.flag["action"]),
        (_ANSWER, "Digest of the answer", event.answer),
        *((_EVENT, "Event", one) for one in events),
    ]
    return [
        {"type": concept(_REVISION, "Revision"), "valueInteger": event.flag["revision"]},
        *({"type": concept(code, text), "valueString": value} for code, text, value in texts),
    ]


def _made(urn: str, resource: Resource, identifier: Mapping[str, str]) -> Resource:
    kind = resource["resourceType"]
    unless = "identifier=" + quote(f"{identifier['system']}|{identifier['value']}", safe="")
    request = {"method": "POST", "url": kind, "ifNoneExist": unless}
    return {"fullUrl": urn, "resource": resource, "request": request}


def _written(urn: str, resource: Resource, there: Sequence[Stored]) -> Iterator[Resource]:
    """The first of what is there takes the content; any other is marked as an error."""
    if not there:
        yield _made(urn, resource, resource["identifier"][0])
    for number, stored in enumerate(there):
        kind = resource["resourceType"]
        request = {
            "method": "PUT",
            "url": f"{kind}/{stored.resource_id}",
            "ifMatch": f'W/"{stored.version_id}"',
        }
        content = _with_theirs(resource, stored) | {"id": stored.resource_id}
        name = urn
        if number:
            name = f"urn:uuid:{uuid.uuid5(uuid.UUID(urn), stored.resource_id)}"
            content |= {"status": "entered-in-error"}
            content |= {"priority": "routine"} if "priority" in content else {}
        yield {"fullUrl": name, "resource": content, "request": request}


def _with_theirs(resource: Resource, stored: Stored) -> Resource:
    """A Task keeps what the people of the worklist did with it."""
    if "input" not in resource or not stored.resource:
        return resource
    before, now = task_state(stored.resource), task_state(resource)
    return with_theirs(
        resource, stored.resource, now_retracted=now.retracted, was_retracted=before.retracted
    )


def provenance_id(event: FlagEvent) -> str:
    """Made of the event's: R4 has no identifier for a Provenance, and a second attempt must not
    make a second."""
    return str(uuid.uuid5(uuid.UUID(event.flag["flag_id"]), event.event_id))


def _provenance(event: FlagEvent, targets: list[str], made_by: str) -> Resource:
    name = provenance_id(event)
    resource = resources.provenance(event, targets, made_by) | {"id": name}
    request = {"method": "PUT", "url": f"Provenance/{name}"}
    return {"fullUrl": f"urn:uuid:{name}", "resource": resource, "request": request}


def task_state(task: Mapping[str, Any]) -> TaskState:
    """Raises KeyError, ValueError or TypeError where it is no Task of ours."""
    values: dict[str, list[Any]] = {}
    for each in task["input"]:
        value = each.get("valueString", each.get("valueInteger"))
        values.setdefault(code_of(each["type"]), []).append(value)
    (revision,), (answer,), (action,) = values[_REVISION], values[_ANSWER], values[_ACTION]
    events = values[_EVENT]
    if type(revision) is not int or revision < 1 or not events:
        raise ValueError("no revision")
    return TaskState(
        flag_id=_flag_id(task),
        revision=revision,
        events=tuple(map(str, events)),
        answer=str(answer),
        retracted=action == _RETRACT,
    )


def is_of(resource: Mapping[str, Any], flag_id: str) -> bool:
    """Whether the resource of a server is this flag's."""
    names = resource.get("identifier")
    ours = {"system": codes.FLAG_ID, "value": flag_id}.items()
    return isinstance(names, list) and any(isinstance(n, dict) and ours <= n.items() for n in names)


def _flag_id(resource: Mapping[str, Any]) -> str:
    (named,) = [one for one in resource["identifier"] if one.get("system") == codes.FLAG_ID]
    return str(named["value"])


def parse(content: bytes) -> Summary:
    """What a bundle says of its flag."""
    by_kind = {entry["resource"]["resourceType"]: entry["resource"] for entry in _entries(content)}
    observation, task, device = (by_kind[kind] for kind in ("Observation", "Task", "Device"))
    state = task_state(task)
    parts = {code_of(part["code"]): part for part in observation["component"]}
    versions = {version["type"]["text"]: version["value"] for version in device["version"]}
    return Summary(
        flag_id=state.flag_id,
        revision=state.revision,
        retracted=state.retracted,
        accession=task["basedOn"][0]["identifier"]["value"],
        slide_id=observation["specimen"]["identifier"]["value"],
        level=Level(code_of(parts["level"]["valueCodeableConcept"])),
        score=observation.get("valueQuantity", {}).get("value"),
        threshold=parts["threshold"]["valueQuantity"]["value"],
        weights_sha256=versions["weights-sha256"],
        statement=task["note"][0]["text"],
    )


def _entries(content: bytes) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = from_json(content)["entry"]
    return entries
