"""Signatures, TLS and whom we speak to at all."""

import base64
import dataclasses
import datetime as dt
import json
import ssl
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import httpcore
import pytest
import standardwebhooks
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st

from tests.delivery.parts import KEY, OTHER_KEY, credentials, webhook_endpoint
from tests.delivery.servers import answer, misbehaving, read_request, serving
from wsi_ai.delivery.messages import Endpoint, Receipt, Secret, Tls
from wsi_ai.delivery.receiver.verify import is_genuine
from wsi_ai.delivery.sinks.addresses import is_forbidden
from wsi_ai.delivery.sinks.guarded import Deadline, open_pool
from wsi_ai.delivery.sinks.signing import signed_headers
from wsi_ai.delivery.sinks.webhook import open_sink
from wsi_ai.errors import Paused, SinkError, TryAgain
from wsi_ai.testing import example_message

NOW = datetime.now(UTC)


def send_one(endpoint: Endpoint) -> Receipt:
    with closing(open_sink(endpoint)) as sink:
        return sink.send(example_message(str(uuid.uuid4())), NOW)


def test_an_independent_library_verifies_our_signature_and_refuses_a_changed_byte() -> None:
    body = b'{"level":"expedite"}'
    headers = signed_headers("evt_1", body, [Secret(KEY.encode())], datetime.now(UTC))
    checker = standardwebhooks.Webhook(KEY)
    assert checker.verify(body, headers) == json.loads(body)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        checker.verify(body.replace(b"e", b"x", 1), headers)


def test_while_keys_are_rotated_the_old_and_the_new_one_both_verify() -> None:
    keys = [Secret(OTHER_KEY.encode()), Secret(KEY.encode())]
    headers = signed_headers("evt_1", b"{}", keys, datetime.now(UTC))
    for key in (KEY, OTHER_KEY):
        standardwebhooks.Webhook(key).verify(b"{}", headers)


def test_a_local_time_in_summer_signs_the_same_instant() -> None:
    summer = datetime(2026, 6, 1, 13, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    same = datetime(2026, 6, 1, 12, tzinfo=UTC)
    keys = [Secret(KEY.encode())]
    assert signed_headers("e", b"", keys, summer) == signed_headers("e", b"", keys, same)


def test_an_ed25519_signature_is_verified_with_the_public_key_alone() -> None:
    private = Ed25519PrivateKey.generate()
    secret = "whsk_" + base64.b64encode(private.private_bytes_raw()).decode()
    public = "whpk_" + base64.b64encode(private.public_key().public_bytes_raw()).decode()
    headers = signed_headers("evt_1", b"{}", [Secret(secret.encode())], NOW)
    assert headers["webhook-signature"].startswith("v1a,")
    assert is_genuine(headers, b"{}", [public], NOW.timestamp())
    assert not is_genuine(headers, b"{ }", [public], NOW.timestamp())


@given(
    body=st.binary(max_size=64),
    late_s=st.integers(-900, 900),
    at=st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2040, 1, 1)),
)
def test_only_the_signed_bytes_within_five_minutes_are_genuine(
    body: bytes, late_s: int, at: datetime
) -> None:
    now = at.replace(tzinfo=UTC, microsecond=0)
    headers = signed_headers("evt_1", body, [Secret(KEY.encode())], now)
    assert is_genuine(headers, body, [KEY], now.timestamp() + late_s) == (abs(late_s) <= 300)
    assert not is_genuine(headers, body + b" ", [KEY], now.timestamp())
    assert not is_genuine(headers, body, [OTHER_KEY], now.timestamp())


@pytest.mark.parametrize(
    "key", ["", "secret", "whsec_", "whsec_c2hvcnQ=", "whsec_%%%%", "whsk_" + KEY[6:12]]
)
def test_a_key_that_is_none_is_refused_at_the_start_and_not_shown(key: str) -> None:
    with pytest.raises(SinkError) as caught:
        open_sink(webhook_endpoint("https://127.0.0.1", held=credentials(key)))
    assert not key.partition("_")[2] or key not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://cases.example/flags",
        "https://user:pa55@127.0.0.1/flags",
        "https:///flags",
        "https://elsewhere.example/flags",
    ],
)
def test_a_sink_that_would_leak_is_not_opened(url: str) -> None:
    endpoint = Endpoint(
        "x", url, None, credentials(KEY), allowed_hosts=frozenset({"127.0.0.1", "cases.example"})
    )
    with pytest.raises(SinkError) as caught:
        open_sink(endpoint)
    assert "pa55" not in str(caught.value)


def test_an_unsigned_flag_is_never_sent() -> None:
    with pytest.raises(SinkError, match="no signing key"):
        open_sink(webhook_endpoint("https://127.0.0.1", held=credentials()))


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "169.254.1.1", "fe80::1%eth0", "::ffff:169.254.169.254", "0.0.0.0",
     "100.100.100.200", "fd00:ec2::254", "224.0.0.1"],
)  # fmt: skip
def test_link_local_and_metadata_addresses_are_refused(address: str) -> None:
    assert is_forbidden(address)
    if ":" not in address:
        url = f"https://{address}/flags"
        held, hosts = credentials(KEY), frozenset({address})
        deadline = Deadline()
        deadline.start(5)
        pool = open_pool(Endpoint("x", url, None, held, allowed_hosts=hosts), deadline)
        with pytest.raises(httpcore.ConnectError, match="a link-local or metadata address"):
            pool.request("POST", url)


def test_a_hospitals_own_addresses_are_not_refused() -> None:
    assert not any(map(is_forbidden, ("10.1.2.3", "192.168.0.9", "127.0.0.1", "fd12::1")))


def test_a_redirect_is_not_followed() -> None:
    reached: list[bytes] = []
    with (
        misbehaving(lambda caller: reached.append(read_request(caller))) as elsewhere,
        misbehaving(answer(307, f"Location: {elsewhere}/flags")) as base,
        pytest.raises(Paused, match="307"),
    ):
        send_one(webhook_endpoint(base))
    assert reached == []


@pytest.fixture
def secure(authority: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """An HTTPS receiver that asks for a client certificate; its base URL."""
    app = FastAPI()

    @app.post("/flags")
    async def take(told: Request) -> dict[str, str]:
        return {"authorization": told.headers.get("authorization", "")}

    leaf = getattr(request, "param", "server")
    tls = {
        "ssl_certfile": authority / f"{leaf}.pem",
        "ssl_keyfile": authority / f"{leaf}.key",
        "ssl_ca_certs": str(authority / "ca.pem"),
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
    }
    with serving(app, **tls) as base:
        yield base


def client_tls(folder: Path) -> Tls:
    return Tls(folder / "ca.pem", folder / "client.pem", folder / "client.key")


def test_mutual_tls_and_a_bearer_token_work_together(secure: str, authority: Path) -> None:
    held = credentials(KEY, bearer="a token")
    assert send_one(webhook_endpoint(secure, held=held, tls=client_tls(authority))).reference


def test_without_a_client_certificate_nothing_is_sent(secure: str, authority: Path) -> None:
    with pytest.raises(TryAgain):
        send_one(webhook_endpoint(secure, tls=Tls(authority / "ca.pem")))


@pytest.mark.parametrize("secure", ["server", "impostor"], indirect=True)
def test_a_server_of_an_unknown_authority_gets_nothing(
    secure: str, authority: Path, request: pytest.FixtureRequest
) -> None:
    trusted = "stranger" if request.node.callspec.params["secure"] == "server" else "ca"
    tls = Tls(authority / f"{trusted}.pem", authority / "client.pem", authority / "client.key")
    with pytest.raises(TryAgain):
        send_one(webhook_endpoint(secure, tls=tls))


def test_a_host_that_is_not_allowed_is_not_spoken_to() -> None:
    reached: list[bytes] = []
    with misbehaving(lambda caller: reached.append(read_request(caller))) as base:
        pool = open_pool(
            dataclasses.replace(webhook_endpoint(base), allowed_hosts=frozenset()), Deadline()
        )
        with pytest.raises(httpcore.ConnectError, match="not an allowed host"):
            pool.request("GET", base)
    assert reached == []
