"""A small service in a process of its own: a slide, its room, and people by a cookie.

    python -m tests.service.rooms.server DATABASE SLIDE OUT PEOPLE PORT

Which rights people have is read from PEOPLE at every question, so that a test can take them away.
"""

import asyncio
import json
import logging
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse
from starlette.routing import Route, WebSocketRoute

from wsi_ai.delivery.outbox.database import READING
from wsi_ai.service.access import shares
from wsi_ai.service.access.door import NotKnown
from wsi_ai.service.access.who import Right, Role, Scope, Who
from wsi_ai.service.database.opening import open_service_database
from wsi_ai.service.live.tabs import Live
from wsi_ai.service.live.tail import Tail
from wsi_ai.service.rooms.part import RoomsPart
from wsi_ai.service.rooms.slides import SlidesOf
from wsi_ai.service.rooms.web import RoomParts, room_routes
from wsi_ai.service.static_common import common_route
from wsi_ai.service.viewer.cache import TileCache


@dataclass(frozen=True)
class CookieDoor:
    """``who=amy``; what amy may is in the file."""

    people: Path
    engine: Engine

    def who(self, connection: HTTPConnection) -> Who:
        known = json.loads(self.people.read_text()).get(connection.cookies.get("who"))
        if known is None:
            raise NotKnown("nobody")
        rights = frozenset(Right(Role(role), Scope.of(scope)) for role, scope in known["rights"])
        with self.engine.connect() as found:
            reading = found.execution_options(**READING)
            opened = shares.opened_to(reading, known["subject"], known["trust"], time.time())
        return Who(known["subject"], known["name"], rights, known["trust"], opened)


def app_of(engine: Engine, people: Path, cache: Path) -> Starlette:
    door, slides = CookieDoor(people, engine), SlidesOf(engine)
    rooms = RoomsPart(engine, slides, time.time)
    live = Live(door, [rooms], rights_every_s=0.5)
    routes = room_routes(RoomParts(engine, door, slides, time.time, TileCache(cache)))

    @asynccontextmanager
    async def following(_: Starlette):  # type: ignore[no-untyped-def]
        task = asyncio.create_task(Tail(engine, live).run())
        yield
        task.cancel()

    def log_in(request: HTTPConnection) -> RedirectResponse:
        answer = RedirectResponse(request.query_params["to"])
        answer.set_cookie("who", request.query_params["who"])
        return answer

    extra = [common_route(), WebSocketRoute("/v1/live", live.serve), Route("/log-in", log_in)]
    return Starlette(routes=[*routes, *extra], lifespan=following)


def main() -> None:
    database, people, cache, port = sys.argv[1:]
    logging.basicConfig(level=logging.INFO)
    app = app_of(open_service_database(database), Path(people), Path(cache))
    config = {"log_level": "info", "access_log": False, "ws_max_size": 1 << 18}
    uvicorn.run(app, host="127.0.0.1", port=int(port), **config)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
