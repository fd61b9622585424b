"""Readers, runtimes and sinks by name: the built-in ones take the same road as a plug-in's.

A plug-in is a package with an entry point in one of the groups:

* ``wsi_ai.readers``: ``open_slide(path: Path, spacing: Spacing | None) -> Slide``
* ``wsi_ai.runtimes``, named by the model format it runs:
  ``open_runtime(card: ModelCard, device: str) -> Runtime``
* ``wsi_ai.sinks``, named by the scheme of the URLs it sends to:
  ``open_sink(endpoint: Endpoint) -> Sink``
"""

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from wsi_ai.contracts import Runtime, Sink, Slide
from wsi_ai.errors import DeviceError, SinkError, UnknownFormat
from wsi_ai.geometry import Spacing
from wsi_ai.messages import Endpoint
from wsi_ai.values import ModelCard

_EXTRAS = {"onnx": "cpu"}


def open_slide(path: Path, spacing: Spacing | None = None) -> Slide:
    """The slide by the first reader that takes it; ``spacing`` replaces what the file says.

    Raises UnknownFormat where none does, SlideError where the one that does fails.
    """
    declined = "no reader is installed"
    for point in sorted(entry_points(group="wsi_ai.readers"), key=lambda p: p.name):
        try:
            slide: Slide = point.load()(path, spacing)
        except UnknownFormat as error:
            declined = str(error)
        else:
            return slide
    raise UnknownFormat(declined)


def open_runtime(card: ModelCard, device: str) -> Runtime:
    """The runtime for the card's weights.  Raises ModelError or DeviceError."""
    found = {p.name: p for p in entry_points(group="wsi_ai.runtimes")}
    if card.format not in found:
        raise DeviceError(f"nothing installed runs {card.format} models; found {sorted(found)}")
    runtime: Runtime = _load(found[card.format])(card, device)
    return runtime


def open_sink(endpoint: Endpoint) -> Sink:
    """The sink for the endpoint's URL.  Raises SinkError."""
    found = {p.name: p for p in entry_points(group="wsi_ai.sinks")}
    scheme = endpoint.url.partition("://")[0]
    if scheme not in found:
        raise SinkError(f"sink {endpoint.name}: nothing installed sends to {scheme}://")
    try:
        sink: Sink = found[scheme].load()(endpoint)
    except ModuleNotFoundError as error:
        raise SinkError(
            f"{error.name} is not installed; install it with: pip install 'wsi-ai[service]'"
        ) from None
    return sink


def _load(point: EntryPoint) -> Any:
    try:
        return point.load()
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(point.name, point.name)
        raise DeviceError(
            f"{error.name} is not installed; install it with: pip install 'wsi-ai[{extra}]'"
        ) from None
