"""Sinks by the scheme of their URL: entry points in ``wsi_ai.sinks``."""

from wsi_ai.core.plugins import load, points
from wsi_ai.delivery.contract import Sink
from wsi_ai.delivery.messages import Endpoint
from wsi_ai.errors import NoDevice, SinkError


def open_sink(endpoint: Endpoint) -> Sink:
    """The sink for the endpoint's URL.  Raises SinkError."""
    found = {p.name: p for p in points("sinks")}
    scheme = endpoint.url.partition("://")[0]
    if scheme not in found:
        raise SinkError(f"sink {endpoint.name}: nothing installed sends to {scheme}://")
    try:
        sink: Sink = load(found[scheme])(endpoint)
    except NoDevice as error:
        raise SinkError(f"sink {endpoint.name}: {error}") from None
    return sink
