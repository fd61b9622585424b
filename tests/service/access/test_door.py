"""Who comes in, and for how long."""

import asyncio
import logging
import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, select
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket
from typer.testing import CliRunner
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.delivery.conftest import FakeClock
from tests.delivery.servers import free_port, serving
from wsi_ai.cli import app as commands
from wsi_ai.errors import InputError
from wsi_ai.service.access import acts, rights, sessions, shares, tokens
from wsi_ai.service.access.access_door import AccessDoor, OnePersonDoor
from wsi_ai.service.access.acts import Wanted
from wsi_ai.service.access.door import NotKnown
from wsi_ai.service.access.guard import Guarded
from wsi_ai.service.access.loopback import OnePersonGuard
from wsi_ai.service.access.rights import NotAllowed
from wsi_ai.service.access.sessions import IDLE_S, WHOLE_S, Person
from wsi_ai.service.access.shares import Slide
from wsi_ai.service.access.site import Site, site_at, site_of
from wsi_ai.service.access.who import ONE_PERSON, REGION, Right, Role, Scope, Who
from wsi_ai.service.database.opening import open_service_database
from wsi_ai.service.database.tables import session, token
from wsi_ai.service.live import tabs
from wsi_ai.service.live.tabs import Live

SITE = Site("https://wsi.example")
READ = Right(Role.READ, Scope("trust", "RXX"))


def request(site: Site = SITE, **headers: str) -> HTTPConnection:
    raw = [(n.replace("_", "-").encode(), v.encode("latin-1")) for n, v in headers.items()]
    return HTTPConnection({"type": "http", "headers": raw, "path": "/", "query_string": b""})


def bearer(text: str) -> HTTPConnection:
    return request(authorization=f"Bearer {text}")


def cookie(secret: str) -> HTTPConnection:
    return request(cookie=f"a=b; __Host-wsi-ai={secret}; c=d")


@pytest.fixture
def door(engine: Engine, clock: FakeClock) -> AccessDoor:
    return AccessDoor(engine, clock, SITE)


def test_a_token_opens_what_it_was_given_until_it_is_revoked_or_ends(
    engine: Engine, door: AccessDoor, clock: FakeClock
) -> None:
    made = tokens.make(engine, ONE_PERSON, "scanner", clock() + 100, clock())
    assert re.fullmatch(r"wsi_[A-Za-z0-9_-]{43}", made)
    assert door.who(bearer(made)).rights == frozenset()
    assert rights.grant(engine, ONE_PERSON, "token:scanner", READ, clock())
    assert not rights.grant(engine, ONE_PERSON, "token:scanner", READ, clock())
    assert door.who(bearer(made)).rights == {READ}
    assert door.who(bearer(made)).subject == "token:scanner"
    assert rights.withdraw(engine, ONE_PERSON, "token:scanner", READ, clock())
    assert door.who(bearer(made)).rights == frozenset()
    clock.move(100)
    with pytest.raises(NotKnown):
        door.who(bearer(made))
    other = tokens.make(engine, ONE_PERSON, "other", None, clock())
    assert tokens.revoke(engine, ONE_PERSON, "other", clock())
    assert not tokens.revoke(engine, ONE_PERSON, "other", clock())
    with pytest.raises(NotKnown):
        door.who(bearer(other))
    with pytest.raises(InputError, match="name already"):
        tokens.make(engine, ONE_PERSON, "other", None, clock())


def test_a_token_ends_within_ten_years_or_never(engine: Engine, clock: FakeClock) -> None:
    for until in (clock(), clock() - 1, clock() + 1e10, 1e300, float("inf"), float("nan")):
        with pytest.raises(InputError, match="ten years"):
            tokens.make(engine, ONE_PERSON, "t", until, clock())
    assert tokens.make(engine, ONE_PERSON, "t", clock() + 3650 * 86_400, clock())


def test_nothing_in_the_database_is_a_token_or_a_sessions_secret(
    engine: Engine, clock: FakeClock
) -> None:
    made = tokens.make(engine, ONE_PERSON, "scanner", None, clock())
    secret = sessions.begin(engine, Person("subject:amy", "Amy"), clock())
    with engine.connect() as connection:
        for table in (token, session):
            for row in connection.execute(select(table)):
                assert made not in str(row)
                assert secret not in str(row)
                assert len(row.sha256) == 64


@given(st.text(max_size=80))
def test_no_guess_is_a_token(text: str) -> None:
    assert tokens.known(None, text, 0.0) is None or re.fullmatch(r"wsi_\S{43}", text)  # type: ignore[arg-type]


UNCLEAR: list[dict[str, str]] = [
    {},
    {"authorization": "Bearer"},
    {"authorization": "Basic d3NpOmFp"},
    {"authorization": "Bearer wsi_\xff"},
    {"cookie": "__Host-wsi-ai="},
    {"cookie": "__Host-wsi-ai=\xff"},
    {"cookie": "wsi-ai=SECRET"},
    {"cookie": "__Host-wsi-ai=x; __Host-wsi-ai=SECRET"},
]


def test_what_does_not_say_clearly_whose_it_is_is_not_known(
    engine: Engine, door: AccessDoor, clock: FakeClock
) -> None:
    secret = sessions.begin(engine, Person("subject:amy", "Amy"), clock())
    assert door.who(cookie(secret))
    for headers in UNCLEAR:
        asked = {name: value.replace("SECRET", secret) for name, value in headers.items()}
        with pytest.raises(NotKnown):
            door.who(request(**asked))


def test_a_wrong_token_is_not_made_good_by_a_cookie(
    engine: Engine, door: AccessDoor, clock: FakeClock
) -> None:
    secret = sessions.begin(engine, Person("subject:amy", "Amy"), clock())
    both = request(cookie=f"__Host-wsi-ai={secret}", authorization="Bearer wsi_" + "x" * 43)
    with pytest.raises(NotKnown):
        door.who(both)


def test_a_session_ends_when_it_is_idle_and_after_a_day_of_work(
    engine: Engine, door: AccessDoor, clock: FakeClock
) -> None:
    idle = sessions.begin(engine, Person("subject:amy", "Amy"), clock())
    used = sessions.begin(engine, Person("subject:ben", "Ben"), clock())
    for _ in range(int(WHOLE_S / 1000)):
        clock.move(1000)
        assert door.who(cookie(used)).subject == "subject:ben"
    clock.move(WHOLE_S % 1000)
    for secret in (idle, used):
        with pytest.raises(NotKnown):
            door.who(cookie(secret))
    assert sessions.count(engine, clock()) == 0
    assert sessions.purge(engine, clock()) == 2


def test_an_open_tab_alone_keeps_no_session(
    engine: Engine, door: AccessDoor, clock: FakeClock
) -> None:
    secret = sessions.begin(engine, Person("subject:amy", "Amy"), clock())
    asked = cookie(secret).scope
    socket = HTTPConnection({**asked, "type": "websocket"})
    for _ in range(29):
        clock.move(60)
        assert door.who(socket)
    clock.move(61)
    with pytest.raises(NotKnown):
        door.who(socket)


def test_a_clock_that_was_set_back_lengthens_nothing(
    engine: Engine, door: AccessDoor, clock: FakeClock
) -> None:
    made = tokens.make(engine, ONE_PERSON, "t", clock() + 10, clock())
    secret = sessions.begin(engine, Person("subject:amy", "Amy"), clock())
    clock.move(-7200)
    for asked in (bearer(made), cookie(secret)):
        with pytest.raises(NotKnown):
            door.who(asked)


def test_reading_who_it_is_writes_nothing_at_each_request(
    engine: Engine, door: AccessDoor, clock: FakeClock
) -> None:
    secret = sessions.begin(engine, Person("subject:amy", "Amy"), clock())

    def used() -> float:
        with engine.connect() as connection:
            return float(connection.scalar(select(session.c.used)) or 0)

    before = used()
    clock.move(IDLE_S / 100)
    door.who(cookie(secret))
    assert used() == before
    clock.move(60)
    door.who(cookie(secret))
    assert used() == clock()


def test_an_administrator_of_a_trust_gives_and_takes_rights_there_and_nowhere_else(
    engine: Engine, clock: FakeClock
) -> None:
    admin = Who("subject:a", "A", frozenset({Right(Role.ADMIN, Scope("trust", "RXX"))}))
    nobody = Who("subject:b", "B", frozenset({READ}))
    assert rights.grant(engine, admin, "subject:c", READ, clock())
    for scope in (Scope("trust", "RYY"), Scope("network", "RXX"), REGION):
        for role in (Role.READ, Role.ADMIN):
            with pytest.raises(NotAllowed):
                rights.grant(engine, admin, "subject:a", Right(role, scope), clock())
    rights.grant(engine, ONE_PERSON, "token:region", Right(Role.READ, REGION), clock())
    with pytest.raises(NotAllowed):
        rights.withdraw(engine, admin, "token:region", Right(Role.READ, REGION), clock())
    tokens.make(engine, ONE_PERSON, "region", None, clock())
    with pytest.raises(NotAllowed):
        tokens.revoke(engine, admin, "region", clock())
    for call in (
        lambda: rights.grant(engine, nobody, "subject:b", READ, clock()),
        lambda: tokens.make(engine, nobody, "mine", None, clock()),
    ):
        with pytest.raises(NotAllowed):
            call()
    assert [one.to for one in rights.listed(engine, admin)] == ["subject:c"]
    assert rights.listed(engine, nobody) == []


def test_a_right_is_given_to_somebody_that_there_can_be(engine: Engine, clock: FakeClock) -> None:
    for to in ("amy", "subject:", "subject:a\nb", "token:a b", "claim:x", "claim:=x", "role:x",
               "subject:\0", "subject:" + "x" * 300):  # fmt: skip
        with pytest.raises(InputError):
            rights.grant(engine, ONE_PERSON, to, READ, clock())


def test_a_share_is_made_by_who_may_annotate_and_ends(
    engine: Engine, door: AccessDoor, clock: FakeClock
) -> None:
    slide = Slide("a" * 64, "RXX", "N1")
    by = Who("subject:amy", "Amy", frozenset({Right(Role.ANNOTATE, Scope("trust", "RXX"))}))
    gp = sessions.begin(engine, Person("subject:gp", "GP", "RZZ"), clock())
    with pytest.raises(NotAllowed):
        shares.make(engine, Who("subject:b", "B", frozenset({READ})), slide,
                    ("subject:gp", clock() + 9), clock())  # fmt: skip
    for to, until in (("gp", 9), ("claim:a=b", 9), ("subject:gp", 0), ("subject:gp", 1e9)):
        with pytest.raises(InputError):
            shares.make(engine, by, slide, (to, clock() + until), clock())
    made = shares.make(engine, by, slide, ("trust:RZZ", clock() + 900), clock())
    assert door.who(cookie(gp)).opened == {("a" * 64, "RXX")}
    assert door.who(cookie(gp)).sees("a" * 64, "RXX")
    assert not door.who(cookie(gp)).sees("a" * 64, "RYY")
    assert not shares.end(engine, Who("subject:x", "X", frozenset({READ})), made.share_id, clock())
    assert shares.end(engine, by, made.share_id, clock())
    assert door.who(cookie(gp)).opened == frozenset()
    shares.make(engine, by, slide, ("subject:gp", clock() + 900), clock())
    clock.move(900)
    assert door.who(cookie(gp)).opened == frozenset()


def test_whatever_is_done_about_access_is_among_the_acts(engine: Engine, clock: FakeClock) -> None:
    tokens.make(engine, ONE_PERSON, "t", None, clock())
    rights.grant(engine, ONE_PERSON, "token:t", READ, clock())
    rights.withdraw(engine, ONE_PERSON, "token:t", READ, clock())
    tokens.revoke(engine, ONE_PERSON, "t", clock())
    slide = Slide("a" * 64, "RXX")
    made = shares.make(engine, ONE_PERSON, slide, ("trust:RYY", clock() + 9), clock())
    shares.end(engine, ONE_PERSON, made.share_id, clock())
    secret = sessions.begin(engine, Person("subject:amy", "Amy"), clock())
    sessions.end(engine, secret, clock())
    found = acts.search(engine, ONE_PERSON, Wanted())
    assert [one.what for one in reversed(found)] == [
        "token made", "right granted", "right withdrawn", "token revoked", "share made",
        "share ended", "logged in", "logged out",
    ]  # fmt: skip
    assert acts.check(engine).lines == 8


@pytest.mark.parametrize(
    ("at", "has_tls", "url", "origin"),
    [
        ("127.0.0.1", False, None, None),
        ("::1", False, None, None),
        ("localhost", False, None, None),
        ("0.0.0.0", False, "https://wsi.example", "https://wsi.example"),
        ("0.0.0.0", True, "https://wsi.example:8443/", "https://wsi.example:8443"),
        ("127.0.0.1", False, "https://WSI.example:443", "https://wsi.example"),
    ],
)
def test_where_the_service_is_reached(
    at: str, *, has_tls: bool, url: str | None, origin: str | None
) -> None:
    found = site_of(at, has_tls=has_tls, url=url)
    assert (found and found.origin) == origin


@pytest.mark.parametrize(
    ("at", "has_tls", "url"),
    [
        ("0.0.0.0", False, None),
        ("10.0.0.5", False, None),
        ("wsi.example", False, None),
        ("::", False, None),
        ("10.0.0.5", True, None),
        ("10.0.0.5", False, "http://wsi.example"),
        ("10.0.0.5", False, "https://wsi.example/path"),
        ("10.0.0.5", False, "https://u:p@wsi.example"),
        ("10.0.0.5", False, "wsi.example"),
        ("10.0.0.5", False, "https://"),
        ("10.0.0.5", False, "https://wsi.example:0"),
    ],
)
def test_nobody_else_reaches_it_in_the_clear(at: str, *, has_tls: bool, url: str | None) -> None:
    with pytest.raises(InputError):
        site_of(at, has_tls=has_tls, url=url)


def test_cookies_of_a_site_in_tls_are_bound_to_its_host() -> None:
    assert site_at("https://a.example").cookie("x") == "__Host-x"
    assert site_at("http://127.0.0.1:8642").cookie("x") == "x"


def plain(request: Request) -> Response:
    return PlainTextResponse("in")


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("in")
    await socket.close()


def answered(app: ASGIApp, method: str, headers: dict[str, str], path: str = "/") -> Any:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="https://wsi.example") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(ask())


PAGE = Starlette(
    routes=[
        Route("/", plain, methods=["GET", "POST", "DELETE"]),
        Route("/flags", plain, methods=["POST"]),
        Route("/healthz", plain),
        WebSocketRoute("/v1/live", echo),
    ]
)
OURS = {"cookie": "__Host-wsi-ai=x", "origin": "https://wsi.example"}


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (OURS, 200),
        ({"authorization": "Bearer x"}, 200),
        ({}, 200),  # without a cookie nobody is known by it
        ({**OURS, "origin": "https://evil.example"}, 403),
        ({**OURS, "origin": "null"}, 403),
        ({**OURS, "origin": "http://wsi.example"}, 403),
        ({**OURS, "origin": "https://wsi.example.evil.example"}, 403),
        ({"cookie": "__Host-wsi-ai=x"}, 403),
        ({"cookie": "__Host-wsi-ai=x", "authorization": "Bearer x"}, 403),
        ({"authorization": "Bearer x", "origin": "https://evil.example"}, 403),
        ({**OURS, "host": "evil.example"}, 403),
        ({**OURS, "host": "10.0.0.5"}, 403),
        ({**OURS, "host": "WSI.example:443"}, 200),
    ],
)
def test_only_our_own_page_writes_with_a_persons_cookie(
    method: str, headers: dict[str, str], status: int
) -> None:
    assert answered(Guarded(PAGE, SITE), method, headers).status_code == status


def test_every_answer_has_the_headers_that_keep_a_browser_to_itself() -> None:
    for path, host in (("/", "wsi.example"), ("/healthz", "10.1.1.1:8642"), ("/no", "wsi.example")):
        headers = answered(Guarded(PAGE, SITE), "GET", {"host": host}, path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert "max-age" in headers["strict-transport-security"]
        assert "access-control-allow-origin" not in headers
    assert answered(Guarded(PAGE, SITE), "GET", {"host": "10.1.1.1"}).status_code == 403
    assert (
        answered(Guarded(PAGE, SITE), "POST", {"host": "10.1.1.1"}, "/healthz").status_code == 403
    )


def test_one_person_on_this_machine_writes_from_their_own_page_and_programs_have_tokens() -> None:
    guard = OnePersonGuard(PAGE, 8642)
    host = {"host": "127.0.0.1:8642"}
    entry = guard.address.partition("8642")[2]
    assert answered(guard, "GET", host).status_code == 403
    assert answered(guard, "GET", {"host": "evil.example"}, entry).status_code == 403
    opened = answered(guard, "GET", host, entry)
    assert opened.status_code == 200
    assert answered(guard, "GET", host, entry).status_code == 403
    cookie = {"cookie": opened.headers["set-cookie"].partition(";")[0], **host}
    ours = {**cookie, "origin": "http://127.0.0.1:8642"}
    assert answered(guard, "POST", ours).status_code == 200
    for bad in (
        cookie,
        {**cookie, "origin": "https://evil.example"},
        {**cookie, "origin": "null"},
        {**ours, "sec-fetch-site": "cross-site"},
        {**ours, "host": "localhost.evil.example:8642"},
        {**host, "origin": "http://127.0.0.1:8642"},
    ):
        assert answered(guard, "POST", bad).status_code == 403
    assert answered(guard, "POST", {**host, "authorization": "Bearer x"}).status_code == 200
    assert answered(guard, "POST", {**host, "webhook-signature": "x"}).status_code == 403
    assert answered(guard, "POST", {**host, "webhook-signature": "x"}, "/flags").status_code == 200
    assert answered(guard, "GET", host, "/healthz").status_code == 200


def test_behind_the_guard_only_the_persons_own_browser_is_the_person(
    engine: Engine, clock: FakeClock
) -> None:
    door = OnePersonDoor(AccessDoor(engine, clock, Site("http://127.0.0.1:8642")))
    seen: list[Who | None] = []

    def whose(request: Request) -> Response:
        try:
            seen.append(door.who(request))
        except NotKnown:
            seen.append(None)
        return PlainTextResponse("in")

    pages = Starlette(
        routes=[Route(p, whose, methods=["GET", "POST"]) for p in ("/", "/healthz", "/flags")]
    )
    guard = OnePersonGuard(pages, 8642)
    host = {"host": "127.0.0.1:8642"}
    opened = answered(guard, "GET", host, guard.address.partition("8642")[2])
    cookie = opened.headers["set-cookie"].partition(";")[0]
    answered(guard, "GET", {**host, "cookie": cookie})
    answered(guard, "GET", host, "/healthz")
    answered(guard, "POST", {**host, "webhook-signature": "x"}, "/flags")
    answered(guard, "POST", {**host, "authorization": "Bearer wsi_" + "x" * 43})
    made = tokens.make(engine, ONE_PERSON, "script", None, clock())
    answered(guard, "GET", {**host, "authorization": f"Bearer {made}"})
    assert [who and who.subject for who in seen] == [
        "subject:here", "subject:here", None, None, None, "token:script",
    ]  # fmt: skip


def test_a_token_that_is_revoked_loses_its_open_socket_within_seconds_and_another_page_gets_none(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    port = free_port()
    site = Site(f"http://127.0.0.1:{port}")
    live = Live(AccessDoor(engine, time.time, site), [], rights_every_s=0.2)
    assert Live(live.door, []).rights_every_s == 10.0
    app = Guarded(Starlette(routes=[WebSocketRoute("/v1/live", live.serve)]), site)
    made = tokens.make(engine, ONE_PERSON, "tab", None, time.time())

    async def talk(base: str) -> None:
        at = f"ws://127.0.0.1:{port}/v1/live"
        shown = {"Authorization": f"Bearer {made}"}
        for headers in ({}, {**shown, "Origin": "https://evil.example"}, {"Cookie": "wsi-ai=x"}):
            with pytest.raises((InvalidStatus, ConnectionClosed)):
                async with connect(at, additional_headers=headers) as refused:
                    await refused.recv()
        async with connect(at, additional_headers=shown) as socket:
            await asyncio.to_thread(tokens.revoke, engine, ONE_PERSON, "tab", time.time())
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(socket.recv(), 5)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == tabs.UNKNOWN

    with serving(app, port) as base:
        asyncio.run(talk(base))
    ours = [one.getMessage() for one in caplog.records if one.name.startswith("wsi_ai")]
    assert not any(made in line or made[4:] in line for line in ours)


def test_the_first_administrator_is_made_on_the_command_line_and_makes_the_others(
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "outbox.db")
    open_service_database(path).dispose()
    run = CliRunner().invoke

    def said(*command: str) -> str:
        answer = run(commands, [*command, "--outbox", path])
        assert answer.exit_code == 0, answer.output
        return answer.output.strip()

    made = said("tokens", "make", "--admin")
    engine = open_service_database(path)
    door = AccessDoor(engine, time.time, SITE)
    assert {right.role for right in door.who(bearer(made)).rights} == set(Role)
    scanner = said("tokens", "make", "--name", "scanner", "--right", "submit@trust:RXX")
    assert door.who(bearer(scanner)).rights == {Right(Role.SUBMIT, Scope("trust", "RXX"))}
    said("rights", "grant", "claim:groups=path", "read", "annotate", "--scope", "network:N1")
    assert "claim:groups=path  annotate  network:N1" in said("rights", "list")
    said("rights", "withdraw", "claim:groups=path", "read", "--scope", "network:N1")
    said("tokens", "revoke", "scanner")
    listed = said("tokens", "list")
    assert "scanner  revoked" in listed
    assert made not in listed
    with pytest.raises(NotKnown):
        door.who(bearer(scanner))
    assert said("acts", "check").startswith("13 lines hold")
    for bad in (
        ["tokens", "make", "--admin"],
        ["tokens", "make", "--name", "a b"],
        ["tokens", "revoke", "nobody"],
        ["rights", "grant", "amy", "read", "--scope", "region"],
        ["rights", "grant", "subject:amy", "rule", "--scope", "region"],
        ["rights", "grant", "subject:amy", "read", "--scope", "trust"],
    ):
        assert run(commands, [*bad, "--outbox", path]).exit_code == 2
    engine.dispose()
