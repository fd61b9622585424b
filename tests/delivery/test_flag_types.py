"""The JSON Schema and the pydantic model refuse the same flags; events keep their laws."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pydantic
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.examples import PROVENANCE, example_flag
from wsi_ai import schemas
from wsi_ai.core.flags import STATEMENT, Level
from wsi_ai.delivery.events import Revision, answer_digest, event_id, message_of, next_revision
from wsi_ai.delivery.flag_types import TriageFlag
from wsi_ai.delivery.messages import Kind, Retraction
from wsi_ai.results.flag_json import SCHEMA, flag_json
from wsi_ai.testing import endpoint_for, example_body

NAME = "5ce2118a-fc79-5209-ba27-88f1540f36ec"
LARGE = flag_json(example_flag(), PROVENANCE) | {
    name: example_body(NAME)[name] for name in ("tenant", "case")
}
WHOLE = LARGE | {"evidence": LARGE["evidence"] | {"regions": LARGE["evidence"]["regions"][-2:]}}


def agree(body: dict[str, Any]) -> bool:
    """Whether both take it; they must not differ."""
    try:
        TriageFlag.model_validate(body)
        taken = True
    except pydantic.ValidationError:
        taken = False
    assert taken == (schemas.complaint(SCHEMA, body) is None)
    return taken


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in the flag, but only the first few of a list."""
    yield way
    if isinstance(value, dict):
        for name, part in value.items():
            yield from places(part, (*way, name))
    elif isinstance(value, list):
        for n, part in enumerate(value[:2]):
            yield from places(part, (*way, n))


def changed(body: dict[str, Any], way: tuple[Any, ...], value: Any) -> dict[str, Any]:
    spoiled = copy.deepcopy(body)
    place: Any = spoiled
    for name in way[:-1]:
        place = place[name]
    place[way[-1]] = value
    return spoiled


PLACES = [way for way in places(WHOLE) if way]


@pytest.mark.parametrize("level", list(Level))
def test_both_take_a_flag_of_every_level(level: Level) -> None:
    assert agree(example_body(NAME, level))
    assert agree(LARGE)


@settings(max_examples=200)
@given(
    way=st.sampled_from(PLACES),
    value=st.one_of(
        st.none(), st.booleans(), st.integers(-2, 3), st.sampled_from([0.5, -0.5, 1.5]),
        st.sampled_from(["", "x", "0" * 64, "fail", "pass", "amend", "retract", "expedite",
                         "not_assessed", "operator", "1.0", "2026-06-01T12:00:00.000Z"]),
        st.just([]), st.just({}),
    ),
)  # fmt: skip
@example(way=("regulatory", "clinical_review_required"), value=1)
def test_both_refuse_the_same_flags(way: tuple[Any, ...], value: Any) -> None:
    agree(changed(WHOLE, way, value))


@given(way=st.sampled_from([way for way in PLACES if isinstance(way[-1], str)]))
def test_both_refuse_a_flag_with_a_field_too_many_or_too_few(way: tuple[Any, ...]) -> None:
    assert not agree(changed(WHOLE, (*way[:-1], "patient_name"), "x"))
    lacking = copy.deepcopy(WHOLE)
    place: Any = lacking
    for name in way[:-1]:
        place = place[name]
    del place[way[-1]]
    agree(lacking)


@given(level=st.sampled_from(Level), action=st.sampled_from(["raise", "amend", "retract"]),
       revision=st.integers(1, 3), supersedes=st.sampled_from([None, "evt_1"]),
       why=st.sampled_from([None, *Retraction]), score=st.sampled_from([None, 0.5]))  # fmt: skip
def test_both_hold_action_level_score_and_reason_together(
    level: Level, action: str, revision: int, supersedes: str | None, why: str | None,
    score: float | None,
) -> None:  # fmt: skip
    body = example_body(NAME, level)
    agree(
        body
        | {
            "action": action,
            "revision": revision,
            "supersedes": supersedes,
            "retraction_reason": why,
            "result": {**body["result"], "score": score},
        }
    )


@given(st.sampled_from(Level), st.floats(0, 1), st.sampled_from(Kind))
def test_the_statement_and_the_ids_are_in_every_message(
    level: Level, score: float, kind: Kind
) -> None:
    message = message_of(example_body(NAME, level, score))
    event = json.loads(message.body)
    assert STATEMENT.encode() in message.body
    assert (event["id"], event["partitionkey"]) == (message.event_id, NAME)
    assert all(name.isalnum() and name.islower() for name in event)
    assert "." not in event_id(NAME, 1, kind, None, "0" * 64)


def test_the_same_revision_is_the_same_event_whenever_it_is_made() -> None:
    assert message_of(example_body(NAME)) == message_of(example_body(NAME))
    ids = {
        event_id(NAME, n, kind, why, answer)
        for n in range(1, 4)
        for kind in Kind
        for why in (None, "operator", "duplicate")
        for answer in ("0" * 64, "1" * 64)
    }
    assert len(ids) == 3 * len(Kind) * 3 * 2


def test_a_message_carries_no_name_of_a_person_and_stays_small() -> None:
    body = message_of(LARGE).body
    assert len(body) < 20_000
    assert not [word for word in (b"birth", b"nhs", b"patient", b"dob") if word in body.lower()]


VOLATILE = [way for way in PLACES if way[0] in ("timestamps", "provenance") and len(way) > 1]


@given(st.sampled_from(VOLATILE))
def test_when_and_where_it_was_said_is_not_what_was_said(way: tuple[Any, ...]) -> None:
    assert answer_digest(changed(WHOLE, way, "x")) == answer_digest(WHOLE)


@given(st.sampled_from([way for way in PLACES if way[0] in ("result", "qc", "case", "slide")]))
def test_any_other_answer_is_another_answer(way: tuple[Any, ...]) -> None:
    assert answer_digest(changed(WHOLE, way, "x")) != answer_digest(WHOLE)


@given(st.sampled_from(Level), st.sampled_from(Level), st.integers(1, 50))
def test_the_next_revision_is_one_more_and_valid(old: Level, new: Level, revision: int) -> None:
    said = Revision("evt_1", revision, Kind.RAISED, old, answer_digest(example_body(NAME, old)))
    after = next_revision(example_body(NAME, new), said)
    if old is new:
        assert after is None
    else:
        assert after is not None
        assert after["revision"] == revision + 1
        assert agree(after)


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_flag_goes_only_to_those_who_take_its_trust(mine: str, theirs: str) -> None:
    assert endpoint_for("x", mine).takes(theirs) == (mine == theirs)
    assert not endpoint_for("x", mine).takes(None)
    assert not endpoint_for("x").takes(None)
