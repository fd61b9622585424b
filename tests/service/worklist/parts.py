"""Flags as they arrive, and people who look at them."""

import uuid
from typing import Any

from wsi_ai.core.flags import Level
from wsi_ai.delivery.events import Revision, answer_digest, event_id, kind_of, retraction
from wsi_ai.delivery.messages import Retraction
from wsi_ai.delivery.receiver.inbox import Became, Inbox
from wsi_ai.delivery.receiver.incoming import Event
from wsi_ai.service.access.who import REGION, Right, Role, Scope, Who
from wsi_ai.testing import example_body

EVERYTHING = tuple(Role)


def flag(
    level: Level = Level.EXPEDITE, *, trust: str = "RXX", network: str | None = "N1", **more: Any
) -> dict[str, Any]:
    """Of a slide of its own; ``more`` is ``score``, ``slide``, ``issued`` or ``extensions``."""
    name = str(uuid.uuid4())
    body = example_body(name, level, more.get("score", 0.75))
    slide = more.get("slide", f"S26-{name[:4]}-A1")
    body["tenant"] = {"network": network, "trust_ods": trust}
    body["slide"] = {
        **body["slide"],
        "slide_id": {"value": slide, "issuer": None},
        "image_sha256": (name.replace("-", "") * 2),
    }
    body["case"] = {"accession": {"value": slide.rpartition("-")[0], "issuer": None}}
    if "issued" in more:
        body["timestamps"] = {**body["timestamps"], "issued": more["issued"]}
    body["extensions"] = more.get("extensions", {})
    return body


def name_of(body: dict[str, Any]) -> str:
    digest = answer_digest(body)
    reason = body["retraction_reason"]
    return event_id(body["flag_id"], body["revision"], kind_of(body), reason, digest)


def amended(before: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The next revision; ``more`` is of its result, or ``extensions``."""
    extensions = more.pop("extensions", before["extensions"])
    return {
        **before,
        "revision": before["revision"] + 1,
        "action": "amend",
        "supersedes": name_of(before),
        "result": {**before["result"], **more},
        "extensions": extensions,
    }


def taken_back(before: dict[str, Any], at: Any) -> dict[str, Any]:
    said = Revision(
        name_of(before), before["revision"], kind_of(before), Level(before["result"]["level"]), ""
    )
    return retraction(before, said, Retraction.SLIDE_MISIDENTIFIED, at)


def put(inbox: Inbox, body: dict[str, Any], at: float = 1.0) -> dict[str, Any]:
    """Into the inbox; it has to be news there."""
    assert inbox.take(Event(name_of(body), body), at) is Became.NEWEST
    return body


def person(name: str, *scopes: str, roles: tuple[Role, ...] = EVERYTHING, trust: str = "") -> Who:
    held = [Scope.of(text) if text != "region" else REGION for text in scopes]
    rights = frozenset(Right(role, scope) for role in roles for scope in held)
    return Who(f"subject:{name}", f"Dr {name.title()}", rights, trust or None)
