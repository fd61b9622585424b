"""Identifier systems and codes.  There is no standard code for an AI triage flag: these are local,
and published in docs/formats.md."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from wsi_ai.core.flags import STATEMENT, Level
from wsi_ai.delivery.formats.event import FlagEvent

BASE = "https://wsi-ai.example/fhir"
FLAG_ID, EVENT_ID, MODEL = f"{BASE}/sid/flag", f"{BASE}/sid/event", f"{BASE}/sid/model"
IMAGE, ODS = f"{BASE}/sid/image-sha256", "https://fhir.nhs.uk/Id/ods-organization-code"
CODES = f"{BASE}/cs/triage"
TASK_CODE = "triage-review"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
PRIORITIES = {Level.EXPEDITE: "urgent", Level.STANDARD: "routine", Level.NOT_ASSESSED: "routine"}
"""R4 ``request-priority`` has also asap and stat; a model asks for neither."""
OBSERVED = {
    "raise": "preliminary",
    "not_assessed": "preliminary",
    "amend": "corrected",
    "retract": "entered-in-error",
}
"""R4 ``observation-status``; never ``final``, which is a person's word."""
DONE = {"raise": "CREATE", "not_assessed": "CREATE", "amend": "UPDATE", "retract": "NULLIFY"}
"""v3 ``DataOperation``."""


@dataclass(frozen=True, slots=True)
class Systems:
    """Under which URIs the site's own systems issue accessions and slide ids; ``None``: under one
    of ours, made of the trust's code."""

    accession: str | None = None
    slide: str | None = None

    def case(self, event: FlagEvent) -> dict[str, Any]:
        acsn = {"coding": [{"system": f"{TERMINOLOGY}/v2-0203", "code": "ACSN"}]}
        named = event.flag["case"]["accession"]
        return {"type": acsn, **_issued(named, self.accession or _ours(event, "accession"))}

    def slide_id(self, event: FlagEvent) -> dict[str, Any]:
        return _issued(event.flag["slide"]["slide_id"], self.slide or _ours(event, "slide"))


def _issued(named: Mapping[str, Any], system: str) -> dict[str, Any]:
    assigner = {"display": named["issuer"]} if named["issuer"] else {}
    return {"system": system, "value": named["value"], "assigner": assigner}


def _ours(event: FlagEvent, kind: str) -> str:
    return f"{BASE}/sid/{kind}/{quote(event.flag['tenant']['trust_ods'], safe='')}"


OURS = Systems()


def concept(code: str, text: str) -> dict[str, Any]:
    return {"coding": [{"system": CODES, "code": code}], "text": text}


def code_of(found: Mapping[str, Any]) -> str:
    return str(found["coding"][0]["code"])


def meta(flag: Mapping[str, Any]) -> dict[str, Any]:
    security = [{"system": f"{TERMINOLOGY}/v3-Confidentiality", "code": "R"}]
    if flag["environment"] != "production":
        security.append({"system": f"{TERMINOLOGY}/v3-ActReason", "code": "HTEST"})
    tag = {"system": f"{BASE}/cs/usage", "code": flag["regulatory"]["status"], "display": STATEMENT}
    return {"security": security, "tag": [tag]}


def filled(value: Any) -> Any:
    """Without what is empty: FHIR knows no empty text, list or object."""
    if isinstance(value, Mapping):
        parts = {name: filled(part) for name, part in value.items()}
        return {name: part for name, part in parts.items() if not _is_empty(part)}
    if isinstance(value, list):
        return [part for part in map(filled, value) if not _is_empty(part)]
    return value


def _is_empty(value: Any) -> bool:
    return value is None or value in ("", [], {})
