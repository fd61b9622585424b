"""``wsi-ai serve``: the pages, the API and the receiver of flags."""

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

from sqlalchemy import Engine
from starlette.types import ASGIApp

from wsi_ai.cli.output import Exit, exit_on_error, log_to, say, service_logs
from wsi_ai.cli.serve_arguments import AllArguments, ServeArguments
from wsi_ai.core.environment import cache_folder
from wsi_ai.delivery.receiver.web import Access
from wsi_ai.delivery.routes import secret_at
from wsi_ai.errors import InputError
from wsi_ai.service.access.access_door import AccessDoor, OnePersonDoor
from wsi_ai.service.access.door import Door
from wsi_ai.service.access.guard import Guarded
from wsi_ai.service.access.logging_in import Login
from wsi_ai.service.access.login import CALLBACK, LoginRoutes
from wsi_ai.service.access.loopback import HOST, OnePersonGuard
from wsi_ai.service.access.provider import Provider
from wsi_ai.service.access.settings import AccessSettings, load_access
from wsi_ai.service.access.site import Site, site_at, site_of
from wsi_ai.service.database.opening import open_service_database
from wsi_ai.service.listening import listening
from wsi_ai.service.opening import approved_names
from wsi_ai.service.queue import Queue
from wsi_ai.service.routing.loading import load_routing
from wsi_ai.service.serving.app import ServiceParts, service_app
from wsi_ai.service.serving.server import Tls, serve
from wsi_ai.service.viewer.cache import TileCache


@exit_on_error
def run(database: str, arguments: ServeArguments, more: AllArguments) -> int:
    """Until SIGTERM or SIGINT."""
    log_to(service_logs(arguments.log_file, arguments.log_format))
    entrance = _entrance(arguments)
    engine = open_service_database(database)
    try:
        with closing(listening(arguments.host, arguments.port)) as door:
            app, address = entrance.app(_parts(engine, arguments, more), door.getsockname()[1])
            say(f"open {address}")
            serve(app, door, _tls(arguments))
    finally:
        engine.dispose()
    return Exit.OK


@dataclass(frozen=True, slots=True)
class _Parts:
    """What does not depend on who comes in."""

    engine: Engine
    queue: Queue
    keys: Access | None
    models: Mapping[str, str]
    routing: Path | None
    trusted_keys: Path | None
    folders: Mapping[str, Path]


@dataclass(frozen=True, slots=True)
class _Entrance:
    site: Site | None
    """``None``: one person on this machine."""
    settings: AccessSettings

    def app(self, parts: _Parts, port: int) -> tuple[ASGIApp, str]:
        """The app behind its guard, and the address to open."""
        site = self.site or site_at(f"http://{HOST}:{port}")
        known = AccessDoor(parts.engine, time.time, site)
        if self.site is None:
            guard = OnePersonGuard(self._made(parts, OnePersonDoor(known), None), port)
            return guard, guard.address
        login = LoginRoutes(parts.engine, time.time, site, self._login(site))
        return Guarded(self._made(parts, known, login), site), f"{site.origin}/"

    def _login(self, site: Site) -> Login | None:
        if self.settings.login is None:
            return None
        return Login(Provider(self.settings.login, time.time), f"{site.origin}{CALLBACK}")

    def _made(self, parts: _Parts, door: Door, login: LoginRoutes | None) -> ASGIApp:
        routing = parts.routing and load_routing(parts.routing, parts.trusted_keys)
        return service_app(
            ServiceParts(
                engine=parts.engine,
                clock=time.time,
                door=door,
                queue=parts.queue,
                cache=TileCache(cache_folder() / "viewer"),
                login=login,
                keys=parts.keys,
                trusts=self.settings.trusts,
                models=parts.models,
                choose=routing.choices if routing else None,
                folders=parts.folders,
            )
        )


def _entrance(arguments: ServeArguments) -> _Entrance:
    """Raises InputError where others could come in the clear, or nobody could log in."""
    if arguments.url and arguments.behind_proxy:
        raise InputError("--url with a certificate of our own, or --behind-proxy: not both")
    if arguments.url and arguments.cert is None:
        raise InputError("--url needs --cert and --key; behind a proxy it is --behind-proxy URL")
    url = arguments.url or arguments.behind_proxy
    site = site_of(arguments.host, has_tls=arguments.cert is not None, url=url)
    settings = load_access(arguments.access) if arguments.access else AccessSettings()
    return _Entrance(site, settings)


def _parts(engine: Engine, arguments: ServeArguments, more: AllArguments) -> _Parts:
    models = approved_names(more.model, more.trusted_keys) if more.model else []
    keys = tuple(secret_at(place)().value.decode() for place in arguments.receive_key or ())
    return _Parts(
        engine=engine,
        queue=Queue(engine, time.time, SystemRandom()),
        keys=Access(keys) if keys else None,
        models={f"{card.ref.name}@{card.ref.version}": name for name, card in models},
        routing=more.routing,
        trusted_keys=more.trusted_keys,
        folders={"results": more.out} if more.out else {},
    )


def _tls(arguments: ServeArguments) -> Tls | None:
    return Tls(arguments.cert, arguments.key) if arguments.cert else None
