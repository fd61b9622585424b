"""Pages of the list, what changed since, and who sees what."""

import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, insert

from benchmarks.worklist import seed_lines
from tests.service.worklist.parts import amended, flag, person, put, taken_back
from wsi_ai.core.flags import Level
from wsi_ai.delivery.receiver.inbox import Inbox
from wsi_ai.delivery.receiver.tables import change, newest
from wsi_ai.service import changes
from wsi_ai.service.access.who import Who
from wsi_ai.service.database.opening import open_service_database
from wsi_ai.service.worklist import lines
from wsi_ai.service.worklist.acknowledging import Looked, acknowledge
from wsi_ai.service.worklist.counting import Counts
from wsi_ai.service.worklist.filters import Filters

AMY = person("amy", "region")


def all_pages(engine: Engine, who: Who, filters: Filters, most: int) -> list[str]:
    found, after = list[str](), ""
    while True:
        page = lines.page(engine, who, filters, after, most)
        found += [line.row.flag_id for line in page.lines]
        if not page.more:
            return found
        after = page.lines[-1].key


def test_pages_have_every_line_once_and_in_order(engine: Engine) -> None:
    seed_lines(engine, 137)
    whole = lines.page(engine, AMY, Filters(), most=1000).lines
    keys = [line.key for line in whole]
    assert keys == sorted(keys)
    assert len(set(keys)) == 137
    assert all_pages(engine, AMY, Filters(), 10) == [line.row.flag_id for line in whole]


@pytest.mark.parametrize("key", ["x", "3" * 62, "00" + "é" * 60, "0" * 10, "00" + "\0" * 60])
def test_what_is_no_line_s_key_is_refused(engine: Engine, key: str) -> None:
    with pytest.raises(ValueError, match="after"):
        lines.page(engine, AMY, Filters(), key)


SCOPES = st.lists(
    st.sampled_from(["region", *(f"trust:R{n:02d}" for n in range(6)), "network:N1", "network:N2"]),
    max_size=3,
    unique=True,
)
WANTED = st.fixed_dictionaries(
    {},
    optional={
        "level": st.sampled_from(["", *Level]),
        "model": st.sampled_from(["tumour 1.0.0", "mitosis 2.1.0", "none such"]),
        "stain": st.sampled_from(["H&E", "-", "Ki-67"]),
        "trust": st.sampled_from(["R01", "R05", "-", "RZZ"]),
        "network": st.sampled_from(["N1", "N3", "-"]),
        "acknowledged": st.sampled_from(["", "yes", "no"]),
        "mine": st.sampled_from(["", "yes"]),
    },
)


def test_the_query_and_the_question_to_one_line_agree_for_whoever_asks() -> None:
    """The list that a page is made with, and the list as it changes, are one list."""
    engine = open_service_database(":memory:")
    inbox = Inbox(engine)
    seed_lines(engine, 120)
    put(inbox, flag(extensions={"silent": True}, trust="R01"))
    put(inbox, {**flag(), "tenant": None})
    with engine.connect() as connection:
        every = list(connection.execute(newest.select()).scalars())
    for at, name in enumerate(every[:20]):
        line = lines.by_id(engine, [name])[name].row
        acknowledge(engine, person("me", "region"), Looked(name, line.revision), float(at))

    @settings(max_examples=80)
    @given(SCOPES, WANTED)
    def law(scopes: list[str], wanted: dict[str, Any]) -> None:
        who, filters = person("me", *scopes), Filters.of(wanted)
        queried = {one.row.flag_id for one in lines.page(engine, who, filters, most=500).lines}
        found = lines.among(lines.by_id(engine, every), every, who, filters)
        assert queried == {name for name, line in found.items() if line is not None}
        by_hand = {
            name
            for name, line in lines.by_id(engine, every).items()
            if any(
                scope == "region"
                or scope in (f"trust:{line.row.trust}", f"network:{line.row.network}")
                for scope in scopes
            )
        }
        assert queried <= by_hand
        numbers = Counts(engine).of(who)
        everything = lines.page(engine, who, Filters(), most=500).lines
        assert sum(number for _, number in numbers) == len(everything)

    law()
    engine.dispose()


def test_two_trusts_see_only_their_own_lines_and_changes(engine: Engine, inbox: Inbox) -> None:
    ours, theirs = (put(inbox, flag(trust=trust, network=None)) for trust in ("RXX", "RYJ"))
    for trust, body in (("RXX", ours), ("RYJ", theirs)):
        who = person("one", f"trust:{trust}")
        assert [x.row.flag_id for x in lines.page(engine, who, Filters()).lines] == [
            body["flag_id"]
        ]
        assert list(lines.since(engine, who, Filters(), 0).lines) == [body["flag_id"]]
    assert lines.page(engine, person("nobody"), Filters()).lines == []


def test_a_line_that_goes_to_another_trust_leaves_the_list_of_the_first(
    engine: Engine, inbox: Inbox
) -> None:
    body = put(inbox, flag(trust="RXX", network=None))
    seq = changes.newest(engine)
    put(inbox, amended(body) | {"tenant": {"network": None, "trust_ods": "RYJ"}})
    found = lines.since(engine, person("x", "trust:RXX"), Filters(), seq)
    assert found.lines == {body["flag_id"]: None}
    assert found.seq == seq + 2


def test_what_was_taken_back_leaves_the_list_and_says_so(engine: Engine, inbox: Inbox) -> None:
    from datetime import UTC, datetime

    body = put(inbox, flag())
    seq = changes.newest(engine)
    put(inbox, taken_back(body, datetime.now(UTC)))
    assert lines.since(engine, AMY, Filters(), seq).lines == {body["flag_id"]: None}


def test_whoever_was_away_for_longer_than_changes_are_kept_reads_the_list_anew(
    engine: Engine, inbox: Inbox
) -> None:
    put(inbox, flag())
    put(inbox, flag(), at=100.0)
    changes.forget(engine, 50.0)
    assert lines.since(engine, AMY, Filters(), 0).too_many
    assert not lines.since(engine, AMY, Filters(), 1).too_many


def test_more_changes_than_can_be_told_are_not_told_in_part(engine: Engine, inbox: Inbox) -> None:
    body = put(inbox, flag())
    rows = [
        {"seq": n, "what": "line", "id": str(uuid.uuid4()), "trust": "RXX", "at": 1.0}
        for n in range(2, 800)
    ]
    with engine.begin() as connection:
        connection.execute(insert(change), rows)
    assert lines.since(engine, AMY, Filters(), 0).too_many
    assert lines.since(engine, AMY, Filters(), 799).seq == 799
    with engine.begin() as connection:
        connection.execute(delete(newest).where(newest.c.flag_id == body["flag_id"]))


def test_counts_are_those_of_the_last_change(engine: Engine, inbox: Inbox) -> None:
    counts = Counts(engine)
    assert counts.of(AMY) == []
    put(inbox, flag())
    assert [number for _, number in counts.of(AMY)] == [1]
    assert counts.of(AMY) is counts.of(AMY)
    assert counts.of(person("x", "trust:RYJ")) == []


@pytest.mark.parametrize(
    "wrong",
    [{"level": "benign"}, {"acknowledged": "maybe"}, {"mine": "no"}, {"model": "x" * 300},
     {"trust": "a\0"}, {"stain": "\u202e"}, {"network": 3}],
)  # fmt: skip
def test_filters_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Filters.of(wrong)


def test_lines_that_come_while_somebody_pages_make_none_of_the_others_skip_or_repeat(
    engine: Engine, inbox: Inbox
) -> None:
    """OHIF/Viewers#1985: pages by offset drift; 1f916#78: a cursor by another order skips."""
    seed_lines(engine, 60)
    there = all_pages(engine, AMY, Filters(), 100)
    seen, after = list[str](), ""
    while True:
        page = lines.page(engine, AMY, Filters(), after, 7)
        seen += [line.row.flag_id for line in page.lines]
        put(inbox, flag(issued=f"2000-01-01T00:00:00.{len(seen):03d}Z"))
        put(inbox, flag(Level.STANDARD, score=0.1))
        if not page.more or len(seen) > 200:
            break
        after = page.lines[-1].key
    assert [name for name in seen if name in set(there)] == there


def test_whoever_was_away_while_others_worked_is_told_of_their_own_lines_alone(
    engine: Engine, inbox: Inbox
) -> None:
    """After a restart hundreds of tabs come back: none of them has to load the page anew because
    other trusts had much to do."""
    rows = [
        {"seq": n, "what": "line", "id": str(uuid.uuid4()), "trust": "RYJ", "at": 1.0}
        for n in range(1, 800)
    ]
    with engine.begin() as connection:
        connection.execute(insert(change), rows)
    body = put(inbox, flag(trust="RXX", network=None))
    found = lines.since(engine, person("x", "trust:RXX"), Filters(), 0)
    assert (found.seq, list(found.lines), found.too_many) == (800, [body["flag_id"]], False)
