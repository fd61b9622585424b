"""OAuth2 client credentials and SMART Backend Services, against a server that verifies them."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fastapi import FastAPI, Request, Response

from tests.delivery.conftest import new_id
from tests.delivery.fhir_servers import JSON, fhir_endpoint
from tests.delivery.servers import serving
from wsi_ai.delivery.messages import Credentials, OAuth, Secret
from wsi_ai.delivery.sinks.fhir import FhirSink, open_sink
from wsi_ai.errors import Paused, SinkError, TryAgain
from wsi_ai.testing import example_message

KEYS = {
    "RS": rsa.generate_private_key(65537, 2048),
    "ES": ec.generate_private_key(ec.SECP384R1()),
}


def pem(kind: str) -> Secret:
    return Secret(
        KEYS[kind].private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@dataclass
class Guard:
    """A token server and a FHIR server that asks for its tokens."""

    algorithm: str = "RS384"
    life_s: Any = 300
    answer: Any = None
    given: int = 0
    valid: set[str] = field(default_factory=set)
    forms: list[dict[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    base: str = ""

    def token(self, form: dict[str, str]) -> dict[str, Any]:
        assertion = form.get("client_assertion")
        if assertion is not None:
            public = KEYS[self.algorithm[:2]].public_key()
            claims = jwt.decode(
                assertion, public, [self.algorithm], audience=f"{self.base}/token",
                options={"require": ["exp", "iat", "jti", "iss", "sub"]},
            )  # fmt: skip
            assert claims["iss"] == claims["sub"] == "wsi-ai"
            assert claims["exp"] - claims["iat"] <= 300
            assert jwt.get_unverified_header(assertion)["kid"] == "key-1"
        self.given += 1
        token = f"token-{self.given}"
        self.valid = {token}
        return self.answer or {
            "access_token": token, "token_type": "bearer", "expires_in": self.life_s
        }  # fmt: skip


@contextmanager
def guarded_server(guard: Guard) -> Iterator[Guard]:
    app = FastAPI()

    @app.post("/token")
    async def token(request: Request) -> Response:
        body = (await request.body()).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        guard.forms.append(form)
        guard.headers.append(dict(request.headers))
        try:
            told = guard.token(form)
        except jwt.PyJWTError:
            return Response(b'{"error":"invalid_client"}', 401)
        return Response(json.dumps(told), media_type="application/json")

    @app.get("/R4/.well-known/smart-configuration")
    async def discover() -> dict[str, str]:
        return {"token_endpoint": f"{guard.base}/token"}

    def allowed(request: Request) -> bool:
        return request.headers.get("authorization", "").removeprefix("Bearer ") in guard.valid

    @app.get("/R4/{kind}")
    async def search(request: Request) -> Response:
        return Response(b'{"entry":[]}', 200 if allowed(request) else 401, media_type=JSON)

    @app.post("/R4")
    async def write(request: Request) -> Response:
        entries = len((await request.json())["entry"])
        told = {"entry": [{"response": {"status": "201"}}] * entries}
        text = json.dumps(told)
        return Response(text, 200 if allowed(request) else 401, media_type=JSON)

    with serving(app) as base:
        guard.base = base
        yield guard


def open_at(guard: Guard, oauth: OAuth) -> FhirSink:
    return open_sink(fhir_endpoint(f"{guard.base}/R4", Credentials(oauth=oauth)))


def signed(guard: Guard, **more: Any) -> OAuth:
    kind = guard.algorithm[:2]
    return OAuth(
        "wsi-ai", f"{guard.base}/token", key=lambda: pem(kind), key_id="key-1",
        algorithm=guard.algorithm, scope="system/Task.crus", **more,
    )  # fmt: skip


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "ES384"])
def test_an_assertion_of_any_agreed_algorithm_gets_a_token(algorithm: str) -> None:
    with guarded_server(Guard(algorithm)) as guard, closing(open_at(guard, signed(guard))) as sink:
        for _ in range(3):
            assert sink.send(example_message(new_id()), datetime.now(UTC)).reference
        assert guard.given == 1
        assert guard.forms[0]["grant_type"] == "client_credentials"
        assert guard.forms[0]["scope"] == "system/Task.crus"


def test_the_server_says_itself_where_its_tokens_are() -> None:
    with guarded_server(Guard()) as guard:
        oauth = OAuth("wsi-ai", None, key=lambda: pem("RS"), key_id="key-1")
        with closing(open_at(guard, oauth)) as sink:
            assert sink.send(example_message(new_id()), datetime.now(UTC)).reference


def test_a_token_server_that_is_no_allowed_host_gets_nothing() -> None:
    with guarded_server(Guard()) as guard:
        oauth = OAuth("wsi-ai", None, key=lambda: pem("RS"), key_id="key-1")
        with closing(open_at(guard, oauth)) as sink:
            guard.base = "https://elsewhere.example"
            with pytest.raises(Paused, match="allowed hosts"):
                sink.send(example_message(new_id()), datetime.now(UTC))
        assert guard.forms == []


def test_a_secret_goes_as_basic_authentication_and_is_shown_nowhere() -> None:
    with guarded_server(Guard()) as guard:
        oauth = OAuth("wsi-ai", f"{guard.base}/token", secret=lambda: Secret(b"s%cret:1"))
        with closing(open_at(guard, oauth)) as sink:
            sink.send(example_message(new_id()), datetime.now(UTC))
            assert "s%cret" not in f"{sink!r}{sink.endpoint!r}"
        pair = base64.b64decode(guard.headers[0]["authorization"].removeprefix("Basic "))
        assert pair == b"wsi-ai:s%25cret%3A1"
        assert "client_secret" not in guard.forms[0]


def test_a_token_that_ends_in_the_middle_is_fetched_anew_once() -> None:
    with guarded_server(Guard()) as guard, closing(open_at(guard, signed(guard))) as sink:
        sink.send(example_message(new_id()), datetime.now(UTC))
        guard.valid = {"none"}
        assert sink.send(example_message(new_id()), datetime.now(UTC)).reference
        assert guard.given == 2


def test_a_token_is_fetched_anew_shortly_before_its_end() -> None:
    with guarded_server(Guard()) as guard:
        oauth = OAuth("wsi-ai", f"{guard.base}/token", secret=lambda: Secret(b"secret"))
        sink, start = open_at(guard, oauth), datetime.now(UTC)
        for after_s, given in ((0, 1), (239, 1), (241, 2)):
            sink.send(example_message(new_id()), start + timedelta(seconds=after_s))
            assert guard.given == given
        sink.close()


def test_a_client_that_the_token_server_does_not_know_pauses() -> None:
    with guarded_server(Guard("ES384")) as guard:
        stranger = ec.generate_private_key(ec.SECP384R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        oauth = OAuth("wsi-ai", f"{guard.base}/token", key=lambda: Secret(stranger),
                      algorithm="ES384", key_id="key-1")  # fmt: skip
        with closing(open_at(guard, oauth)) as sink, pytest.raises(Paused, match="401"):
            sink.send(example_message(new_id()), datetime.now(UTC))


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {"access_token": ""},
        {"access_token": 5},
        {"access_token": "a\nb"},
        {"access_token": "t", "expires_in": "soon"},
        {"token_type": "bearer"},
    ],
)
def test_a_token_servers_nonsense_is_no_token(answer: Any) -> None:
    guard = Guard(answer=answer or [0])
    with (
        guarded_server(guard),
        closing(open_at(guard, signed(guard))) as sink,
        pytest.raises(TryAgain, match="token server"),
    ):
        sink.send(example_message(new_id()), datetime.now(UTC))


@pytest.mark.parametrize(("kind", "algorithm"), [("RS", "ES384"), ("ES", "RS384")])
def test_a_key_that_does_not_go_with_its_algorithm_is_found_at_the_start(
    kind: str, algorithm: str
) -> None:
    oauth = OAuth("wsi-ai", "http://127.0.0.1/token", key=lambda: pem(kind), algorithm=algorithm)
    with pytest.raises(SinkError, match=f"no private key .* for {algorithm}") as caught:
        open_sink(fhir_endpoint("http://127.0.0.1/R4", Credentials(oauth=oauth)))
    assert "PRIVATE" not in str(caught.value)


def test_what_is_no_key_at_all_is_found_at_the_start() -> None:
    oauth = OAuth("wsi-ai", "http://127.0.0.1/token", key=lambda: Secret(b"not a key"))
    with pytest.raises(SinkError):
        open_sink(fhir_endpoint("http://127.0.0.1/R4", Credentials(oauth=oauth)))


def test_an_assertion_says_when_it_was_made() -> None:
    """Keycloak refuses one without ``iat`` (HeliosSoftware/hfs#1437): the guard asks for it."""
    with guarded_server(Guard()) as guard, closing(open_at(guard, signed(guard))) as sink:
        sink.send(example_message(new_id()), datetime.now(UTC))
        made = jwt.decode(guard.forms[0]["client_assertion"], options={"verify_signature": False})
        assert abs(made["iat"] - time.time()) < 120
