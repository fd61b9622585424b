"""A flag as a result of Sectra's image analysis API: shapes on the slide, and a table beside it.

It shows on the slide only; the worklist is reached by HL7.  x *and y* are divided by the width.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wsi_ai.core.flags import STATEMENT, Level
from wsi_ai.delivery.formats.event import FlagEvent, Summary
from wsi_ai.delivery.formats.wording import LEVELS, REASONS
from wsi_ai.delivery.messages import Retraction
from wsi_ai.schemas.reading import from_json

_MOST_EVENTS = 50
_PATCH_PX, _MAGNIFICATION = 256, 20
_STYLE = {"strokeStyle": "#FFA500", "fillStyle": None, "size": None}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a result stands in the PACS; a new one has no id and no version yet."""

    slide_id: str | None = None
    """The PACS's own id of the slide; ``None`` where it is ours."""
    result_id: int | None = None
    version_id: str | None = None
    """Of the result that this one takes the place of."""
    events: tuple[str, ...] = ()
    """Those that it has had."""


def render(event: FlagEvent, place: Place | None = None) -> bytes:
    """With the regions outlined on the slide.  What was taken back has no shapes."""
    return _result(event, place or Place(), {"type": "primitive", "content": _shapes(event)})


def render_gallery(event: FlagEvent, place: Place | None = None) -> bytes:
    """With the regions as pictures beside the slide, the highest score first, and outlined; as
    ``render`` where there is none."""
    if not _regions(event):
        return render(event, place)
    return _result(event, place or Place(), {"type": "patchCollection", "content": _gallery(event)})


def render_note(flag_id: str, words: str, place: Place, software: str) -> bytes:
    """Of a slide that is not judged yet: revision 0, which every answer takes the place of."""
    result = {
        **_named(place),
        "slideId": place.slide_id,
        "displayResult": f"AI triage: {words}. {STATEMENT}",
        "displayProperties": {"Use": STATEMENT},
        "applicationVersion": software,
        "data": {
            "context": {"flagId": flag_id, "revision": 0},
            "result": {"type": "primitive", "content": _primitive([], [])},
        },
    }
    return _bytes(result)


def _result(event: FlagEvent, place: Place, shown: Mapping[str, Any]) -> bytes:
    flag = event.flag
    result = {
        **_named(place),
        "slideId": place.slide_id or flag["slide"]["slide_id"]["value"],
        "displayResult": _headline(flag),
        "displayProperties": _table(flag),
        "applicationVersion": flag["provenance"]["pipeline"],
        "data": {"context": _context(event, place), "result": shown},
    }
    return _bytes(result)


def _named(place: Place) -> dict[str, Any]:
    named = {"id": place.result_id, "versionId": place.version_id}
    return {name: value for name, value in named.items() if value is not None}


def _bytes(result: Mapping[str, Any]) -> bytes:
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


def _context(event: FlagEvent, place: Place) -> dict[str, Any]:
    """What the PACS keeps for us and does not look at."""
    flag = event.flag
    return {
        "flagId": flag["flag_id"],
        "revision": flag["revision"],
        "action": flag["action"],
        "retracted": event.is_retraction,
        "eventId": event.event_id,
        "events": [*place.events, event.event_id][-_MOST_EVENTS:],
        "answer": event.answer,
        "accession": flag["case"]["accession"]["value"],
        "slideId": flag["slide"]["slide_id"]["value"],
        "level": flag["result"]["level"],
        "weightsSha256": flag["model"]["weights_sha256"],
        "issued": flag["timestamps"]["issued"],
    }


def _regions(event: FlagEvent) -> list[Any]:
    """Those that can be shown: none where it was taken back, or the slide's width is not known."""
    flag = event.flag
    shown: list[Any] = [] if event.is_retraction else flag["evidence"]["regions"]
    return shown if flag["slide"]["width"] else []


def _point(event: FlagEvent, x: float, y: float) -> dict[str, float]:
    """In slide widths, *y* too: a square stays a square."""
    width = event.flag["slide"]["width"]
    return {"x": x / width, "y": y / width}


def _polygons(event: FlagEvent) -> list[dict[str, Any]]:
    return [{"points": [_point(event, x, y) for x, y in region["points"]]}
            for region in _regions(event)]  # fmt: skip


def _shapes(event: FlagEvent) -> dict[str, Any]:
    labels = [{"location": _point(event, *region["points"][0]), "label": f"{region['score']:.2f}"}
              for region in _regions(event)]  # fmt: skip
    return _primitive(_polygons(event), labels)


def _primitive(polygons: list[Any], labels: list[Any]) -> dict[str, Any]:
    return {"style": _STYLE, "polygons": polygons, "polylines": [], "labels": labels}


def _gallery(event: FlagEvent) -> dict[str, Any]:
    patches = [
        {"tag": 0, "position": _middle(event, region["points"]), "sortKeyValue": region["score"]}
        for region in sorted(_regions(event), key=lambda one: -one["score"])
    ]
    return {
        "description": STATEMENT,
        "polygons": _polygons(event),
        "patches": patches,
        "tags": [f"AI: {event.flag['result']['finding']['code']}"],
        "patchSize": _PATCH_PX,
        "magnification": _MAGNIFICATION,
        "statuses": {"allowVerify": {"value": False, "message": STATEMENT}},
        "actions": [],
    }


def _middle(event: FlagEvent, points: Sequence[Sequence[float]]) -> dict[str, float]:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return _point(event, (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2)


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
