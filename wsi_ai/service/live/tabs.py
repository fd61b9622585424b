"""``/v1/live``: what a tab is told at once, over one WebSocket.

Several parts share it (lines of the worklist, people on a slide): each names the messages that it
takes.  A message is an object in JSON with ``type``; whatever else it has is its part's to check.
"""

import asyncio
import contextlib
import json
import logging
import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from wsi_ai.errors import OutputError
from wsi_ai.service.access.door import Door, NotKnown
from wsi_ai.service.access.who import Who
from wsi_ai.service.changes import Change

log = logging.getLogger(__name__)

_MOST_BYTES = 1 << 17
_MOST_WAITING = 256
"""Messages to one tab; a tab that reads no faster is told to load anew."""
UNKNOWN, TOO_SLOW, UNREADABLE, GOING_DOWN = 4401, 4408, 4400, 1012

Message = Mapping[str, Any]


@dataclass(slots=True, eq=False)
class Tab:
    """One that is open."""

    who: Who
    """Asked anew while it is open: whose rights end sees nothing more."""
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    _waiting: OrderedDict[str, Message] = field(default_factory=OrderedDict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _count: int = 0
    slow: bool = False

    def send(self, message: Message, *, instead_of: str = "") -> None:
        """Never waits.  What is said under the same name and has not gone yet is replaced: where a
        cursor was a moment ago is of no interest."""
        self._count += 1
        self._waiting[instead_of or str(self._count)] = message
        if len(self._waiting) > _MOST_WAITING:
            self._waiting.clear()
            self.slow = True
        self._news.set()

    async def next(self) -> list[Message]:
        await self._news.wait()
        self._news.clear()
        waiting = list(self._waiting.values())
        self._waiting.clear()
        return waiting


class Part(Protocol):
    """A part of the pages that is told things, and says things."""

    @property
    def takes(self) -> frozenset[str]:
        """Types of messages from a tab."""
        ...

    async def receive(self, tab: Tab, message: Message) -> None:
        """Raises ValueError, whose text goes to the tab, where the message is not right."""
        ...

    async def changed(self, changes: Sequence[Change]) -> None:
        """Something was written down, here or by another process; in order, each once."""
        ...

    async def left(self, tab: Tab) -> None:
        """It is closed, or its rights are others now and it has to say again what it wants."""
        ...


@dataclass(slots=True, eq=False)
class Live:
    """All tabs of this process."""

    door: Door
    parts: Sequence[Part]
    rights_every_s: float = 10.0
    """A right that was withdrawn ends an open socket within this time."""
    tabs: set[Tab] = field(default_factory=set)
    _going: bool = False

    async def serve(self, socket: WebSocket) -> None:
        """The endpoint.  An unknown caller is refused before it is let in."""
        try:
            who = await run_in_threadpool(self.door.who, socket)
        except (NotKnown, OutputError):
            await socket.close(UNKNOWN)
            return
        await socket.accept()
        tab = Tab(who)
        self.tabs.add(tab)
        ways = [self._hear(socket, tab), self._tell(socket, tab), self._watch(socket, tab)]
        tasks = [asyncio.create_task(way) for way in ways]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            code = next((task.result() for task in done), 1000)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.tabs.discard(tab)
            for part in self.parts:
                await part.left(tab)
        await _close(socket, code)

    async def changed(self, changes: Sequence[Change]) -> None:
        for part in self.parts:
            await part.changed(changes)

    def missed(self) -> None:
        """Every tab asks anew for what it shows."""
        for tab in self.tabs:
            tab.send({"type": "resync"})

    def close(self) -> None:
        """Every tab is sent away, and comes back to whoever is there then."""
        self._going = True
        for tab in self.tabs:
            tab.send({"type": "going"})

    async def _hear(self, socket: WebSocket, tab: Tab) -> int:
        while True:
            try:
                text = await socket.receive_text()
            except (WebSocketDisconnect, RuntimeError, KeyError):
                return 1000
            found = _read(text)
            if found is None:
                return UNREADABLE
            await self._hand_over(tab, found)

    async def _hand_over(self, tab: Tab, message: Message) -> None:
        for part in self.parts:
            if message["type"] in part.takes:
                try:
                    await part.receive(tab, message)
                except ValueError as error:
                    tab.send({"type": "refused", "of": message["type"], "why": str(error)})
                except OutputError:
                    tab.send({"type": "refused", "of": message["type"], "why": "try again"})
                return
        tab.send({"type": "refused", "of": message["type"], "why": "there is no such message"})

    async def _tell(self, socket: WebSocket, tab: Tab) -> int:
        while True:
            for message in await tab.next():
                with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                    await socket.send_text(json.dumps(message, separators=(",", ":")))
            if tab.slow:
                return TOO_SLOW
            if self._going:
                return GOING_DOWN

    async def _watch(self, socket: WebSocket, tab: Tab) -> int:
        """A right that was withdrawn ends within seconds, not at the next page."""
        while True:
            await asyncio.sleep(self.rights_every_s)
            try:
                now = await run_in_threadpool(self.door.who, socket)
            except NotKnown:
                return UNKNOWN
            except OutputError:
                continue  # the database is away: nothing new is seen either
            if now != tab.who:
                tab.who = now
                for part in self.parts:
                    await part.left(tab)
                tab.send({"type": "resync"})


def _read(text: str) -> Message | None:
    """``None`` for what no page of ours sends."""
    if len(text) > _MOST_BYTES or "\\u0000" in text or "\0" in text:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):  # brackets by the thousand
        return None
    return found if isinstance(found, dict) and isinstance(found.get("type"), str) else None


async def _close(socket: WebSocket, code: int) -> None:
    if socket.client_state is not WebSocketState.DISCONNECTED:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await socket.close(code)
