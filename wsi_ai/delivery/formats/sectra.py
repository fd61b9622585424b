"""A flag as a result of Sectra's image analysis API: shapes on the slide, and a table beside it.

It shows on the slide only; the worklist is reached by HL7.  x *and y* are divided by the width.
"""

import json
from collections.abc import Mapping
from typing import Any

from wsi_ai.core.flags import STATEMENT, Level
from wsi_ai.delivery.formats.event import FlagEvent, Summary
from wsi_ai.delivery.formats.wording import LEVELS, REASONS
from wsi_ai.delivery.messages import Retraction
from wsi_ai.schemas.reading import from_json

_STYLE = {"strokeStyle": "#FFA500", "fillStyle": None, "size": None}


def render(event: FlagEvent, pacs_slide_id: str | None = None) -> bytes:
    """``pacs_slide_id`` is the PACS's own id of the slide, where it is not ours.  What was taken
    back has no shapes."""
    flag = event.flag
    result = {
        "slideId": pacs_slide_id or flag["slide"]["slide_id"]["value"],
        "displayResult": _headline(flag),
        "displayProperties": _table(flag),
        "applicationVersion": flag["provenance"]["pipeline"],
        "data": {
            "context": _context(event),
            "result": {"type": "primitive", "content": _shapes(event)},
        },
    }
    return json.dumps(result, ensure_ascii=False, separators=(",", ":")).encode()


def _headline(flag: Mapping[str, Any]) -> str:
    why = flag["retraction_reason"]
    if why is not None:
        return f"AI flag RETRACTED: {REASONS[Retraction(why)]}. {STATEMENT}"
    return f"AI triage: {LEVELS[Level(flag['result']['level'])]}. {STATEMENT}"


def _table(flag: Mapping[str, Any]) -> dict[str, str | float]:
    result, model = flag["result"], flag["model"]
    scored = {} if result["score"] is None else {"Score": result["score"]}
    return {
        **scored,
        "Threshold": result["threshold"]["value"],
        "Explanation": result["explanation"],
        "Finding": result["finding"]["code"],
        "Quality checks": flag["qc"]["status"],
        "Share analysed": flag["qc"]["analysed_fraction"],
        "Model": f"{model['name']} {model['version']}",
        "Use": STATEMENT,
    }


def _context(event: FlagEvent) -> dict[str, Any]:
    """What the PACS keeps for us and does not look at."""
    flag = event.flag
    return {
        "flagId": flag["flag_id"],
        "revision": flag["revision"],
        "action": flag["action"],
        "retracted": event.is_retraction,
        "eventId": event.event_id,
        "answer": event.answer,
        "accession": flag["case"]["accession"]["value"],
        "slideId": flag["slide"]["slide_id"]["value"],
        "level": flag["result"]["level"],
        "weightsSha256": flag["model"]["weights_sha256"],
        "issued": flag["timestamps"]["issued"],
    }


def _shapes(event: FlagEvent) -> dict[str, Any]:
    flag = event.flag
    width = flag["slide"]["width"]
    regions = [] if event.is_retraction or not width else flag["evidence"]["regions"]
    return {
        "style": _STYLE,
        "polygons": [
            {"points": [{"x": x / width, "y": y / width} for x, y in region["points"]]}
            for region in regions
        ],
        "polylines": [],
        "labels": [
            {
                "location": {"x": region["points"][0][0] / width,
                             "y": region["points"][0][1] / width},
                "label": f"{region['score']:.2f}",
            }
            for region in regions
        ],
    }  # fmt: skip


def parse(content: bytes) -> Summary:
    result = from_json(content)
    kept, shown = result["data"]["context"], result["displayProperties"]
    return Summary(
        flag_id=kept["flagId"],
        revision=kept["revision"],
        retracted=kept["retracted"],
        accession=kept["accession"],
        slide_id=kept["slideId"],
        level=Level(kept["level"]),
        score=shown.get("Score"),
        threshold=shown["Threshold"],
        weights_sha256=kept["weightsSha256"],
        statement=shown["Use"],
    )
