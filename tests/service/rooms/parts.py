"""People, rooms and operations for the tests of rooms."""

import hashlib
import json
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sqlalchemy import Engine, insert

from wsi_ai.service.access.who import Right, Role, Scope, Who
from wsi_ai.service.jobs import Asked, JobState, job, row_of
from wsi_ai.service.rooms.notes import Op, Room


def person(subject: str, trust: str, *roles: Role, scope: str = "") -> Who:
    """Of a trust, with rights there where no other scope is named."""
    where = Scope.of(scope or f"trust:{trust}")
    rights = frozenset(Right(role, where) for role in roles or (Role.READ, Role.ANNOTATE))
    return Who(f"subject:{subject}", f"Dr {subject.title()}", rights, trust)


AMY = person("amy", "RXX")
BEN = person("ben", "RYY")


def fresh_room(trust: str = "RXX") -> Room:
    return Room(hashlib.sha256(uuid.uuid4().bytes).hexdigest(), trust, "N1")


def new_id() -> str:
    return str(uuid.uuid4())


def point(text: str = "", x: float = 1.0, y: float = 2.0) -> dict[str, Any]:
    return {"kind": "point", "geometry": {"type": "Point", "coordinates": [x, y]}, "text": text}


def polygon(ring: list[list[float]], text: str = "", kind: str = "polygon") -> dict[str, Any]:
    geometry = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    return {"kind": kind, "geometry": geometry, "text": text}


def op(note_id: str = "", base: int = 0, body: Any = None, **fields: Any) -> Op:
    wanted = {"op_id": new_id(), "note_id": note_id or new_id(), "base": base, "body": body}
    if body is None and not base:
        wanted["body"] = point("seen")
    return Op.of(wanted | fields)


def judged(
    engine: Engine,
    folder: Path,
    room: Room,
    slide_uri: str = "",
    name: str = "a",
    case: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """A job that is done, with as much of its results as says whose they are."""
    results = folder / f"{name}-{room.slide[:8]}" / "m@1"
    if not results.exists():
        results.mkdir(parents=True)
        flag = {"slide": {"image_sha256": room.slide}}
        (results / "flag.json").write_text(json.dumps(flag))
    asked = Asked(
        trust=room.trust,
        slide_uri=slide_uri or f"file:///gone/{name}.svs",
        models=("m@1",),
        submitted_by="tests",
        case=dict(case),
        network=room.network,
    )
    done = {"state": JobState.DONE, "result_uri": results.as_uri()}
    with engine.begin() as connection:
        connection.execute(insert(job).values(row_of(asked, time.time()) | done))
