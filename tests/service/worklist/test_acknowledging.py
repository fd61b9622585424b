"""Acknowledgements against revisions: an old click never hides a raised level."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from tests.delivery.prepared import prepared
from tests.delivery.servers import empty_database
from tests.service.worklist.parts import amended, flag, name_of, person, put, taken_back
from wsi_ai.core.flags import Level
from wsi_ai.delivery.receiver.inbox import Inbox
from wsi_ai.service import changes
from wsi_ai.service.access import acts
from wsi_ai.service.access.acts import Wanted
from wsi_ai.service.access.who import Role
from wsi_ai.service.database.opening import open_service_database
from wsi_ai.service.worklist import lines
from wsi_ai.service.worklist.acknowledging import (
    Looked,
    MayNot,
    NewerRevision,
    NoSuchLine,
    acknowledge,
    undo,
)
from wsi_ai.service.worklist.filters import Filters
from wsi_ai.service.worklist.lines import Line

AMY, BO = person("amy", "region"), person("bo", "trust:RXX")
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def listed(engine: Engine) -> list[Line]:
    return list(lines.page(engine, AMY, Filters()).lines)


def only(engine: Engine) -> Line:
    (line,) = listed(engine)
    return line


def test_an_acknowledged_line_goes_below_the_others_of_its_level(
    engine: Engine, inbox: Inbox
) -> None:
    first, second = (put(inbox, flag(slide=name))["flag_id"] for name in ("A-1", "B-1"))
    third = put(inbox, flag(Level.STANDARD, score=0.1))["flag_id"]
    order = sorted([first, second])
    acknowledge(engine, AMY, Looked(order[0], 1, "seen"), 5.0)
    assert [line.row.flag_id for line in listed(engine)] == [order[1], order[0], third]
    (by,) = listed(engine)[1].by
    assert (by.name, by.at, by.note, by.stands) == ("Dr Amy", 5.0, "seen", True)
    undo(engine, AMY, Looked(order[0], 1), 6.0)
    assert [line.row.flag_id for line in listed(engine)] == [*order, third]


def test_a_raised_level_voids_it_where_everybody_sees_that(engine: Engine, inbox: Inbox) -> None:
    body = put(inbox, flag(Level.STANDARD, score=0.1))
    acknowledge(engine, AMY, Looked(body["flag_id"], 1), 5.0)
    put(inbox, amended(body, level="expedite", score=0.9))
    line = only(engine)
    assert (line.row.acknowledged, line.row.acknowledged_before) == (False, True)
    assert [(by.revision, by.stands) for by in line.by] == [(1, False)]
    with pytest.raises(NewerRevision) as told:
        acknowledge(engine, BO, Looked(body["flag_id"], 1), 6.0)
    assert told.value.revision == 2


def test_what_was_taken_back_stays_in_sight_of_those_who_looked_until_they_saw_that(
    engine: Engine, inbox: Inbox
) -> None:
    unseen, seen = put(inbox, flag()), put(inbox, flag())
    acknowledge(engine, AMY, Looked(seen["flag_id"], 1), 5.0)
    for body in (unseen, seen):
        put(inbox, taken_back(body, NOON))
    assert [line.row.flag_id for line in listed(engine)] == [seen["flag_id"]]
    acknowledge(engine, BO, Looked(seen["flag_id"], 2), 6.0)
    assert listed(engine) == []
    undo(engine, BO, Looked(seen["flag_id"], 2), 7.0)
    assert len(listed(engine)) == 1


def test_a_revision_that_changes_nothing_a_reader_sees_keeps_it(
    engine: Engine, inbox: Inbox
) -> None:
    body = put(inbox, flag(score=0.751))
    acknowledge(engine, AMY, Looked(body["flag_id"], 1), 5.0)
    second = put(inbox, amended(body, score=0.752, extensions={"regions": []}))
    assert only(engine).row.acknowledged
    acknowledge(engine, BO, Looked(body["flag_id"], 1), 6.0)  # what they saw is what it says
    put(inbox, amended(second, score=0.76))
    assert not only(engine).row.acknowledged


def test_whoever_may_only_read_may_not_and_of_another_trust_there_is_no_line(
    engine: Engine, inbox: Inbox
) -> None:
    body = put(inbox, flag(trust="RYJ", network="N2"))
    reader = person("cy", "trust:RYJ", roles=(Role.READ,))
    with pytest.raises(MayNot):
        acknowledge(engine, reader, Looked(body["flag_id"], 1), 5.0)
    with pytest.raises(NoSuchLine):
        acknowledge(engine, BO, Looked(body["flag_id"], 1), 5.0)
    with pytest.raises(NoSuchLine):
        acknowledge(engine, AMY, Looked(body["flag_id"], 7), 5.0)
    with pytest.raises(NoSuchLine):
        acknowledge(engine, AMY, Looked("no-such", 1), 5.0)
    silent = put(inbox, flag(extensions={"silent": True}))
    with pytest.raises(NoSuchLine):
        acknowledge(engine, AMY, Looked(silent["flag_id"], 1), 5.0)


def test_one_undoes_ones_own_only(engine: Engine, inbox: Inbox) -> None:
    body = put(inbox, flag())
    looked = Looked(body["flag_id"], 1)
    acknowledge(engine, AMY, looked, 5.0)
    acknowledge(engine, BO, looked, 6.0)
    undo(engine, BO, looked, 7.0)
    assert only(engine).row.acknowledged
    undo(engine, BO, looked, 8.0)  # there is none any more
    undo(engine, AMY, looked, 9.0)
    assert not only(engine).row.acknowledged


def test_each_act_is_written_down_and_is_one_change(engine: Engine, inbox: Inbox) -> None:
    body = put(inbox, flag())
    seq = changes.newest(engine)
    acknowledge(engine, AMY, Looked(body["flag_id"], 1), 5.0)
    undo(engine, AMY, Looked(body["flag_id"], 1), 6.0)
    done = acts.search(engine, AMY, Wanted())
    assert [(one.what, one.trust) for one in done] == [
        ("acknowledgement undone", "RXX"),
        ("flag acknowledged", "RXX"),
    ]
    assert [one.id for one in changes.since(engine, seq)] == [body["flag_id"]] * 2
    acts.check(engine)


@pytest.mark.parametrize("note", ["a\nb", "a\0b", "x" * 501, "\u202e"])
def test_a_note_is_one_line_of_text(note: str) -> None:
    with pytest.raises(ValueError, match="note"):
        Looked("f", 1, note)


@dataclass
class Model:
    """What is to be true of one flag: who looked at what, and what it says."""

    said: list[tuple[Any, ...]] = field(default_factory=list)
    """What a reader sees of each revision."""
    looked: set[tuple[str, int]] = field(default_factory=set)
    ever: bool = False
    """Somebody looked, and what they saw went away."""

    @property
    def acknowledged(self) -> bool:
        return any(self.said[n - 1 :] == [self.said[-1]] * (len(self.said) - n + 1)
                   for _, n in self.looked)  # fmt: skip

    @property
    def is_listed(self) -> bool:
        return not self.said[-1][2] or (self.ever and not self.acknowledged)


LEVELS = {Level.STANDARD: 0.1, Level.EXPEDITE: 0.9}
STEP = st.one_of(
    st.tuples(st.just("say"), st.sampled_from(list(LEVELS)), st.booleans()),
    st.tuples(st.sampled_from(["look", "undo"]), st.sampled_from("ab"), st.integers(1, 6)),
)


@contextmanager
def fresh(kind: str, request: pytest.FixtureRequest) -> Iterator[Engine]:
    if kind == "sqlite":
        engine = open_service_database(":memory:")
        yield engine
        engine.dispose()
    else:
        url = request.getfixturevalue("postgres_url")
        empty_database(url)
        with prepared(url, open_service_database) as engine:
            yield engine


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_in_whatever_order_people_look_and_revisions_come_the_list_is_as_the_model_says(
    kind: str, request: pytest.FixtureRequest
) -> None:
    with fresh(kind, request) as engine:
        inbox = Inbox(engine)

        @settings(max_examples=60 if kind == "sqlite" else 25)
        @given(st.lists(STEP, max_size=14))
        def law(steps: list[Any]) -> None:
            body = put(inbox, flag(Level.STANDARD, score=0.1))
            model = Model([("standard", 0.1, False)])
            for step in steps:
                body = walked(engine, inbox, body, model, step)
                agree(engine, body, model)

        law()


PEOPLE = {"a": person("a", "region"), "b": person("b", "region")}


def walked(engine: Engine, inbox: Inbox, body: Any, model: Model, step: Any) -> Any:
    if step[0] == "say":
        level, back = step[1], step[2]
        score = LEVELS[level]
        made = amended(body, level=level.value, score=score)
        made["retraction_reason"] = None
        if back:
            made = taken_back({**made, "revision": body["revision"]}, NOON)
            made["supersedes"] = name_of(body)
        before = model.acknowledged
        model.said.append((level.value, score, back))
        model.ever = model.ever or (before and not model.acknowledged)
        return put(inbox, made)
    looked = Looked(body["flag_id"], step[2])
    who = PEOPLE[step[1]]
    if step[0] == "undo":
        model.looked.discard((step[1], step[2]))
        undo(engine, who, looked, 1.0)
        return body
    current = len(model.said)
    same = model.said[step[2] - 1 :] == [model.said[-1]] * (current - step[2] + 1)
    if step[2] <= current and same:
        model.looked.add((step[1], step[2]))
        acknowledge(engine, who, looked, 1.0)
    else:
        with pytest.raises((NewerRevision, NoSuchLine)):
            acknowledge(engine, who, looked, 1.0)
    return body


def agree(engine: Engine, body: Any, model: Model) -> None:
    line = lines.by_id(engine, [body["flag_id"]])[body["flag_id"]]
    assert line.row.revision == len(model.said)
    assert line.row.acknowledged == model.acknowledged
    assert line.row.listed == model.is_listed
    assert {(by.subject[-1], by.revision) for by in line.by} == model.looked
