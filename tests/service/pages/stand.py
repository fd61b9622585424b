"""A service with pages, in a thread, and a browser to look at it."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import uvicorn
from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import WebSocketRoute

from tests.delivery.prepared import prepared
from tests.delivery.servers import HOST, free_port, until
from wsi_ai.delivery.receiver.inbox import Inbox
from wsi_ai.service.access.door import NotKnown
from wsi_ai.service.access.guard import Guarded
from wsi_ai.service.access.site import site_at
from wsi_ai.service.access.who import ONE_PERSON, Who
from wsi_ai.service.database.opening import open_service_database
from wsi_ai.service.live.tabs import Live
from wsi_ai.service.live.tail import Tail
from wsi_ai.service.pages.parts import PageParts
from wsi_ai.service.pages.routes import page_routes
from wsi_ai.service.pages.worklist_page import rendering
from wsi_ai.service.queue import Queue
from wsi_ai.service.static_common import common_route
from wsi_ai.service.worklist.live import LinesPart


@dataclass
class ByCookie:
    """Everybody is who they say: for tests of what each then sees."""

    people: Mapping[str, Who]

    def who(self, connection: HTTPConnection) -> Who:
        name = connection.cookies.get("as", "")
        if name not in self.people:
            raise NotKnown("nobody is known by that name")
        return self.people[name]


@dataclass
class Stand:
    base: str
    engine: Engine
    parts: PageParts
    people: dict[str, Who]
    people_at: dict[str, int] = field(default_factory=dict)
    """By slide, how many people look at it."""

    @property
    def inbox(self) -> Inbox:
        return Inbox(self.engine)


def app(parts: PageParts, *, every_s: float = 0.2) -> Starlette:
    lines = LinesPart(
        parts.engine, rendering(parts.clock), parts.clock, every_s, people_at=parts.looking
    )
    live = Live(parts.door, [lines])

    @asynccontextmanager
    async def running(_: Starlette) -> AsyncIterator[None]:
        tail = asyncio.create_task(Tail(parts.engine, live, every_s=0.1).run())
        yield
        tail.cancel()

    routes = [*page_routes(parts), common_route(), WebSocketRoute("/v1/live", live.serve)]
    return Starlette(routes=routes, lifespan=running)


@contextmanager
def standing(database: str, people: dict[str, Who] | None = None) -> Iterator[Stand]:
    known = {"you": ONE_PERSON} if people is None else people
    with prepared(database, open_service_database) as engine:
        yield from _standing(engine, known)


def _standing(engine: Engine, known: dict[str, Who]) -> Iterator[Stand]:
    door = ByCookie(known)
    queue = Queue(engine, time.time, Random(1))
    people_at = dict[str, int]()

    def looking(slides: Sequence[str]) -> dict[str, int]:
        return {slide: people_at[slide] for slide in slides if slide in people_at}

    parts = PageParts(engine, door, time.time, queue, looking=looking)
    port = free_port()
    base = f"http://{HOST}:{port}"
    guarded = Guarded(app(parts), site_at(base))
    config = uvicorn.Config(guarded, host=HOST, port=port, log_level="error", lifespan="on",
                            timeout_graceful_shutdown=1)  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, "the service did not start")
    try:
        yield Stand(base, engine, parts, known, people_at)
    finally:
        server.should_exit = True
        thread.join(10)
        pool: Any = engine.pool
        until(lambda: pool.checkedout() == 0, "a thread of the service still reads")


class Page:
    """A page that is open as somebody, and what its console said."""

    def __init__(self, stand: Stand, browser: Any, name: str = "you", **options: Any) -> None:
        self.context = browser.new_context(
            viewport={"width": 1400, "height": 800}, base_url=stand.base, **options
        )
        self.context.add_cookies([{"name": "as", "value": name, "url": stand.base}])
        self.page, self.said = self.context.new_page(), list[str]()
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))

    def _note(self, line: Any) -> None:
        if line.type == "error":
            self.said.append(line.text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.page, name)

    def __enter__(self) -> "Page":
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def shows(self, path: str = "/") -> "Page":
        self.page.goto(path)
        return self

    def live(self) -> "Page":
        self.until("() => document.getElementById('live').dataset.state === 'open'")
        return self

    def until(self, script: str, within_s: float = 15) -> Any:
        """Polled from outside: the page's own rules forbid ``eval`` inside.  It may go to another
        page meanwhile."""
        from playwright.sync_api import Error

        deadline, found = time.monotonic() + within_s, None
        while not found:
            assert time.monotonic() < deadline, (script, self.said)
            with contextlib.suppress(Error):
                found = self.page.evaluate(script)
            time.sleep(0 if found else 0.05)
        return found

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).first.text_content())

    def lines(self) -> list[str]:
        return list(
            self.page.evaluate("() => [...document.querySelectorAll('#lines tbody tr')]"
                               ".map((row) => row.dataset.flag)")
        )  # fmt: skip
