"""Rooms over the one socket a tab has: see ``live.tabs.Part``.

Notes are in one order in the database, whichever process wrote them.  Who is there and where they
look is known to the process that their socket leads to: behind several, a proxy that sends the tabs
of one slide to one process lets all of them see each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from wsi_ai.delivery.outbox.outbox import Clock
from wsi_ai.errors import OutputError
from wsi_ai.service.access.who import Role
from wsi_ai.service.changes import Change, What
from wsi_ai.service.live.tabs import Message, Tab
from wsi_ai.service.rooms import notes
from wsi_ai.service.rooms.notes import Conflict, Kept, Op, Room
from wsi_ai.service.rooms.presence import Here, Place
from wsi_ai.service.rooms.slides import SlidesOf, may_annotate, me

_AT_ONCE = 500
CHANGED = "the slide's file is not the one that these notes are on; load the page anew"


@dataclass(slots=True, eq=False)
class RoomsPart:
    """A tab is at one slide at most."""

    engine: Engine
    slides: SlidesOf
    clock: Clock
    _places: dict[str, Place] = field(default_factory=dict)
    _where: dict[Tab, Place] = field(default_factory=dict)

    @property
    def takes(self) -> frozenset[str]:
        return frozenset({"join", "leave", "here", "follow", "op"})

    async def receive(self, tab: Tab, message: Message) -> None:
        match message["type"]:
            case "join":
                await self._join(tab, message)
            case "leave":
                await self.left(tab)
            case "here":
                self._at(tab).move(tab, Here.of(message))
            case "follow":
                self._at(tab).follow(tab, message.get("whom"))
            case _:
                await self._write(tab, message)

    async def changed(self, changes: Sequence[Change]) -> None:
        """Where the database refuses, whoever is there asks anew."""
        slides = {change.id for change in changes if change.what is What.ROOM}
        for place in [one for one in self._places.values() if one.room.slide in slides]:
            try:
                async with place.lock:
                    await self._catch_up(place)
            except OutputError:
                place.tell({"type": "resync"})

    async def left(self, tab: Tab) -> None:
        place = self._where.pop(tab, None)
        if place is None:
            return
        place.leave(tab)
        self._forget_if_empty(place)

    def people_at(self, room: Room) -> int:
        """How many people are at a slide, as this process knows."""
        place = self._places.get(room.key)
        return len({guest.tab.who.subject for guest in place.guests.values()}) if place else 0

    def looking_at(self, slides: Sequence[str]) -> dict[str, int]:
        """The same by fingerprint, of whatever trust; of those only at which anybody is."""
        wanted = set(slides)
        rooms = [place.room for place in self._places.values() if place.room.slide in wanted]
        return {room.slide: found for room in rooms if (found := self.people_at(room))}

    async def _join(self, tab: Tab, message: Message) -> None:
        """Again, where a tab comes back: it has what was written until ``since``."""
        sid, since = message.get("slide"), message.get("since", 0)
        if not isinstance(sid, str) or type(since) is not int or not 0 <= since < 1 << 53:
            raise ValueError("join names a slide, and since which operation")
        who = tab.who
        found = await run_in_threadpool(self.slides.seen_by, who, sid)
        await self.left(tab)
        if found is None:
            raise ValueError("there is no such slide")
        if message.get("sha256") != found.room.slide:
            raise ValueError(CHANGED)
        place = self._places.setdefault(found.room.key, Place(found.room))
        place.entering += 1
        try:
            async with place.lock:
                newest, written = await self._read(place, since)
                if tab.who == who:
                    self._enter(tab, place, newest, written)
        finally:
            place.entering -= 1
            self._forget_if_empty(place)

    async def _read(self, place: Place, since: int) -> tuple[int, Sequence[Kept]]:
        """The last number, and what was written since then: it, and maybe later ones."""
        if place.guests:
            await self._catch_up(place)
            newest = place.told
        else:
            newest = await run_in_threadpool(notes.newest, self.engine, place.room)
            place.told = newest
        return newest, await self._since(place.room, since)

    def _enter(self, tab: Tab, place: Place, newest: int, written: Sequence[Kept]) -> None:
        """Whatever is written from now on, everybody who is in is told."""
        room = place.room
        place.enter(tab)
        self._where[tab] = place
        tab.send(
            {
                "type": "joined",
                "slide": room.slide,
                "you": tab.name,
                "me": me(tab.who),
                "people": [guest.as_json() for guest in place.guests.values()],
                "ops": [one.as_json() for one in written],
                "seq": newest,
                "annotate": may_annotate(tab.who, room),
                "share": tab.who.may(Role.ANNOTATE, room.trust, room.network),
            }
        )

    async def _write(self, tab: Tab, message: Message) -> None:
        """What is refused is named by its id, so that the page keeps it and says so."""
        name = message.get("op_id")
        about = {"of": "op", "op_id": name if isinstance(name, str) else None}
        try:
            answer = await self._written(tab, message)
        except ValueError as error:
            tab.send({"type": "refused", **about, "why": str(error)})
        except OutputError:
            tab.send({"type": "later", **about})
        else:
            if isinstance(answer, Conflict):
                tab.send({"type": "conflict", **answer.as_json()})

    async def _written(self, tab: Tab, message: Message) -> Kept | Conflict:
        place = self._at(tab)
        wanted = Op.of({name: value for name, value in message.items() if name != "type"})
        if not may_annotate(tab.who, place.room):
            raise ValueError("you may look at this slide's notes, and not write any")
        async with place.lock:
            arguments = self.engine, place.room, wanted, tab.who, self.clock()
            answer = await run_in_threadpool(notes.append, *arguments)
            before = place.told
            await self._catch_up(place)
        if isinstance(answer, Kept) and answer.seq <= before:
            tab.send(_ops([answer]))  # it came before, and its answer was lost
        return answer

    async def _catch_up(self, place: Place) -> None:
        """All hear of everything in its order, whichever process wrote it.  Under the lock."""
        written = await self._since(place.room, place.told)
        if written:
            place.told = written[-1].seq
            place.tell(_ops(written))

    async def _since(self, room: Room, seq: int) -> list[Kept]:
        found: list[Kept] = []
        while some := await run_in_threadpool(notes.since, self.engine, room, seq, _AT_ONCE):
            found.extend(some)
            seq = some[-1].seq
            if len(some) < _AT_ONCE:
                break
        return found

    def _forget_if_empty(self, place: Place) -> None:
        if not place.guests and not place.entering:
            self._places.pop(place.room.key, None)

    def _at(self, tab: Tab) -> Place:
        if tab not in self._where:
            raise ValueError("join a slide first")
        return self._where[tab]


def _ops(written: Sequence[Kept]) -> dict[str, Any]:
    return {"type": "ops", "ops": [one.as_json() for one in written]}
