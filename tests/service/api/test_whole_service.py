"""The whole service, as it is put together: every address, asked by every subject."""

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from starlette.routing import Mount, Route, WebSocketRoute

from tests.service.api.test_tenancy import covers, subjects
from tests.service.api.world import NETWORKS, ORIGIN, World, right
from wsi_ai.service.access import sessions
from wsi_ai.service.access.guard import Guarded
from wsi_ai.service.access.login import LoginRoutes
from wsi_ai.service.access.sessions import Person
from wsi_ai.service.access.site import Site
from wsi_ai.service.access.who import Role
from wsi_ai.service.queue import Queue
from wsi_ai.service.serving.app import ServiceParts, service_app
from wsi_ai.service.viewer.cache import TileCache

OPEN = {
    "/healthz", "/readyz", "/login", "/login/login.css", "/login/start", "/login/callback",
    "/logout", "/openapi.json",
}  # fmt: skip
"""Whoever asks; nothing of a slide, case or person is there."""


@pytest.fixture
def whole(world: World, tmp_path: Path) -> Any:
    site = Site(ORIGIN)
    parts = world.parts
    return service_app(
        ServiceParts(
            engine=world.engine,
            clock=world.clock,
            door=parts.door,
            queue=Queue(world.engine, world.clock, random=Random(1)),
            cache=TileCache(tmp_path / "cache"),
            login=LoginRoutes(world.engine, world.clock, site, None),
            trusts=parts.trusts,
            models=parts.models,
        )
    )


def addresses(whole: Any, world: World, trust: str) -> list[tuple[str, str]]:
    """Every address of the pages, about that trust's objects."""
    of = world.of[trust]
    known = {"sid": of.sid, "share": of.share, "name": "x"}
    found = []
    for route in whole.routes:
        if isinstance(route, Route):
            path = route.path
            for name, value in known.items():
                path = path.replace(f"{{{name}}}", value)
            assert "{" not in path, f"what is to stand in {route.path}?"
            found += [(method, path) for method in sorted(route.methods or ()) if method != "HEAD"]
        else:
            assert isinstance(route, Mount | WebSocketRoute), route
    return found


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_without_a_session_no_address_says_anything(world: World, whole: Any) -> None:
    app = replace(world, app=Guarded(whole, Site(ORIGIN)))
    for method, path in addresses(whole, world, "RXX"):
        answer = app.ask(method, path, None, headers={"accept": "text/html"})
        if path in OPEN or "/static/" in path:
            assert "S26" not in str(answer.body), path
            continue
        assert answer.status in (303, 401, 403, 404, 405, 415), (method, path, answer.status)
        assert "S26" not in str(answer.body), path


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_no_page_shows_what_is_another_trusts(world: World, whole: Any) -> None:
    app = replace(world, app=Guarded(whole, Site(ORIGIN)))
    for roles, scope, token in subjects(world, step=3):
        asked = [
            (method, path, token, {"headers": {"accept": "text/html"}})
            for trust in NETWORKS
            for method, path in addresses(whole, world, trust)
            if method == "GET" and path not in OPEN
        ]
        hidden = [one for one in NETWORKS if not covers(scope, one) or Role.READ not in roles]
        for (_, path, *_), answer in zip(asked, app.ask_all(asked), strict=True):
            assert answer.status < 500, (path, answer)
            for trust in hidden:
                assert f"S26-1-{trust}" not in str(answer.body), (path, sorted(roles), scope)
                if world.of[trust].sid in path and answer.status != 405:
                    assert answer.status in (303, 401, 403, 404), (path, sorted(roles), scope)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_no_form_of_another_page_changes_anything(world: World, whole: Any) -> None:
    app = replace(world, app=Guarded(whole, Site(ORIGIN)))
    secret = sessions.begin(world.engine, Person("subject:amy", "Amy"), world.clock())
    for origin in ({"origin": "https://evil.example"}, {"origin": "null"}, {}):
        headers = {"cookie": f"__Host-wsi-ai={secret}", **origin}
        for method, path in addresses(whole, world, "RXX"):
            if method != "GET":
                assert app.ask(method, path, None, headers=headers).status == 403, path


ODD = "9" * 15, "9" * 40, "nan", "a\0b", "²"
QUERIES = {
    "/": ("next", "trust", "level", "model"),
    "/worklist/changes": ("after",),
    "/queue": ("trust",),
    "/admin": ("before", "who", "what"),
}
FORMS = {
    "/admin/tokens": ("name", "days", "role", "scope"),
    "/admin/tokens/revoke": ("name",),
    "/admin/rights": ("to", "role", "scope"),
    "/admin/rights/withdraw": ("to", "role", "scope"),
    "/queue/again": ("job",),
    "/queue/drain": ("worker",),
    "/worklist/acknowledgements": ("flag", "revision", "note", "back"),
    "/worklist/models": ("flag", "model", "back"),
}
USUAL = {"days": "1", "role": "read", "scope": "region", "to": "subject:a", "revision": "1"}


def test_no_odd_value_of_a_query_or_a_form_is_a_mistake_of_ours(world: World, whole: Any) -> None:
    token = world.token("all", *(right(role) for role in Role))
    of = world.of["RXX"]
    usual = {**USUAL, "job": of.job, "flag": of.flag, "model": "demo@1", "name": "x"}
    asked: list[tuple[str, str, str | None, dict[str, Any]]] = [
        ("GET", path, token, {"params": {name: odd}})
        for path, names in {**QUERIES, f"/slides/{of.sid}/notes": ("since",)}.items()
        for name in names
        for odd in ODD
    ]
    for path, names in FORMS.items():
        known = {name: usual.get(name, "") for name in names}
        for name in names:
            for odd in ODD:
                more = {"data": {**known, name: odd}, "headers": {"origin": ORIGIN}}
                asked.append(("POST", path, token, more))
    app = replace(world, app=Guarded(whole, Site(ORIGIN)))
    for (method, path, _, more), answer in zip(asked, app.ask_all(asked), strict=True):
        assert answer.status < 500, (method, path, more, answer)
