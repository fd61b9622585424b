"""A flag as ORU^R01, and back."""

import base64
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wsi_ai.core.flags import STATEMENT, Level
from wsi_ai.delivery.formats.event import FlagEvent, Summary
from wsi_ai.delivery.formats.hl7v2.text import SEPARATORS, field, parsed, segment
from wsi_ai.delivery.formats.wording import LEVELS, REASONS
from wsi_ai.delivery.messages import Retraction

OURS = "WSI_AI"
_CODING = "99WSIAI"
_LEVELS = {Level.EXPEDITE: "EXP", Level.STANDARD: "STD", Level.NOT_ASSESSED: "NAS"}
_PROCESSING = {"production": "P", "test": "T", "research": "D"}
"""Table 0103; nothing but production is P."""
_SCORE, _PRIORITY, _REVISION, _USE = "WSIAI-TPROB", "WSIAI-PRI", "WSIAI-REV", "WSIAI-USE"
_BEFORE = "WSIAI-WAS"


@dataclass(frozen=True, slots=True)
class Receiver:
    """MSH-5 and MSH-6: to whom an engine hands the message; without a facility, to the trust."""

    application: str = ""
    facility: str = ""


ANYONE = Receiver()


@dataclass(frozen=True, slots=True)
class _Status:
    """Of the order (OBR-25), of the score and of all other observations (OBX-11)."""

    order: str
    score: str
    rest: str


def control_id(event_id: str) -> str:
    """MSH-10, which has 20 signs in 2.5.1; the same event has the same."""
    raw = uuid.UUID(event_id.removeprefix("evt_")).bytes
    return base64.b32encode(raw).decode()[:20]


def render(event: FlagEvent, receiver: Receiver = ANYONE) -> bytes:
    flag = event.flag
    lines = [
        _header(event, receiver),
        *_order(event),
        *(
            segment("OBX", str(number), *fields)
            for number, fields in enumerate(_observations(event), 1)
        ),
        segment("NTE", "1", "L", field(STATEMENT)),
        segment("NTE", "2", "L", field(flag["result"]["explanation"])),
    ]
    return "".join(f"{line}\r" for line in lines).encode()


def _header(event: FlagEvent, receiver: Receiver) -> str:
    flag = event.flag
    trust = flag["tenant"]["trust_ods"]
    named = field(flag["tenant"]["network"] or trust)
    to = (field(receiver.application), field(receiver.facility or trust))
    # MSH-15 and 16 stay empty: original mode, one acknowledgement by the application
    return segment(
        f"MSH|{SEPARATORS[1:]}", OURS, named, *to, _time(flag["timestamps"]["issued"]), "",
        "ORU^R01^ORU_R01", control_id(event.event_id), _PROCESSING[flag["environment"]], "2.5.1",
        "", "", "", "", "", "UNICODE UTF-8",
    )  # fmt: skip


def _order(event: FlagEvent) -> Iterator[str]:
    flag, times = event.flag, event.flag["timestamps"]
    accession = flag["case"]["accession"]
    placer = field(accession["value"], accession["issuer"] or "")
    filler = field(flag["flag_id"], OURS)
    yield segment("ORC", "SC", placer, filler, "", "IP")
    asked = field("WSIAI-TRIAGE", "AI slide triage (research use only)", _CODING)
    yield segment(
        "OBR", "1", placer, filler, asked, "", "", _time(times["finished"]), *[""] * 14,
        _time(times["issued"]), "", "SP", _status(flag).order,
    )  # fmt: skip


def _status(flag: Mapping[str, Any]) -> _Status:
    """What was sent before is replaced under the same OBR-3, OBX-3 and OBX-4."""
    scored = flag["result"]["score"] is not None
    match flag["action"]:
        case "raise":
            return _Status("P", "P", "P")
        case "not_assessed":
            return _Status("X", "X", "X")
        case "amend":
            return _Status("C", "C" if scored else "X", "C")
    another = flag["retraction_reason"] == Retraction.SLIDE_MISIDENTIFIED
    gone = "W" if another else "D"
    return _Status("C", gone, gone)


def _observations(event: FlagEvent) -> Iterator[list[str]]:
    """Each from OBX-2 on.  A receiver that passes over OBX-11 must not read a priority in what was
    taken back."""
    flag = event.flag
    result, quality, times = flag["result"], flag["qc"], flag["timestamps"]
    score, status = result["score"], _status(flag)
    level, why = Level(result["level"]), flag["retraction_reason"]
    seen = _time(times["finished"])
    method = field(flag["model"]["name"], flag["model"]["version"], _CODING)
    device = field(flag["model"]["weights_sha256"], OURS)
    made = ["", "", seen, "", field("", "wsi_ai"), method, device, seen]
    value = "" if score is None else repr(score)
    above = "A" if level is Level.EXPEDITE and why is None else ""
    limit = f"<{result['threshold']['value']!r}"
    number = ["1^no units^UCUM", limit, above, "", "", status.score, *made]
    name = flag["slide"]["slide_id"]["value"]
    yield _row("NM", _SCORE, "Tumour probability", name, value, *number)
    rest = ["", "", "", "", "", status.rest]
    chosen = field(_LEVELS[level], LEVELS[level], _CODING)
    now = chosen if why is None else field("RET", "Retracted", _CODING)
    yield _row("CWE", _PRIORITY, "AI triage priority", name, now, *rest)
    yield _row("NM", _REVISION, "Revision", name, str(flag["revision"]), *rest)
    yield _row("ST", "WSIAI-FINDING", "Finding", name, field(result["finding"]["code"]), *rest)
    yield _row("ST", "WSIAI-QC", "Quality checks", name, field(quality["status"]), *rest)
    yield _row(
        "NM", "WSIAI-SEEN", "Share analysed", name, repr(quality["analysed_fraction"]), *rest
    )
    yield _row("ST", _USE, "Intended use", name, field(STATEMENT), *rest)
    if why is not None:
        reason = field(why, REASONS[Retraction(why)], _CODING)
        yield _row("CWE", "WSIAI-WHY", "Why it was taken back", name, reason, *rest)
        yield _row("CWE", _BEFORE, "Priority before it was taken back", name, chosen, *rest)


def _row(kind: str, code: str, text: str, slide: str, value: str, *more: str) -> list[str]:
    return [kind, field(code, text, _CODING), field(slide), value, *more]


def _time(text: str) -> str:
    """RFC 3339 in UTC as HL7's TS."""
    date, _, clock = text.removesuffix("Z").partition("T")
    return f"{date.replace('-', '')}{clock.replace(':', '')}+0000"


def parse(content: bytes) -> Summary:
    """What an ORU of ours says.  Raises NotHl7 or ValueError."""
    message = parsed(content)
    rows = {message.value(one, 3): one for one in message.of("OBX")}
    score, chosen = rows[_SCORE], message.value(rows.get(_BEFORE, rows[_PRIORITY]), 5)
    value = message.value(score, 5)
    return Summary(
        flag_id=message.first("OBR", 3),
        revision=int(message.value(rows[_REVISION], 5)),
        retracted=message.value(rows[_PRIORITY], 11) in ("W", "D"),
        accession=message.first("OBR", 2),
        slide_id=message.value(score, 4),
        level=next(level for level, code in _LEVELS.items() if code == chosen),
        score=float(value) if value else None,
        threshold=float(message.value(score, 7).removeprefix("<")),
        weights_sha256=message.value(score, 18),
        statement=message.value(rows[_USE], 5),
    )
