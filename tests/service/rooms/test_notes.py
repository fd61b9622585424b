"""The log of notes, on either database: nothing is lost, doubled or overwritten unseen."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine, select

from tests.delivery.prepared import prepared
from tests.service.rooms.parts import AMY, BEN, fresh_room, new_id, op, point, polygon
from wsi_ai.service import changes
from wsi_ai.service.access import acts
from wsi_ai.service.changes import What
from wsi_ai.service.database.opening import open_service_database
from wsi_ai.service.database.tables import room_op
from wsi_ai.service.rooms.geojson import as_geojson
from wsi_ai.service.rooms.notes import (
    Conflict,
    Kept,
    Op,
    Room,
    append,
    current,
    purge,
    since,
)

NOW = 1_780_000_000.0


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    with prepared(database, open_service_database) as opened:
        yield opened


def written(engine: Engine, room: Room, wanted: Op, who: Any = AMY) -> Kept:
    kept = append(engine, room, wanted, who, NOW)
    assert isinstance(kept, Kept)
    return kept


def test_an_operation_that_comes_twice_is_written_once(engine: Engine) -> None:
    room, first = fresh_room(), op()
    kept = written(engine, room, first)
    assert written(engine, room, first) == kept
    assert [one.seq for one in since(engine, room, 0)] == [1]


@pytest.mark.parametrize("seq", [1 << 31, 1 << 53, 1 << 80])
def test_after_the_largest_number_there_is_nothing_on_either_database(
    engine: Engine, seq: int
) -> None:
    room = fresh_room()
    written(engine, room, op())
    assert since(engine, room, seq) == []


def test_what_was_changed_since_is_not_overwritten_and_both_versions_come_back(
    engine: Engine,
) -> None:
    room, first = fresh_room(), op(body=point("a"))
    written(engine, room, first)
    theirs = written(engine, room, op(first.note_id, 1, point("b")), BEN)
    mine = op(first.note_id, 1, point("c"))
    answer = append(engine, room, mine, AMY, NOW)
    assert answer == Conflict(mine, theirs)
    assert answer.as_json()["mine"]["text"] == "c"
    assert answer.as_json()["theirs"]["body"]["text"] == "b"
    assert [one.body for one in current(engine, room)] == [point("b")]


def test_a_note_that_was_removed_meanwhile_comes_back_only_when_somebody_says_so(
    engine: Engine,
) -> None:
    """excalidraw-playground#7: what was deleted while a server was down came back by itself."""
    room, first = fresh_room(), op()
    written(engine, room, first)
    gone = written(engine, room, op(first.note_id, 1, None), BEN)
    answer = append(engine, room, op(first.note_id, 1, point("moved")), AMY, NOW)
    assert isinstance(answer, Conflict)
    assert answer.theirs == gone
    assert current(engine, room) == []
    written(engine, room, op(first.note_id, 2, point("moved")))
    assert [one.body for one in current(engine, room)] == [point("moved")]


def test_a_stale_page_overwrites_nobody(engine: Engine) -> None:
    """cloud-annotations#55: a tab that was left open saved its old state over another's work."""
    room = fresh_room()
    notes = [op(body=point(str(n))) for n in range(3)]
    for one in notes:
        written(engine, room, one)
    changed = [op(one.note_id, 1, point("theirs")) for one in notes]
    for one in changed:
        written(engine, room, one, BEN)
    for one in notes:
        assert isinstance(append(engine, room, op(one.note_id, 1, point()), AMY, NOW), Conflict)
    written(engine, room, op(body=point("new")))
    assert [one.body["text"] for one in current(engine, room) if one.body] == [
        "theirs", "theirs", "theirs", "new",
    ]  # fmt: skip


def test_no_other_trust_sees_a_note_though_it_has_the_same_bytes(engine: Engine) -> None:
    room = fresh_room("RXX")
    other = Room(room.slide, "RYY")
    first = op(body=point("secret"))
    written(engine, room, first)
    assert since(engine, other, 0) == []
    with pytest.raises(ValueError, match="no such note"):
        append(engine, other, op(first.note_id, 1, point()), BEN, NOW)
    written(engine, other, first, BEN)
    assert [one.by for one in since(engine, other, 0)] == [BEN.subject]


def test_an_author_cannot_be_named(engine: Engine) -> None:
    fields = {"op_id": new_id(), "note_id": new_id(), "base": 0, "body": point()}
    for forged in ("by", "name", "trust", "at", "seq"):
        with pytest.raises(ValueError, match="nothing else"):
            Op.of({**fields, forged: "subject:ben"})
    assert written(engine, fresh_room(), Op.of(fields)).by == AMY.subject


def test_another_persons_operation_is_not_answered_as_ones_own(engine: Engine) -> None:
    room, first = fresh_room(), op(body=point("a"))
    written(engine, room, first)
    with pytest.raises(ValueError, match="another operation"):
        append(engine, room, first, BEN, NOW)
    with pytest.raises(ValueError, match="another operation"):
        append(engine, room, op(first.note_id, body=point("b"), op_id=first.op_id), AMY, NOW)


def test_what_is_written_is_announced_and_is_an_act_and_what_is_not_is_neither(
    engine: Engine,
) -> None:
    room, first = fresh_room(), op()
    written(engine, room, first)
    written(engine, room, first)
    append(engine, room, op(first.note_id, 0, point()), AMY, NOW)
    (change,) = changes.since(engine, 0)
    assert (change.what, change.id, change.trust) == (What.ROOM, room.slide, "RXX")
    assert acts.check(engine).lines == 1


def test_many_who_write_at_once_get_numbers_without_a_gap(engine: Engine) -> None:
    room = fresh_room()

    def write(who: Any) -> None:
        for _ in range(8):
            written(engine, room, op(), who)

    threads = [threading.Thread(target=write, args=(who,)) for who in (AMY, BEN, AMY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.seq for one in since(engine, room, 0)] == list(range(1, 25))
    assert [one.seq for one in since(engine, room, 20)] == [21, 22, 23, 24]


def test_with_the_slide_its_notes_go_and_no_others(engine: Engine) -> None:
    room, other = fresh_room(), fresh_room()
    for one in (room, Room(room.slide, "RYY"), other):
        written(engine, one, op())
    assert purge(engine, room.slide) == 2
    with engine.connect() as connection:
        assert connection.scalars(select(room_op.c.room)).all() == [other.key]


class Lossy(RuleBasedStateMachine):
    """Two people whose messages, or the answers to them, are lost; each keeps what was not
    answered and sends it again.  Beside them, a model of what must be written."""

    notes = Bundle("notes")
    engine: Engine

    @initialize()
    def begin(self) -> None:
        self.room = fresh_room()
        self.log: list[tuple[Op, Any]] = []
        self.last: dict[str, tuple[int, Any]] = {}
        self.seen: dict[Any, tuple[int, dict[str, Any]]] = {who: (0, {}) for who in (AMY, BEN)}
        self.pending: dict[Any, list[Op]] = {AMY: [], BEN: []}

    people = st.sampled_from([AMY, BEN])

    @rule(target=notes, who=people, text=st.sampled_from("abc"))
    def draw(self, who: Any, text: str) -> str:
        drawn = op(body=point(text))
        self.pending[who].append(drawn)
        return drawn.note_id

    @rule(who=people, note=notes, text=st.sampled_from(["d", "e", None]))
    def change(self, who: Any, note: str, text: str | None) -> None:
        """On the revision that this person last saw, which may be an old one."""
        known = self.seen[who][1].get(note)
        if known is not None:
            body = point(text) if text is not None else None
            self.pending[who].append(op(note, known.revision, body))

    @rule(who=people, answer=st.sampled_from(["heard", "lost"]), at=st.sampled_from([0, -1]))
    def send(self, who: Any, answer: str, at: int) -> None:
        if not self.pending[who]:
            return
        wanted = self.pending[who][at]
        came = append(self.engine, self.room, wanted, who, NOW)
        if any(wanted is one for one, _ in self.log):
            assert isinstance(came, Kept)
        else:
            self.expect(wanted, who, came)
        if answer == "heard":
            self.pending[who].pop(at)

    def expect(self, wanted: Op, who: Any, answer: Any) -> None:
        revision, body = self.last.get(wanted.note_id, (0, None))
        if wanted.base != revision:
            assert isinstance(answer, Conflict)
            assert (answer.theirs.revision, answer.theirs.body) == (revision, body)
            return
        assert isinstance(answer, Kept)
        self.log.append((wanted, who))
        self.last[wanted.note_id] = revision + 1, wanted.body
        assert (answer.seq, answer.revision) == (len(self.log), revision + 1)

    @rule(who=people)
    def come_back(self, who: Any) -> None:
        seq, known = self.seen[who]
        for one in since(self.engine, self.room, seq):
            assert one.seq == seq + 1
            seq, known[one.note_id] = one.seq, one
        self.seen[who] = seq, known
        assert {name: (one.revision, one.body) for name, one in known.items()} == self.last

    @invariant()
    def the_log_is_the_models(self) -> None:
        found = since(self.engine, self.room, 0, 10_000)
        assert [(one.op_id, one.by) for one in found] == [
            (wanted.op_id, who.subject) for wanted, who in self.log
        ]


def test_two_who_lose_messages_end_with_the_same_notes_and_none_is_lost_or_doubled(
    engine: Engine,
) -> None:
    machine = type("Here", (Lossy,), {"engine": engine})
    slow = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=12, stateful_step_count=20, deadline=None, suppress_health_check=slow
        ),
    )


PLACE = st.lists(st.floats(-1e5, 1e5).map(lambda x: round(x, 1)), min_size=2, max_size=2)


@settings(max_examples=60)
@given(st.lists(PLACE, min_size=3, max_size=12), st.text(max_size=20), PLACE)
def test_every_outline_that_is_taken_is_valid_in_what_qupath_imports(
    ring: list[list[float]], text: str, origin: list[float]
) -> None:
    """hover_next#26 and NuHTC#9: QuPath 0.6 refuses a file with one outline that crosses itself;
    TissUUmaps#49: closed, no multipolygon of one, the colour in the classification."""
    import shapely.geometry as geometry

    try:
        wanted = op(body=polygon(ring, text))
    except ValueError:
        return
    kept = Kept(1, "o", NOW, "subject:amy", "Amy", "RXX", "n", 1, wanted.body)
    found = as_geojson([kept], (int(origin[0]), int(origin[1])))
    (feature,) = json.loads(json.dumps(found))["features"]
    whole = geometry.shape(feature["geometry"])
    assert whole.is_valid
    assert len(getattr(whole, "geoms", [1, 2])) > 1
    assert feature["properties"]["classification"]["color"] == [0, 114, 178]


def test_what_is_valid_is_exported_to_the_number_from_where_qupath_counts() -> None:
    body = polygon([[110.25, 220.0], [310.5, 220.0], [310.5, 420.75]], "a\nb")
    kept = Kept(1, "o", NOW, "subject:amy", "Amy", "RXX", new_id(), 2, body)
    (feature,) = as_geojson([kept], (100, 200))["features"]
    assert feature["geometry"]["coordinates"] == [
        [[10.25, 20.0], [210.5, 20.0], [210.5, 220.75], [10.25, 20.0]]
    ]
    assert feature["properties"]["name"] == "Amy: a"
    assert feature["properties"]["metadata"]["ANNOTATION_DESCRIPTION"] == "a\nb"
