"""Sinks by the scheme of their URL: entry points in ``wsi_ai.sinks``."""

from wsi_ai.core.plugins import missing, points
from wsi_ai.delivery.contract import Sink
from wsi_ai.delivery.messages import Endpoint
from wsi_ai.errors import SinkError

_EXTRAS = {"jwt": "fhir"}
"""What a module that is missing comes with, where that is not the service's extra."""


def open_sink(endpoint: Endpoint) -> Sink:
    """The sink for the endpoint's URL.  Raises SinkError."""
    found = {p.name: p for p in points("sinks")}
    scheme = endpoint.url.partition("://")[0]
    if scheme not in found:
        raise SinkError(f"sink {endpoint.name}: nothing installed sends to {scheme}://")
    try:
        sink: Sink = found[scheme].load()(endpoint)
    except ModuleNotFoundError as error:
        raise SinkError(missing(error, _EXTRAS.get(error.name or "", "service"))) from None
    return sink
