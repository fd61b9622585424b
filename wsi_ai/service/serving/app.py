"""The service as one app: pages, slides, the API, the receiver of flags, and one socket a tab."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from wsi_ai.delivery.outbox.outbox import Clock
from wsi_ai.delivery.receiver.inbox import Inbox
from wsi_ai.delivery.receiver.web import Access, receiver
from wsi_ai.errors import OutputError
from wsi_ai.service.access.door import Door, NotKnown
from wsi_ai.service.access.login import LoginRoutes, access_routes
from wsi_ai.service.access.settings import TrustSettings
from wsi_ai.service.access.who import Role
from wsi_ai.service.api.app import api
from wsi_ai.service.api.limits import Limited
from wsi_ai.service.api.parts import ApiParts
from wsi_ai.service.arrivals import Choose
from wsi_ai.service.live.tabs import Live
from wsi_ai.service.live.tail import Tail, forget_old
from wsi_ai.service.pages.parts import PageParts
from wsi_ai.service.pages.routes import page_routes
from wsi_ai.service.pages.worklist_page import rendering
from wsi_ai.service.queue import Queue
from wsi_ai.service.rooms.part import RoomsPart
from wsi_ai.service.rooms.slides import SlidesOf
from wsi_ai.service.rooms.web import RoomParts, room_routes
from wsi_ai.service.serving.figures import metrics
from wsi_ai.service.serving.health import Health
from wsi_ai.service.static_common import common_route
from wsi_ai.service.viewer.cache import TileCache
from wsi_ai.service.viewer.shelf import Shelf
from wsi_ai.service.worklist.live import LinesPart

_RECEIVES = "/flags"
_MOST_BYTES = 1 << 18
"""Of any request: a flag that another machine sends is the largest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceParts:
    """What the app is made of."""

    engine: Engine
    clock: Clock
    door: Door
    queue: Queue
    cache: TileCache
    login: LoginRoutes | None = None
    """``None`` for one person on this machine."""
    keys: Access | None = None
    """By which flags that are sent here are genuine; ``None``: none are taken."""
    trusts: Mapping[str, TrustSettings] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    """That people and programs may ask for, by name."""
    choose: Choose | None = None
    folders: Mapping[str, Path] = field(default_factory=dict)
    """That this process writes to, by what they are for."""


def service_app(parts: ServiceParts) -> Starlette:
    """To be put behind a guard: see ``access.guard`` and ``access.loopback``."""
    slides = SlidesOf(parts.engine)
    rooms = RoomsPart(parts.engine, slides, parts.clock)
    lines = LinesPart(parts.engine, rendering(parts.clock), parts.clock, people_at=rooms.looking_at)
    live = Live(parts.door, [lines, rooms])
    room_parts = RoomParts(parts.engine, parts.door, slides, parts.clock, parts.cache)
    routes: list[BaseRoute] = [
        *Health(parts.engine, parts.clock, tuple(parts.folders.values())).routes(),
        Route("/metrics", _figures(parts)),
        common_route(),
        WebSocketRoute("/v1/live", live.serve),
        *(access_routes(parts.login) if parts.login else ()),
        *page_routes(_page_parts(parts, rooms)),
        *room_routes(room_parts),
        *_received(parts),
        Mount("/", api(_api_parts(parts, slides))),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Limited, most_bytes=_MOST_BYTES)],
        lifespan=_following(parts, live, room_parts.shelf),
    )


def _page_parts(parts: ServiceParts, rooms: RoomsPart) -> PageParts:
    return PageParts(
        engine=parts.engine,
        door=parts.door,
        clock=parts.clock,
        queue=parts.queue,
        models=lambda: sorted(parts.models),
        looking=rooms.looking_at,
        folders=parts.folders,
        signs_out=parts.login is not None,
    )


def _api_parts(parts: ServiceParts, slides: SlidesOf) -> ApiParts:
    return ApiParts(
        engine=parts.engine,
        jobs=parts.queue,
        door=parts.door,
        clock=parts.clock,
        slides=slides,
        trusts=parts.trusts,
        models=parts.models,
        choose=parts.choose,
    )


def _received(parts: ServiceParts) -> Sequence[BaseRoute]:
    """Flags of other machines, into the same list."""
    if parts.keys is None:
        return ()
    app = receiver(Inbox(parts.engine), parts.keys, parts.clock)
    return [route for route in app.routes if getattr(route, "path", "") == _RECEIVES]


def _figures(parts: ServiceParts) -> Callable[[Request], Response]:
    """For a program with a token whose role is to operate."""

    def figures(request: Request) -> Response:
        try:
            who = parts.door.who(request)
        except NotKnown:
            return PlainTextResponse("a token is needed\n", 401)
        except OutputError as error:
            return PlainTextResponse(f"{error}\n", 503)
        if not who.may_somewhere(Role.OPERATE):
            return PlainTextResponse("the role operate is needed\n", 403)
        return metrics(parts.engine, parts.clock, request)

    return figures


def _following(
    parts: ServiceParts, live: Live, shelf: Shelf
) -> Callable[[Starlette], contextlib.AbstractAsyncContextManager[None]]:
    """What others write down is followed while the app runs; then every tab is sent away, to come
    back to whoever is there."""

    @contextlib.asynccontextmanager
    async def following(_: Starlette) -> AsyncIterator[None]:
        ways = Tail(parts.engine, live).run(), forget_old(parts.engine, parts.clock)
        task = asyncio.gather(*ways)
        try:
            yield
        finally:
            live.close()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            shelf.close()

    return following
