"""``wsi-ai sinks``."""

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime

from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.delivery.contract import CheckedSink
from wsi_ai.delivery.messages import Endpoint
from wsi_ai.delivery.registry import open_sink
from wsi_ai.delivery.routes import load_endpoints
from wsi_ai.errors import DeliveryError, SinkError


@exit_on_error
def check(places: Sequence[str]) -> int:
    """A line for each sink; nothing is sent that stays."""
    endpoints = load_endpoints(places)
    works = [_check(endpoint) for endpoint in endpoints]
    return Exit.OK if all(works) else Exit.SOME


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
