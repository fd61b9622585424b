"""Who is at a slide and where they look.  Nothing of it is stored."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from wsi_ai.service.live.tabs import Message, Tab
from wsi_ai.service.rooms.notes import Room
from wsi_ai.service.rooms.shapes import is_length

COLOURS = 8
_EVERY_S = 0.05
"""A cursor is passed on 20 times a second at most."""


@dataclass(frozen=True, slots=True)
class Here:
    """Where somebody is: checks itself, and raises ValueError."""

    at: tuple[float, ...] | None
    """The cursor, in level-0 pixels; ``None`` off the slide."""
    view: tuple[float, ...] | None
    """Left, top, width and height of what they see."""
    laser: bool = False

    @classmethod
    def of(cls, message: Message) -> "Here":
        if not message.keys() <= {"type", "at", "view", "laser"}:
            raise ValueError("a place has at, view and laser, and nothing else")
        at, view = _numbers(message.get("at"), 2), _numbers(message.get("view"), 4)
        if view is not None and not (view[2] > 0 and view[3] > 0):
            raise ValueError("a view has a width and a height")
        return cls(at, view, message.get("laser") is True)

    def as_json(self) -> dict[str, Any]:
        return {"at": self.at, "view": self.view, "laser": self.laser}


def _numbers(value: Any, count: int) -> tuple[float, ...] | None:
    if value is None:
        return None
    if not (isinstance(value, list) and len(value) == count and all(map(is_length, value))):
        raise ValueError("a place is in pixels of the slide")
    return tuple(value)


@dataclass(slots=True, eq=False)
class Guest:
    """A tab that is at a slide."""

    tab: Tab
    colour: int
    here: Here = Here(None, None)
    follows: str | None = None
    _next_at: float = 0.0
    _waits: asyncio.TimerHandle | None = None

    def as_json(self) -> dict[str, Any]:
        who = self.tab.who
        return {
            "id": self.tab.name, "by": who.subject, "name": who.name, "trust": who.trust,
            "colour": self.colour, "follows": self.follows, **self.here.as_json(),
        }  # fmt: skip

    def paced(self, say: Callable[[], None]) -> None:
        """Now, or as soon as it is due: the last place is never left out."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._waits is not None:
            return  # what is said then is what holds then
        if now >= self._next_at:
            self._next_at = now + _EVERY_S
            say()
        else:
            self._waits = loop.call_at(self._next_at, self._due, say)

    def _due(self, say: Callable[[], None]) -> None:
        self._waits, self._next_at = None, asyncio.get_running_loop().time() + _EVERY_S
        say()

    def leave(self) -> None:
        if self._waits is not None:
            self._waits.cancel()


@dataclass(slots=True, eq=False)
class Place:
    """A room with people in it, as this process knows them."""

    room: Room
    guests: dict[str, Guest] = field(default_factory=dict)
    told: int = 0
    """The last operation of the log that all of them were told."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    entering: int = 0

    def enter(self, tab: Tab) -> Guest:
        """The others are told.  Tabs of one person have one colour."""
        guest = Guest(tab, self._colour(tab.who.subject))
        self.guests[tab.name] = guest
        self.tell({"type": "came", "person": guest.as_json()}, but=tab)
        return guest

    def leave(self, tab: Tab) -> None:
        self.guests.pop(tab.name).leave()
        for guest in self.guests.values():
            if guest.follows == tab.name:
                guest.follows = None
        self.tell({"type": "left", "id": tab.name}, but=tab)

    def move(self, tab: Tab, here: Here) -> None:
        guest = self.guests[tab.name]
        guest.here = here
        guest.paced(lambda: self._tell_where(guest))

    def follow(self, tab: Tab, whom: Any) -> None:
        """Raises ValueError where that one is not here, or follows this one, through others too:
        each would fit the other's view into their own, and all would see ever more."""
        if whom is not None and (not isinstance(whom, str) or whom not in self.guests):
            raise ValueError("they are not here any more")
        if whom is not None and tab.name in self._led_by(whom):
            raise ValueError("they follow you")
        self.guests[tab.name].follows = whom
        self.tell({"type": "follow", "id": tab.name, "whom": whom}, but=tab)

    def tell(self, message: Mapping[str, Any], but: Tab | None = None) -> None:
        for guest in self._others(but):
            guest.tab.send(message)

    def _led_by(self, name: str) -> Iterator[str]:
        """That one, whom they follow, and so on; never in a circle."""
        at: str | None = name
        while at is not None:
            yield at
            at = self.guests[at].follows

    def _tell_where(self, guest: Guest) -> None:
        message = {"type": "here", "id": guest.tab.name, **guest.here.as_json()}
        for other in self._others(guest.tab):
            other.tab.send(message, instead_of=f"here {guest.tab.name}")

    def _others(self, but: Tab | None) -> Iterable[Guest]:
        return [guest for guest in self.guests.values() if guest.tab is not but]

    def _colour(self, subject: str) -> int:
        known = {guest.tab.who.subject: guest.colour for guest in self.guests.values()}
        if subject in known:
            return known[subject]
        free = [n for n in range(COLOURS) if n not in known.values()]
        return free[0] if free else len(self.guests) % COLOURS
