"""The four resources of a flag."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from wsi_ai.core.flags import STATEMENT, Level, Status
from wsi_ai.delivery.events import kind_of
from wsi_ai.delivery.formats.event import FlagEvent
from wsi_ai.delivery.formats.fhir import codes
from wsi_ai.delivery.formats.fhir.codes import Systems, concept
from wsi_ai.delivery.formats.wording import LEVELS, REASONS
from wsi_ai.delivery.messages import Kind, Retraction

Resource = dict[str, Any]
_UNIT = {"unit": "1", "system": "http://unitsofmeasure.org", "code": "1"}


def device_id(model: Mapping[str, Any]) -> dict[str, str]:
    """One device a model, version and card.  No sign in it that a search gives a meaning to."""
    name, version = (quote(model[part], safe="") for part in ("name", "version"))
    return {"system": codes.MODEL, "value": f"{name}:{version}:{model['manifest_sha256']}"}


def device(flag: Mapping[str, Any]) -> Resource:
    model, rules = flag["model"], flag["regulatory"]
    versions = {"software": model["version"]} | {
        digest: model[digest.replace("-", "_")] for digest in ("weights-sha256", "manifest-sha256")
    }
    udi = [{"deviceIdentifier": rules["device_id"]}] if rules["device_id"] else []
    return {
        "resourceType": "Device",
        "meta": codes.meta(flag),
        "identifier": [device_id(model)],
        "udiCarrier": udi,
        "status": "active",
        "deviceName": [{"name": model["name"], "type": "model-name"}],
        "type": {"text": "AI image analysis software"},
        "version": [{"type": {"text": kind}, "value": value} for kind, value in versions.items()],
        "note": [{"text": STATEMENT}, {"text": rules["intended_use"]}],
    }


def observation(event: FlagEvent, systems: Systems, made_by: str) -> Resource:
    """What the model found.  ``made_by`` is the reference of the Device."""
    flag = event.flag
    result, times, score = flag["result"], flag["timestamps"], flag["result"]["score"]
    value: Resource = {"valueQuantity": _share(score)}
    if score is None:
        absent = {"system": f"{codes.TERMINOLOGY}/data-absent-reason", "code": "not-performed"}
        value = {"dataAbsentReason": {"coding": [absent]}}
    category = {"system": f"{codes.TERMINOLOGY}/observation-category", "code": "laboratory"}
    return {
        "resourceType": "Observation",
        "meta": codes.meta(flag),
        "identifier": [{"system": codes.FLAG_ID, "value": flag["flag_id"]}],
        "basedOn": [_case(event, systems)],
        "status": codes.OBSERVED[flag["action"]],
        "category": [{"coding": [category]}],
        "code": concept("ai-score", "AI score of a slide"),
        "effectivePeriod": {"start": times["started"], "end": times["finished"]},
        "issued": times["issued"],
        **value,
        "note": [{"text": STATEMENT}, {"text": result["explanation"]}],
        "specimen": _slide(event, systems),
        "device": {"reference": made_by},
        "component": _components(flag),
    }


def _components(flag: Mapping[str, Any]) -> list[Resource]:
    result, quality, evidence = flag["result"], flag["qc"], flag["evidence"]
    finding = {"system": result["finding"]["system"], "code": _code(result["finding"]["code"])}
    tissue = quality["tissue_fraction"]
    known = [] if tissue is None else [("tissue", "Share of tissue", _share(tissue))]
    quantities = [
        ("threshold", "Operating threshold", _share(result["threshold"]["value"])),
        ("tiles", "Tiles", _count(evidence["n_tiles"])),
        ("tiles-positive", "Tiles above the threshold", _count(evidence["n_tiles_positive"])),
        ("analysed", "Share that was analysed", _share(quality["analysed_fraction"])),
        *known,
    ]
    level = Level(result["level"])
    chosen = result["threshold"]
    texts = [
        ("operating-point", "Operating point", chosen["operating_point"]),
        ("calibrated-on", "Calibrated on", chosen["calibrated_on"]),
        ("policy", "Triage policy", result["policy"]),
    ]
    concepts = [
        ("level", "Triage level", concept(level.value, LEVELS[level])),
        ("finding", "Finding", {"coding": [finding]}),
        ("score-kind", "Kind of score", concept(result["score_kind"], "")),
        ("qc", "Quality checks", concept(quality["status"], _failed(quality))),
    ]
    return [
        *({"code": concept(c, t), "valueQuantity": value} for c, t, value in quantities),
        *({"code": concept(c, t), "valueString": value} for c, t, value in texts if value),
        *({"code": concept(c, t), "valueCodeableConcept": value} for c, t, value in concepts),
    ]


def task(event: FlagEvent, systems: Systems, made_by: str, found: str) -> Resource:
    """The flag itself, as worklists read it.  What was taken back is urgent no more."""
    flag, back = event.flag, event.is_retraction
    level, issued = Level(flag["result"]["level"]), flag["timestamps"]["issued"]
    state = concept("retracted", "Retracted") if back else concept(level.value, LEVELS[level])
    return {
        "resourceType": "Task",
        "meta": codes.meta(flag),
        "identifier": [{"system": codes.FLAG_ID, "value": flag["flag_id"]}],
        "basedOn": [_case(event, systems)],
        "status": _task_status(flag),
        "statusReason": _reason(flag),
        "businessStatus": state,
        "intent": "proposal",
        "priority": "routine" if back else codes.PRIORITIES[level],
        "code": concept(codes.TASK_CODE, "AI triage: order of review"),
        "description": f"AI triage: {state['text']}. {STATEMENT}",
        "focus": {"reference": found},
        "authoredOn": issued,
        "lastModified": issued,
        "requester": {"reference": made_by},
        "owner": {"identifier": {"system": codes.ODS, "value": flag["tenant"]["trust_ods"]}},
        "reasonReference": {"reference": found},
        "note": [{"text": STATEMENT}],
    }


def _task_status(flag: Mapping[str, Any]) -> str:
    if kind_of(flag) is not Kind.RETRACTED:
        return "requested"
    another = flag["retraction_reason"] == Retraction.SLIDE_MISIDENTIFIED
    return "entered-in-error" if another else "cancelled"


def _reason(flag: Mapping[str, Any]) -> Resource | None:
    why = flag["retraction_reason"]
    return None if why is None else concept(why, REASONS[Retraction(why)])


def provenance(event: FlagEvent, targets: list[str], made_by: str) -> Resource:
    flag, times = event.flag, event.flag["timestamps"]
    before = flag["supersedes"]
    done = {"system": f"{codes.TERMINOLOGY}/v3-DataOperation", "code": codes.DONE[flag["action"]]}
    role = {"system": f"{codes.TERMINOLOGY}/provenance-participant-type", "code": "assembler"}
    image = {"system": codes.IMAGE, "value": flag["slide"]["image_sha256"]}
    revised = {"role": "revision", "what": _identified(codes.EVENT_ID, before)}
    return {
        "resourceType": "Provenance",
        "target": [{"reference": one} for one in targets],
        "occurredPeriod": {"start": times["started"], "end": times["finished"]},
        "recorded": times["issued"],
        "activity": {"coding": [done]},
        "agent": [
            {
                "type": {"coding": [role]},
                "who": {"reference": made_by, "display": flag["provenance"]["pipeline"]},
            }
        ],
        "entity": [{"role": "source", "what": {"identifier": image}}] + [revised] * bool(before),
    }


def _identified(system: str, value: str) -> Resource:
    return {"identifier": {"system": system, "value": value}}


def _case(event: FlagEvent, systems: Systems) -> Resource:
    return {"type": "ServiceRequest", "identifier": systems.case(event)}


def _slide(event: FlagEvent, systems: Systems) -> Resource:
    slide = event.flag["slide"]
    shown = ", ".join(filter(None, (slide.get("block"), slide.get("stain"))))
    return {"type": "Specimen", "identifier": systems.slide_id(event), "display": shown}


def _share(value: float | None) -> Resource:
    return {"value": value, **_UNIT}


def _count(value: int) -> Resource:
    return {"value": value, **_UNIT}


def _code(text: str) -> str:
    """FHIR's codes have single spaces, and none at an end."""
    return " ".join(text.split())


def _failed(quality: Mapping[str, Any]) -> str:
    return ", ".join(
        one["name"] for one in quality["checks"] if Status(one["status"]) is Status.FAIL
    )
