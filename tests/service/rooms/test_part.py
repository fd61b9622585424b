"""What one tab is told of another: cursors, following, notes in their order, and nothing else."""

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from tests.delivery.prepared import prepared
from tests.service.rooms.parts import AMY, BEN, fresh_room, judged, new_id, op, person, point
from wsi_ai.service.access.who import Role, Who
from wsi_ai.service.changes import Change, What
from wsi_ai.service.database.opening import open_service_database
from wsi_ai.service.live.tabs import Tab
from wsi_ai.service.rooms.notes import Room, append
from wsi_ai.service.rooms.part import RoomsPart
from wsi_ai.service.rooms.slides import SlidesOf

NOW = 1_780_000_000.0
GUEST = replace(BEN, rights=AMY.rights)


@dataclass
class Here:
    """One process of the service."""

    engine: Engine
    room: Room
    part: RoomsPart

    async def join(self, who: Who, since: int = 0) -> Tab:
        tab = Tab(who)
        await self.say(tab, type="join", slide=self.room.slide, sha256=self.room.slide, since=since)
        return tab

    async def say(self, tab: Tab, **message: Any) -> None:
        await self.part.receive(tab, message)

    async def write(self, tab: Tab, **fields: Any) -> str:
        wanted = op(**fields)
        sent = {"op_id": wanted.op_id, "note_id": wanted.note_id, "base": wanted.base}
        await self.say(tab, type="op", **sent, body=wanted.body)
        return wanted.note_id


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    with prepared(str(tmp_path / "service.db"), open_service_database) as engine:
        room = fresh_room()
        judged(engine, tmp_path, room)
        yield Here(engine, room, RoomsPart(engine, SlidesOf(engine), lambda: NOW))


def run(scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scene)


async def heard(tab: Tab) -> list[Any]:
    """What waits for it now."""
    tab.send({"type": "end"})
    return [dict(one) for one in await tab.next() if one["type"] != "end"]


def of_type(messages: list[Any], name: str) -> list[Any]:
    return [one for one in messages if one["type"] == name]


def test_a_cursor_goes_on_20_times_a_second_at_most_and_its_last_place_always(here: Here) -> None:
    async def scene() -> None:
        amy, ben = await here.join(AMY), await here.join(GUEST)
        await heard(ben)
        came, until = [], time.monotonic() + 0.5
        for n in range(2000):
            await here.say(amy, type="here", at=[n, 0], view=None, laser=False)
            if n % 4 == 0:
                await asyncio.sleep(0.001)
                came += of_type(await heard(ben), "here")
            if time.monotonic() > until:
                break
        await asyncio.sleep(0.08)
        came += of_type(await heard(ben), "here")
        assert came[-1]["at"] == (n, 0)
        assert 3 <= len(came) <= 13
        assert of_type(await heard(amy), "here") == []

    run(scene())


def test_a_tab_that_does_not_read_gets_the_newest_place_and_no_queue_of_old_ones(
    here: Here,
) -> None:
    async def scene() -> None:
        amy, ben = await here.join(AMY), await here.join(GUEST)
        await heard(ben)
        for n in range(4):
            await here.say(amy, type="here", at=[n, 0])
            await asyncio.sleep(0.06)
        (last,) = of_type(await heard(ben), "here")
        assert last["at"] == (3, 0)

    run(scene())


def test_who_comes_back_gets_the_rest_and_what_comes_later_in_one_order_without_a_gap(
    here: Here,
) -> None:
    async def scene() -> None:
        amy = await here.join(AMY)
        for _ in range(5):
            await here.write(amy)
        ben = await here.join(GUEST, since=3)
        (joined,) = of_type(await heard(ben), "joined")
        assert [one["seq"] for one in joined["ops"]] == [4, 5]
        assert joined["seq"] == 5
        append(here.engine, here.room, op(), AMY, NOW)  # another process
        await here.write(amy)
        ops = [one for message in of_type(await heard(ben), "ops") for one in message["ops"]]
        assert [one["seq"] for one in ops] == [6, 7]

    run(scene())


def test_what_another_process_wrote_is_told_when_the_tail_says_so(here: Here) -> None:
    async def scene() -> None:
        amy = await here.join(AMY)
        await heard(amy)
        append(here.engine, here.room, op(body=point("from elsewhere")), GUEST, NOW)
        change = Change(1, What.ROOM, here.room.slide, here.room.trust, None)
        await here.part.changed([change, change])
        (told,) = of_type(await heard(amy), "ops")
        assert [one["body"]["text"] for one in told["ops"]] == ["from elsewhere"]

    run(scene())


def test_a_conflict_is_told_to_the_one_who_has_it(here: Here) -> None:
    async def scene() -> None:
        amy, ben = await here.join(AMY), await here.join(GUEST)
        note = await here.write(amy, body=point("a"))
        await here.write(ben, note_id=note, base=1, body=point("b"))
        await heard(ben)
        await here.write(amy, note_id=note, base=1, body=point("c"))
        (conflict,) = of_type(await heard(amy), "conflict")
        assert conflict["mine"]["text"] == "c"
        assert conflict["theirs"]["body"]["text"] == "b"
        assert conflict["theirs"]["name"] == "Dr Ben"
        assert of_type(await heard(ben), "conflict") == []

    run(scene())


def test_an_answer_that_was_lost_is_given_again_and_to_nobody_else(here: Here) -> None:
    async def scene() -> None:
        amy, ben = await here.join(AMY), await here.join(GUEST)
        fields = {"op_id": new_id(), "note_id": new_id(), "base": 0, "body": point()}
        await here.say(amy, type="op", **fields)
        await heard(amy), await heard(ben)
        await here.say(amy, type="op", **fields)
        (again,) = of_type(await heard(amy), "ops")
        assert again["ops"][0]["op_id"] == fields["op_id"]
        assert of_type(await heard(ben), "ops") == []

    run(scene())


def test_who_may_only_look_writes_nothing_and_is_told_which_was_refused(here: Here) -> None:
    reader = person("reader", "RXX", Role.READ)

    async def scene() -> None:
        tab = await here.join(reader)
        (joined,) = of_type(await heard(tab), "joined")
        assert not joined["annotate"]
        fields = {"op_id": new_id(), "note_id": new_id(), "base": 0, "body": point()}
        await here.say(tab, type="op", **fields)
        (refused,) = await heard(tab)
        assert (refused["of"], refused["op_id"]) == ("op", fields["op_id"])

    run(scene())


def test_a_slide_of_another_trust_and_one_that_is_not_there_are_refused_alike(here: Here) -> None:
    async def scene() -> None:
        for who, slide in ((BEN, here.room.slide), (AMY, "0" * 64)):
            tab = Tab(who)
            with pytest.raises(ValueError, match="there is no such slide"):
                await here.say(tab, type="join", slide=slide, sha256=slide, since=0)
            with pytest.raises(ValueError, match="join a slide first"):
                await here.say(tab, type="here", at=[1, 1])

    run(scene())


def test_who_was_invited_comes_in_and_may_write(here: Here) -> None:
    invited = replace(BEN, opened=frozenset({(here.room.slide, "RXX")}))

    async def scene() -> None:
        tab = await here.join(invited)
        (joined,) = of_type(await heard(tab), "joined")
        assert (joined["annotate"], joined["share"]) == (True, False)
        await here.write(tab)
        assert len(of_type(await heard(tab), "ops")) == 1

    run(scene())


def test_rights_that_end_while_somebody_is_coming_in_keep_them_out(here: Here) -> None:
    async def scene() -> None:
        tab = Tab(AMY)
        slide = here.room.slide
        coming = asyncio.create_task(here.say(tab, type="join", slide=slide, sha256=slide, since=0))
        await asyncio.sleep(0)
        tab.who = replace(AMY, rights=frozenset())
        await coming
        assert here.part.people_at(here.room) == 0

    run(scene())


def test_a_page_of_other_bytes_is_not_let_in(here: Here) -> None:
    async def scene() -> None:
        with pytest.raises(ValueError, match="file is not the one"):
            await here.say(Tab(AMY), type="join", slide=here.room.slide, sha256="1" * 64, since=0)

    run(scene())


def test_following_ends_when_the_leader_leaves_and_nobody_absent_is_followed(here: Here) -> None:
    async def scene() -> None:
        amy, ben = await here.join(AMY), await here.join(GUEST)
        with pytest.raises(ValueError, match="not here any more"):
            await here.say(ben, type="follow", whom="nobody")
        await here.say(ben, type="follow", whom=amy.name)
        assert of_type(await heard(amy), "follow") == [
            {"type": "follow", "id": ben.name, "whom": amy.name}
        ]
        await here.part.left(amy)
        cat = await here.join(replace(AMY, subject="subject:cat"))
        (joined,) = of_type(await heard(cat), "joined")
        assert [one["follows"] for one in joined["people"]] == [None, None]
        assert here.part.people_at(here.room) == 2

    run(scene())


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=12))
@settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_however_people_follow_each_other_nobody_leads_in_a_circle(
    here: Here, wishes: list[tuple[int, int]]
) -> None:
    """Two who follow each other fit ever larger views into their own, and zoom out for ever."""

    async def scene() -> None:
        tabs = [await here.join(replace(AMY, subject=f"subject:{n}")) for n in range(4)]
        leads: dict[str, str] = {}
        for who, whom in wishes:
            with contextlib.suppress(ValueError):
                await here.say(tabs[who], type="follow", whom=tabs[whom].name)
                leads[tabs[who].name] = tabs[whom].name
        for name in leads:
            seen = {name}
            while (name := leads.get(name, "")) != "":
                assert name not in seen
                seen.add(name)
        for tab in tabs:
            await here.part.left(tab)

    run(scene())


def test_tabs_of_one_person_have_one_colour_and_people_have_different_ones(here: Here) -> None:
    async def scene() -> None:
        for who in (AMY, GUEST, AMY):
            last = await here.join(who)
        (joined,) = of_type(await heard(last), "joined")
        amy, ben, again = (one["colour"] for one in joined["people"])
        assert amy == again != ben

    run(scene())


def test_while_the_database_refuses_a_page_keeps_its_note_and_is_told_to_send_it_later(
    here: Here,
) -> None:
    async def scene() -> None:
        amy = await here.join(AMY)
        await heard(amy)
        with here.engine.begin() as connection:
            connection.execute(text("ALTER TABLE wsi_ai_room_op RENAME TO away"))
        await here.write(amy)
        change = Change(1, What.ROOM, here.room.slide, here.room.trust, None)
        await here.part.changed([change])  # or else nobody would be told anything any more
        assert [one["type"] for one in await heard(amy)] == ["later", "resync"]
        with here.engine.begin() as connection:
            connection.execute(text("ALTER TABLE away RENAME TO wsi_ai_room_op"))
        await here.write(amy)
        assert len(of_type(await heard(amy), "ops")) == 1

    run(scene())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
MESSAGE = st.dictionaries(
    st.sampled_from(
        ["slide", "sha256", "since", "at", "view", "laser", "whom", "op_id", "note_id", "base",
         "body", "by"]
    ),
    JSON,
)  # fmt: skip


@settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    messages=st.lists(
        st.tuples(st.sampled_from(["join", "leave", "here", "follow", "op"]), MESSAGE), max_size=6
    )
)
def test_no_message_of_a_page_is_an_error_of_ours(here: Here, messages: list[Any]) -> None:
    async def scene() -> None:
        tab = await here.join(AMY)
        for kind, fields in messages:
            try:
                await here.say(tab, **{**fields, "type": kind})
            except ValueError:
                continue
        await here.part.left(tab)
        assert here.part.people_at(here.room) == 0

    run(scene())
