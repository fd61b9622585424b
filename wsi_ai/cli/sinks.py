"""``wsi-ai sinks``."""

import uuid
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime

from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.delivery.contract import CheckedSink, HeartbeatSink
from wsi_ai.delivery.messages import Endpoint
from wsi_ai.delivery.registry import open_sink
from wsi_ai.delivery.routes import load_endpoints
from wsi_ai.delivery.trial_event import trial_event
from wsi_ai.errors import DeliveryError, SinkError


@exit_on_error
def check(places: Sequence[str]) -> int:
    """A line for each sink; nothing is sent that stays."""
    endpoints = load_endpoints(places)
    works = [_check(endpoint) for endpoint in endpoints]
    return Exit.OK if all(works) else Exit.SOME


@exit_on_error
def send_test(places: Sequence[str]) -> int:
    """A line for each sink; what is sent is no flag."""
    works = [_send_test(endpoint) for endpoint in load_endpoints(places)]
    return Exit.OK if all(works) else Exit.SOME


def _send_test(endpoint: Endpoint) -> bool:
    at = datetime.now(UTC)
    try:
        with closing(open_sink(endpoint)) as sink:
            if not isinstance(sink, HeartbeatSink):
                say(f"{endpoint.name}: its kind of sink takes no test event; use: sinks check")
                return True
            sink.beat(trial_event(uuid.uuid4(), at), at)
    except DeliveryError as error:
        say(f"{endpoint.name}: did not take the test event: {error}{_meaning(error.code)}")
        return False
    except SinkError as error:
        say(f"{endpoint.name}: is not set up right: {error}")
        return False
    say(f"{endpoint.name}: took the test event; signature, address and certificate are right")
    return True


def _meaning(code: int | None) -> str:
    """What most likely has to be done."""
    return f"; {_REMEDIES[code]}" if code in _REMEDIES else ""


_KEYS = "compare key, token and clock with the receiver's"
_REMEDIES: dict[int | None, str] = {
    401: _KEYS,
    403: _KEYS,
    404: "is the address right?",
    422: "the receiver knows no test events: it may still take flags",
}


def _check(endpoint: Endpoint) -> bool:
    try:
        with closing(open_sink(endpoint)) as sink:
            if not isinstance(sink, CheckedSink):
                say(f"{endpoint.name}: cannot be checked; its kind of sink has no check")
                return True
            say(f"{endpoint.name}: works. {sink.check(datetime.now(UTC))}")
    except DeliveryError as error:
        say(f"{endpoint.name}: does not work: {error}")
        return False
    except SinkError as error:
        say(f"{endpoint.name}: is not set up right: {error}")
        return False
    return True
