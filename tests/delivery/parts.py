"""Keys, endpoints and relays to test with."""

import base64
from collections.abc import Sequence
from random import Random

from tests.delivery.conftest import FakeClock
from wsi_ai.delivery.contract import Sink
from wsi_ai.delivery.messages import Credentials, Endpoint, Secret, Tls
from wsi_ai.delivery.outbox import Backoff, Outbox, open_database
from wsi_ai.delivery.relay import Pace, Relay
from wsi_ai.delivery.sinks.webhook import WebhookSink, open_sink

KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER_KEY = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()
FAST = Pace(lease_s=1, idle_s=0.01, alarm_every_s=0.05)


def credentials(*keys: str, bearer: str | None = None) -> Credentials:
    token = Secret(bearer.encode()) if bearer else None
    return Credentials(
        tuple((lambda key=key: Secret(key.encode())) for key in keys),
        (lambda: token) if token else None,
    )


def webhook_endpoint(
    base: str, *, timeout_s: float = 5.0, held: Credentials | None = None, tls: Tls | None = None
) -> Endpoint:
    return Endpoint(
        name="region",
        url=f"{base}/flags",
        trusts=frozenset({"RXX"}),
        credentials=held or credentials(KEY),
        tls=tls or Tls(),
        timeout_s=timeout_s,
        read_back=f"{base}/flags",
        allowed_hosts=frozenset({"127.0.0.1", "localhost"}),
    )


def webhook(base: str, timeout_s: float = 5.0) -> WebhookSink:
    return open_sink(webhook_endpoint(base, timeout_s=timeout_s))


def relay_for(database: str, clock: FakeClock, sinks: Sequence[Sink]) -> Relay:
    outbox = Outbox(open_database(database), clock, Random(1), Backoff())
    return Relay(outbox, sinks, FAST)
