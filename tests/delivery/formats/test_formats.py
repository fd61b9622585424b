"""One flag, every format: what is read back out of each is the same."""

import json
import time
from typing import Any

import hl7
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.delivery.conftest import new_id
from tests.delivery.formats.flags import DICOM, flags
from wsi_ai import schemas
from wsi_ai.core.flags import STATEMENT, Level
from wsi_ai.delivery.formats.event import event_for, event_of, summary_of
from wsi_ai.delivery.formats.fhir import bundle, codes
from wsi_ai.delivery.formats.hl7v2 import oru
from wsi_ai.delivery.formats.hl7v2.text import NotHl7, escaped, field, parsed
from wsi_ai.delivery.formats.registry import FORMATS
from wsi_ai.delivery.messages import Retraction
from wsi_ai.errors import Refused
from wsi_ai.results.flag_json import SCHEMA
from wsi_ai.testing import example_body, example_message

R4 = {
    # https://hl7.org/fhir/R4: observation-status, task-status, task-intent, request-priority,
    # device-status, provenance-entity-role, device-nametype; those that are bound as required
    "Observation": {"status": "registered preliminary final amended corrected cancelled"
                    " entered-in-error unknown"},
    "Task": {"status": "draft requested received accepted rejected ready cancelled in-progress"
             " on-hold failed completed entered-in-error",
             "intent": "unknown proposal plan order original-order reflex-order filler-order"
             " instance-order option",
             "priority": "routine urgent asap stat"},
    "Device": {"status": "active inactive entered-in-error unknown"},
    "Provenance": {},
}  # fmt: skip
every_format = pytest.mark.parametrize("name", FORMATS)
quick_format = pytest.mark.parametrize("name", [name for name in FORMATS if name != "sr"])
"""A report takes highdicom so long that it has a test of its own, with fewer flags."""


@quick_format
@given(flag=flags())
@settings(max_examples=25)
def test_what_is_read_back_is_what_the_flag_says(name: str, flag: dict[str, Any]) -> None:
    assert schemas.complaint(SCHEMA, flag) is None
    content = FORMATS[name].render(event_for(flag))
    assert FORMATS[name].parse(content) == summary_of(flag)
    assert STATEMENT.encode() in content


@given(flag=flags())
@settings(max_examples=12, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_a_report_says_what_the_flag_says_in_the_same_bytes_each_time(flag: dict[str, Any]) -> None:
    content = FORMATS["sr"].render(event_for(flag))
    assert FORMATS["sr"].parse(content) == summary_of(flag)
    assert STATEMENT.encode() in content
    assert FORMATS["sr"].render(event_for(json.loads(json.dumps(flag)))) == content


@quick_format
@given(flag=flags())
@settings(max_examples=10)
def test_the_same_flag_gives_the_same_bytes(name: str, flag: dict[str, Any]) -> None:
    render = FORMATS[name].render
    assert render(event_for(flag)) == render(event_for(json.loads(json.dumps(flag))))


@every_format
def test_a_flag_whose_slide_is_nobodys_has_no_format(name: str) -> None:
    with pytest.raises(Refused, match="whose slide it is"):
        FORMATS[name].render(event_for(example_body(new_id(), identity=None)))


LIMIT_S = {"sr": 0.1}
"""highdicom alone takes 35 ms for a report; docs/formats.md says so."""


@every_format
def test_a_rendering_takes_less_than_20_ms(name: str) -> None:
    event = event_for(example_body(new_id()) | {"extensions": {"dicom": DICOM}})
    took_s = []
    for _ in range(10):
        start = time.thread_time()
        FORMATS[name].render(event)
        took_s.append(time.thread_time() - start)
    assert min(took_s) < LIMIT_S.get(name, 0.02)


@given(flag=flags())
@settings(max_examples=25)
def test_every_code_that_r4_binds_is_one_of_r4s(flag: dict[str, Any]) -> None:
    made = json.loads(bundle.render(event_for(flag)))
    for entry in made["entry"]:
        resource = entry["resource"]
        for name, allowed in R4[resource["resourceType"]].items():
            assert resource[name] in allowed.split()
    assert made["type"] == "transaction"


@given(flag=flags())
@settings(max_examples=25)
def test_only_a_flag_that_holds_and_expedites_is_urgent_in_fhir(flag: dict[str, Any]) -> None:
    made = json.loads(bundle.render(event_for(flag)))
    (task,) = [e["resource"] for e in made["entry"] if e["resource"]["resourceType"] == "Task"]
    holds = flag["action"] != "retract"
    assert (task["priority"] == "urgent") == (holds and flag["result"]["level"] == "expedite")
    assert (task["status"] == "requested") == holds


@given(flag=flags())
@settings(max_examples=20)
def test_an_ai_is_never_final(flag: dict[str, Any]) -> None:
    assert b'"final"' not in bundle.render(event_for(flag))
    message = parsed(oru.render(event_for(flag)))
    statuses = {message.value(one, 11) for one in message.of("OBX")}
    assert not statuses & {"F", "U"}
    assert message.first("OBR", 25) in ("P", "C", "X")


def test_fhir_replaces_what_was_read_in_that_version_and_marks_a_twin_as_an_error() -> None:
    tasks = (bundle.Stored("t1", "3"), bundle.Stored("t2", "1"))
    there = bundle.OnServer(tasks, (bundle.Stored("o1", "7"),), ("evt_0",))
    made = json.loads(bundle.render(event_for(example_body(new_id())), codes.OURS, there))
    written = [e for e in made["entry"] if e["resource"]["resourceType"] == "Task"]
    assert [e["request"]["url"] for e in written] == ["Task/t1", "Task/t2"]
    assert [e["request"]["ifMatch"] for e in written] == ['W/"3"', 'W/"1"']
    twin = written[1]["resource"]
    assert (twin["status"], twin["priority"]) == ("entered-in-error", "routine")
    assert bundle.task_state(written[0]["resource"]).events[0] == "evt_0"


def test_a_sites_own_systems_name_its_cases_and_slides_in_fhir() -> None:
    systems = codes.Systems("https://lims.example/accession", "https://lims.example/slide")
    content = bundle.render(event_for(example_body(new_id())), systems)
    assert b'"system":"https://lims.example/accession","value":"S26-1234"' in content
    assert b'"system":"https://lims.example/slide","value":"S26-1234-A1-1"' in content


def hl7_of(**changes: Any) -> dict[str, str]:
    message = parsed(oru.render(event_for(example_body(new_id()) | changes)))
    rows = {message.value(one, 3): message.value(one, 11) for one in message.of("OBX")}
    return {"order": message.first("OBR", 25), **rows}


@pytest.mark.parametrize(
    ("changes", "order", "score", "priority"),
    [
        ({}, "P", "P", "P"),
        ({"action": "amend", "revision": 2, "supersedes": "evt_0"}, "C", "C", "C"),
        ({"action": "retract", "retraction_reason": "slide_misidentified"}, "C", "W", "W"),
        ({"action": "retract", "retraction_reason": "model_defect"}, "C", "D", "D"),
    ],
)
def test_hl7_says_what_became_of_a_result_by_its_status(
    changes: dict[str, Any], order: str, score: str, priority: str
) -> None:
    told = hl7_of(**changes)
    assert (told["order"], told["WSIAI-TPROB"], told["WSIAI-PRI"]) == (order, score, priority)


@given(flag=flags())
@settings(max_examples=20)
def test_what_was_taken_back_has_no_priority_even_for_who_passes_over_its_status(
    flag: dict[str, Any],
) -> None:
    message = parsed(oru.render(event_for(flag)))
    rows = {message.value(one, 3): one for one in message.of("OBX")}
    shown = message.value(rows["WSIAI-PRI"], 5), message.value(rows["WSIAI-TPROB"], 8)
    assert ("EXP" in shown or "A" in shown) == (
        flag["result"]["level"] == "expedite" and flag["action"] != "retract"
    )


def test_an_amendment_to_not_assessed_replaces_the_level_that_hl7_held() -> None:
    flag = example_body(new_id(), Level.NOT_ASSESSED)
    first = parsed(oru.render(event_for(flag)))
    assert (first.first("OBR", 25), first.first("OBX", 11)) == ("X", "X")
    later = flag | {"action": "amend", "revision": 2, "supersedes": "evt_0"}
    told = parsed(oru.render(event_for(later)))
    score, level = told.of("OBX")[:2]
    assert (told.value(score, 5), told.value(score, 11)) == ("", "X")
    assert (told.value(level, 5), told.value(level, 11)) == ("NAS", "C")


@given(flag=flags())
@settings(max_examples=20)
def test_another_library_reads_our_hl7_message(flag: dict[str, Any]) -> None:
    event = event_for(flag)
    message = hl7.parse(oru.render(event))
    assert [str(one[0]) for one in message] == [
        "MSH", "ORC", "OBR", *["OBX"] * (7 + 2 * (flag["action"] == "retract")), "NTE", "NTE"
    ]  # fmt: skip
    control = str(message.segment("MSH")(10))
    assert control == oru.control_id(event.event_id)
    assert len(control) == 20
    processing = {"production": "P", "test": "T", "research": "D"}[flag["environment"]]
    assert str(message.segment("MSH")(11)) == processing


@given(st.text())
def test_any_text_comes_back_out_of_a_field_and_ends_no_segment(text: str) -> None:
    inside = escaped(text)
    assert not set(inside) & set("\r\n\x0b\x1c|^~&")
    line = f"MSH|^~\\&|A\rNTE|1|L|{field(text)}\r"
    assert (
        parsed(line.encode("utf-8", "replace")).first("NTE", 3)
        == text.encode("utf-8", "replace").decode()
    )


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("4\\5 re.", "4\\5 re."),  # Efferent-Health/HL7-dotnetcore#77: an escape that never ends
        ("a\\E\\b", "a\\b"),  # johnpaulett/python-hl7#59
        ("a\\.br\\b", "a\nb"),
        ("a\\H\\b\\N\\", "ab"),
        ("\\XC3A9\\", "\u00e9"),
        ("\\XZZ\\", ""),
    ],
)
def test_escapes_of_other_programs_are_read(text: str, meant: str) -> None:
    assert parsed(f"MSH|^~\\&|A\nNTE|1|L|{text}\n".encode()).first("NTE", 3) == meant


@given(st.binary(max_size=60) | st.binary(max_size=40).map(lambda b: b"MSH|^~\\&|" + b))
def test_whatever_comes_is_a_message_or_is_refused(content: bytes) -> None:
    try:
        message = parsed(content)
    except NotHl7:
        return
    for one in message.segments:
        message.value(one, 3)


def test_a_message_on_its_way_keeps_its_event_id_in_every_format() -> None:
    message = example_message(new_id())
    event = event_of(message)
    assert event.event_id == message.event_id
    assert oru.control_id(message.event_id).encode() in oru.render(event)
    for name in ("cloudevent", "fhir", "sectra"):
        assert message.event_id.encode() in FORMATS[name].render(event)


def test_content_that_is_no_flag_is_refused() -> None:
    message = example_message(new_id())
    for body in (b"", b"{}", b'{"data":[]}', b'{"data":{"tenant":null}}'):
        broken = type(message)(
            message.event_id, message.flag_id, 1, message.kind, "RXX", False, body
        )
        with pytest.raises(Refused):
            event_of(broken)


@given(flag=flags())
@settings(max_examples=20)
def test_sectra_shapes_keep_their_angles_and_vanish_when_taken_back(flag: dict[str, Any]) -> None:
    told = json.loads(FORMATS["sectra"].render(event_for(flag)))
    shapes = told["data"]["result"]["content"]["polygons"]
    if flag["action"] == "retract":
        assert shapes == []
        assert told["displayResult"].startswith("AI flag RETRACTED")
        return
    width = flag["slide"]["width"]
    drawn = [[[p["x"] * width, p["y"] * width] for p in one["points"]] for one in shapes]
    for ours, theirs in zip(flag["evidence"]["regions"], drawn, strict=True):
        assert [[round(x), round(y)] for x, y in theirs] == ours["points"]


@pytest.mark.parametrize("reason", Retraction)
def test_every_reason_for_taking_back_is_said_in_words(reason: Retraction) -> None:
    flag = example_body(new_id()) | {"action": "retract", "retraction_reason": reason.value}
    for name in ("fhir", "hl7", "sectra"):
        content = FORMATS[name].render(event_for(flag)).decode()
        assert reason.value in content or "RETRACTED" in content
