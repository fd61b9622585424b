"""A flag as a line of the worklist: what a person is shown of it.  Pure."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from wsi_ai.core.flags import Level
from wsi_ai.delivery.succession import held_of

URGENCY = {Level.EXPEDITE: 0, Level.NOT_ASSESSED: 1, Level.STANDARD: 2}
"""What nobody has judged comes before what was."""
_SEEN = (
    "level", "retracted", "trust", "accession", "slide", "image_sha256", "stain", "model", "score",
    "threshold", "analysed_fraction", "quality", "explanation", "statement",
)  # fmt: skip
_SHOWN = (
    "flag_id", "revision", "trust", "accession", "slide", "level", "explanation", "score",
    "threshold", "analysed_fraction", "model", "issued", "statement",
)  # fmt: skip


def columns_of(flag: Mapping[str, Any], event_id: str) -> dict[str, Any]:
    """Of the table ``newest``, all that follow from the flag alone."""
    case, tenant, result = flag["case"], flag["tenant"], flag["result"]
    held = held_of(flag, event_id)
    made = {
        "flag_id": flag["flag_id"],
        "revision": held.revision,
        "event_id": held.event_id,
        "answer": held.answer,
        "retracted": held.retracted,
        "urgency": URGENCY[Level(result["level"])],
        "level": result["level"],
        "issued": flag["timestamps"]["issued"],
        "trust": tenant["trust_ods"] if tenant else None,
        "network": tenant["network"] if tenant else None,
        "accession": case["accession"]["value"] if case else None,
        "slide": flag["slide"]["slide_id"]["value"],
        "image_sha256": flag["slide"]["image_sha256"],
        "stain": flag["slide"].get("stain"),
        "model": f"{flag['model']['name']} {flag['model']['version']}",
        "score": result["score"],
        "threshold": result["threshold"]["value"],
        "analysed_fraction": flag["qc"]["analysed_fraction"],
        "quality": flag["qc"]["status"],
        "explanation": result["explanation"],
        "statement": flag["regulatory"]["statement"],
        "flag": json.dumps(flag),
    }
    return made | {"seen": _seen(made)}


def is_silent(flag: Mapping[str, Any]) -> bool:
    """Of a model on trial, whose flags are kept and shown nobody."""
    return (flag.get("extensions") or {}).get("silent") is True


def is_listed(columns: Mapping[str, Any]) -> bool:
    """What was taken back leaves the list, unless somebody who looked at it has not seen that."""
    unseen = columns["acknowledged_before"] and not columns["acknowledged"]
    return not columns["silent"] and (not columns["retracted"] or unseen)


def shown(columns: Mapping[str, Any]) -> dict[str, Any]:
    """As the receiver's list has it: the level never stands without its statement."""
    return {name: columns[name] for name in _SHOWN}


def _seen(columns: Mapping[str, Any]) -> str:
    """The numbers to as many digits as they are shown with."""
    found = [columns[name] for name in _SEEN]
    rounded = [round(one, 2) if isinstance(one, float) else one for one in found]
    return hashlib.sha256(json.dumps(rounded).encode()).hexdigest()
