"""People log in: by a real provider, and by one that says what it should not."""

import hashlib
import hmac
import logging
import re
import socket
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from sqlalchemy import Engine, select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.delivery.prepared import prepared
from tests.delivery.servers import free_port, misbehaving, serving
from tests.service.access.openid import SECRETS, Running, provider
from wsi_ai.delivery.messages import Secret
from wsi_ai.service.access import rights, sessions
from wsi_ai.service.access.access_door import AccessDoor
from wsi_ai.service.access.door import NotKnown
from wsi_ai.service.access.guard import Guarded
from wsi_ai.service.access.logging_in import Login, begun, come_back, person_of, values_at
from wsi_ai.service.access.login import CALLBACK, LoginRoutes, access_routes, path_here
from wsi_ai.service.access.provider import LoginFailed, Metadata, Provider
from wsi_ai.service.access.settings import LoginSettings
from wsi_ai.service.access.site import Site, site_at
from wsi_ai.service.access.who import ONE_PERSON, Right, Role, Scope
from wsi_ai.service.database.opening import open_service_database
from wsi_ai.service.database.tables import act, session

AMY = {"sub": "amy-1", "name": "Amy Alder", "ods": "RXX", "groups": ["path", "leads"]}
PATH = Right(Role.READ, Scope("trust", "RXX"))


@pytest.fixture(scope="module")
def openid() -> Iterator[Running]:
    port = free_port()
    with provider(f"http://127.0.0.1:{port}{CALLBACK}") as running:
        yield running


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Engine]:
    with prepared(str(tmp_path / "outbox.db"), open_service_database) as engine:
        yield engine


def b64url(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


@dataclass
class Clock:
    ahead_s: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


def settings_of(openid: Running, client: str = "basic", **more: Any) -> LoginSettings:
    key = openid.key.as_bytes(encoding="PEM", private=True)
    credentials: dict[str, Any] = (
        {"key": lambda: Secret(key), "algorithm": "RS512", "key_id": openid.key.kid}
        if client == "signs"
        else {"secret": lambda: Secret(SECRETS[client].encode())}
        if client in SECRETS
        else {}
    )
    how = {"authentication": f"client_secret_{client}"} if client in SECRETS else {}
    usual = {"trust_claim": "ods", "rights_claims": ("groups", "nhsid_nrbac_roles.org_code")}
    return LoginSettings(
        issuer=openid.issuer, client_id=client, **{**credentials, **how, **usual, **more}
    )


def app_of(engine: Engine, clock: Clock, login: Login, site: Site) -> Any:
    door = AccessDoor(engine, clock, site)

    def me(request: Request) -> Response:
        try:
            who = door.who(request)
        except NotKnown:
            return Response(status_code=401)
        roles = sorted(f"{right.role} {right.scope}" for right in who.rights)
        return JSONResponse([who.subject, who.name, who.trust, roles])

    routes = access_routes(LoginRoutes(engine, clock, site, login))
    return Guarded(Starlette(routes=[*routes, Route("/me", me), Route("/", me)]), site)


@contextmanager
def site(engine: Engine, settings: LoginSettings, callback: str, clock: Clock) -> Iterator[str]:
    base = callback.removesuffix(CALLBACK)
    login = Login(Provider(settings, clock), callback)
    with serving(app_of(engine, clock, login, site_at(base)), urlsplit(base).port or 0):
        yield base


def browser() -> httpx.Client:
    return httpx.Client(follow_redirects=False, timeout=20)


def followed(client: httpx.Client, url: str, until: str) -> httpx.Response:
    """As a browser does, until it is sent to ``until``; the answer that sends it there."""
    for _ in range(12):
        answer = client.get(url)
        if not answer.is_redirect:
            return answer
        url = str(answer.next_request.url) if answer.next_request else ""
        if url.startswith(until):
            return answer
    raise AssertionError("the redirects have no end")


def logged_in(client: httpx.Client, base: str, wanted: str = "/me") -> httpx.Response:
    return followed(client, f"{base}/login/start?next={wanted}", f"{base}{wanted}")


@pytest.mark.parametrize("client", ["basic", "post", "signs", "public"])
def test_a_person_comes_in_by_a_real_provider_with_the_rights_of_their_claims(
    openid: Running, here: Engine, client: str
) -> None:
    openid.says(AMY)
    rights.grant(here, ONE_PERSON, "claim:groups=path", PATH, 1.0)
    with site(here, settings_of(openid, client), openid.callback, Clock()) as base:
        with browser() as amy:
            assert amy.get(f"{base}/me").status_code == 401
            assert logged_in(amy, base).headers["location"] == "/me"
            found = amy.get(f"{base}/me").json()
            assert found == ["subject:amy-1", "Amy Alder", "RXX", ["read trust:RXX"]]
            rights.withdraw(here, ONE_PERSON, "claim:groups=path", PATH, 2.0)
            assert amy.get(f"{base}/me").json()[3] == []
        with browser() as other:
            assert other.get(f"{base}/me").status_code == 401


def test_who_logs_out_is_out_for_whoever_else_has_the_cookie_and_stays_out(
    openid: Running, here: Engine
) -> None:
    openid.says(AMY)
    with site(here, settings_of(openid), openid.callback, Clock()) as base, browser() as amy:
        logged_in(amy, base)
        cookie = amy.cookies.get("wsi-ai")
        assert amy.post(f"{base}/logout").status_code == 403  # no Origin: another page's form
        assert amy.get(f"{base}/me").status_code == 200
        out = amy.post(f"{base}/logout", headers={"origin": base})
        assert (out.status_code, openid.issuer in out.text) == (200, True)
        with browser() as thief:
            thief.cookies.set("wsi-ai", cookie or "")
            assert thief.get(f"{base}/me").status_code == 401
        assert amy.get(f"{base}/login").status_code == 200
        assert amy.get(f"{base}/me").status_code == 401
    with here.connect() as connection:
        assert list(connection.scalars(select(act.c.what))) == ["logged in", "logged out"]


def test_a_session_never_takes_over_a_secret_that_the_browser_had(
    openid: Running, here: Engine
) -> None:
    openid.says(AMY)
    with site(here, settings_of(openid), openid.callback, Clock()) as base, browser() as amy:
        amy.cookies.set("wsi-ai", "planted" * 6)
        logged_in(amy, base)
        now = [one.value for one in amy.cookies.jar if one.name == "wsi-ai"]
        assert "planted" * 6 not in now[-1:]
        with browser() as thief:
            thief.cookies.set("wsi-ai", "planted" * 6)
            assert thief.get(f"{base}/me").status_code == 401


def test_an_answer_of_the_provider_counts_once_and_in_the_browser_that_asked(
    openid: Running, here: Engine
) -> None:
    openid.says(AMY)
    with site(here, settings_of(openid), openid.callback, Clock()) as base, browser() as amy:
        sent = followed(amy, f"{base}/login/start", openid.callback)
        with browser() as victim:  # a link with somebody else's code: login CSRF
            assert victim.get(sent.headers["location"]).status_code == 403
            assert "wsi-ai" not in victim.cookies
        for other in ("state=x", "state=", "iss=https://evil.example"):
            name = other.partition("=")[0]
            changed = re.sub(rf"{name}=[^&]*", other, sent.headers["location"])
            assert amy.get(changed).status_code == 403
            again = followed(amy, f"{base}/login/start", openid.callback)
            sent = again
        twice = sent.headers["location"]
        assert amy.get(twice).status_code == 303
        assert amy.get(twice).status_code == 403  # the provider gives no token for it again
    with here.connect() as connection:
        assert len(connection.execute(select(session)).all()) == 1


def test_tabs_that_log_in_at_once_all_come_in_each_where_it_wanted_to_go(
    openid: Running, here: Engine
) -> None:
    openid.says(AMY)
    with site(here, settings_of(openid), openid.callback, Clock()) as base, browser() as amy:
        sent = [
            followed(amy, f"{base}/login/start?next=/slides/{n}", openid.callback) for n in (1, 2)
        ]
        for n, one in enumerate(sent, 1):
            answer = amy.get(one.headers["location"])
            assert (answer.status_code, answer.headers["location"]) == (303, f"/slides/{n}")


@given(st.text(max_size=200), st.text(max_size=60))
def test_no_state_is_taken_that_this_browser_did_not_begin(state: str, secret: str) -> None:
    attempt = begun("s" * 43, "/slides/1")
    assert come_back("s" * 43, attempt.state) == attempt
    for mine, theirs in (("s" * 43, state), (secret, attempt.state), ("", begun("", "/").state)):
        if (mine, theirs) != ("s" * 43, attempt.state):
            with pytest.raises(LoginFailed):
                come_back(mine, theirs)
    salt, _, mac = attempt.state.split(".")
    with pytest.raises(LoginFailed):
        come_back("s" * 43, f"{salt}.{b64url(b'/elsewhere')}.{mac}")


def test_somebody_elses_code_is_not_taken_even_with_our_own_state(
    openid: Running, here: Engine
) -> None:
    openid.says(AMY)
    served = site(here, settings_of(openid), openid.callback, Clock())
    with served as base, browser() as mallory, browser() as amy:
        theirs = followed(mallory, f"{base}/login/start", openid.callback)
        stolen = parse_qs(urlsplit(theirs.headers["location"]).query)["code"][0]
        begun = amy.get(f"{base}/login/start")
        state = parse_qs(urlsplit(begun.headers["location"]).query)["state"][0]
        planted = amy.get(f"{openid.callback}?code={stolen}&state={state}")
        assert planted.status_code == 403  # PKCE: it was asked for with another verifier


def test_keys_that_the_provider_changed_are_asked_for_anew(here: Engine) -> None:
    port, clock = free_port(), Clock()
    callback = f"http://127.0.0.1:{port}{CALLBACK}"
    with provider(callback) as first:
        first.says(AMY)
        with site(here, settings_of(first), callback, clock) as base:
            with browser() as amy:
                assert logged_in(amy, base).status_code == 303
            clock.ahead_s = 40
    again = urlsplit(first.issuer).port or 0
    with provider(callback, again) as second:
        settings = settings_of(second)
        with site(here, settings, callback, clock) as base, browser() as amy:
            second.says(AMY)
            assert logged_in(amy, base).status_code == 303


def test_a_provider_that_is_away_or_another_one_lets_nobody_in_and_is_named(
    openid: Running, here: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    for issuer, why in (
        (f"http://127.0.0.1:{free_port()}", "cannot be asked"),
        (f"{openid.issuer}/", "another issuer"),
        (f"{openid.issuer}/nowhere", "answered 404"),
    ):
        settings = replace(settings_of(openid), issuer=issuer)
        with site(here, settings, openid.callback, Clock()) as base, browser() as amy:
            answer = amy.get(f"{base}/login/start")
            assert (answer.status_code, why in answer.text) == (403, True)
    assert "cannot be asked" in caplog.text


def test_a_provider_that_hangs_holds_up_few_of_those_who_wait_for_it() -> None:
    began = time.monotonic()
    ended: list[float] = []

    def hang(caller: socket.socket) -> None:
        time.sleep(4)

    def asks(provider: Provider) -> None:
        with pytest.raises(LoginFailed):
            provider.metadata()
        ended.append(time.monotonic() - began)

    with misbehaving(hang) as base:
        provider = Provider(LoginSettings(issuer=base, client_id="c"), time.time, timeout_s=3.0)
        threads = [threading.Thread(target=asks, args=(provider,)) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert len(ended) == 12
    assert sum(seconds < 2.5 for seconds in ended) >= 8


def test_a_wrong_secret_or_client_lets_nobody_in_and_stands_in_no_log(
    openid: Running, here: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    openid.says(AMY)
    wrong = replace(settings_of(openid), secret=lambda: Secret(b"not-the-secret-at-all"))
    with site(here, wrong, openid.callback, Clock()) as base, browser() as amy:
        sent = followed(amy, f"{base}/login/start", openid.callback)
        code = parse_qs(urlsplit(sent.headers["location"]).query)["code"][0]
        assert amy.get(sent.headers["location"]).status_code == 403
    ours = [one.getMessage() for one in caplog.records if one.name.startswith("wsi_ai")]
    assert any("nobody was logged in" in line for line in ours)
    assert not any(word in line for line in ours for word in ("not-the-secret-at-all", code, "Amy"))


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"aud": ["basic", "another"]},
        {"nonce": "x"},
        {"nonce": None},
        {"exp": 1},
        {"sub": None},
        {"sub": 5},
        {"sub": "a\nb"},
        {"azp": "another"},
        {"iat": "x"},
    ],
)
def test_a_token_that_is_not_for_this_login_lets_nobody_in(changed: dict[str, Any]) -> None:
    settings = LoginSettings(issuer="https://id.example", client_id="basic")
    login = Login(Provider(settings, time.time), "https://us.example/login/callback")
    attempt, now = begun("s" * 43, "/"), time.time()
    good = {"iss": settings.issuer, "aud": "basic", "sub": "amy", "nonce": attempt.nonce,
            "exp": now + 60, "iat": now}  # fmt: skip
    header = {"alg": "RS256"}
    checked = login._checked(header, good, attempt, "token")
    assert person_of(checked, settings).subject == "subject:amy"
    bad = {name: value for name, value in {**good, **changed}.items() if value is not None}
    with pytest.raises(LoginFailed):
        person_of(login._checked(header, bad, attempt, "token"), settings)


def test_a_token_that_anybody_could_have_signed_is_none() -> None:
    key = RSAKey.generate_key(2048, parameters={"kid": "1"})
    provider = Provider(LoginSettings(issuer="https://id.example", client_id="c"), time.time)
    provider._kept.keys, provider._kept.keys_at = KeySet([key]), time.time()
    provider._kept.metadata_at = time.time()
    provider._kept.metadata = Metadata("https://a", "https://b", "https://c")
    good = jwt.encode({"alg": "RS256", "kid": "1"}, {"sub": "amy"}, key)
    assert provider.verified(good).claims == {"sub": "amy"}
    head, body, _ = good.split(".")
    symmetric = b64url(b'{"alg":"HS256","kid":"1"}')
    public = key.as_bytes(encoding="PEM", private=False)
    mac = hmac.new(public, f"{symmetric}.{body}".encode(), hashlib.sha256).digest()
    forged = f"{symmetric}.{body}.{b64url(mac)}"
    other = jwt.encode({"alg": "RS256", "kid": "1"}, {"sub": "amy"}, RSAKey.generate_key(2048))
    none = f"eyJhbGciOiJub25lIn0.{body}."
    for bad in (forged, other, none, f"{head}.{body}.", "", "a.b.c", good[:-4]):
        with pytest.raises(LoginFailed):
            provider.verified(bad)


@given(st.text() | st.from_regex(r"\A[/\\]{1,3}[a-z.:@/\\]{0,12}\Z"))
def test_nobody_is_led_to_another_site_after_logging_in(text: str) -> None:
    found = path_here(text)
    assert found.startswith("/")
    assert urlsplit(found).netloc == ""
    assert not re.match(r"/[/\\]|.*[\s\x00-\x1f]", found)


def test_claims_are_found_in_objects_and_lists_and_only_those_that_are_asked_for_are_kept() -> None:
    claims = {
        "sub": "1",
        "given": {"name": ["", "Zoë\n"]},
        "nhsid_nrbac_roles": [{"org_code": "RXX"}, {"org_code": "RXX"}, {"org_code": "RYY"}, 3],
        "https://x.example/roles": ["a"],
        "birthdate": "1970-01-01",
    }
    assert values_at(claims, "nhsid_nrbac_roles.org_code") == ["RXX", "RXX", "RYY"]
    assert values_at(claims, "https://x.example/roles") == ["a"]
    assert values_at(claims, "given.name") == []
    settings = LoginSettings(
        issuer="https://id.example",
        client_id="c",
        trust_claim="nhsid_nrbac_roles.org_code",
        rights_claims=("nhsid_nrbac_roles.org_code", "missing"),
    )
    person = person_of(claims, settings)
    assert person.trust is None  # two of them
    assert person.claims == ("nhsid_nrbac_roles.org_code=RXX", "nhsid_nrbac_roles.org_code=RYY")
    assert "1970" not in repr(person)
    assert sessions.Person("subject:1", "x", claims=("a=b",)).names == ["subject:1", "claim:a=b"]


def test_groups_that_are_left_out_because_they_are_many_give_no_right_and_are_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = LoginSettings(issuer="https://id.example", client_id="c", rights_claims=("groups",))
    for claims in ({"_claim_names": {"groups": "src1"}}, {"hasgroups": True}):
        caplog.clear()
        assert person_of({"sub": "1", **claims}, settings).claims == ()
        assert "leaves out groups" in caplog.text
    caplog.clear()
    assert person_of({"sub": "1", "groups": ["a"]}, settings).claims == ("groups=a",)
    assert caplog.text == ""
