"""Readers, runtimes and sinks by name: the built-in ones take the same road as a plug-in's.

A plug-in is a package with an entry point in one of the groups:

* ``wsi_ai.readers``: ``open_slide(path: Path, spacing: Spacing | None) -> Slide``
* ``wsi_ai.runtimes``, named by the model format it runs, and by the kind of device where that is
  not the host's processor (``onnx``, ``onnx.cuda``):
  ``open_runtime(card: ModelCard, request: RuntimeRequest) -> Runtime``
* ``wsi_ai.aggregators``, named by the format of the second network of a slide classification:
  ``open_aggregator(card: ModelCard) -> Aggregator``
* ``wsi_ai.devices``, named by the kind of device: ``count() -> int``, how many are here
* ``wsi_ai.sinks``, named by the scheme of the URLs it sends to:
  ``open_sink(endpoint: Endpoint) -> Sink``
"""

import logging
import re
import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path
from typing import Any

from wsi_ai.cards import ModelCard, Precision, RuntimeRequest
from wsi_ai.contracts import Aggregator, Runtime, Sink, Slide
from wsi_ai.errors import DeviceError, InputError, NoDevice, SinkError, UnknownFormat
from wsi_ai.extras import missing
from wsi_ai.geometry import Spacing
from wsi_ai.messages import Endpoint

log = logging.getLogger(__name__)

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/")
_FIRST, _LAST = ("tiff", "dicom", "zarr"), "openslide"
_ON_REQUEST = "tiffslide"
EXTRAS = {"onnx": "cpu", "cuda": "cuda", "openvino": "openvino", "tiffslide": "tiffslide"}
_HOST, _AUTO = "cpu", ("cuda", "openvino")


def open_slide(path: Path, spacing: Spacing | None = None, reader: str | None = None) -> Slide:
    """The slide by the first reader that takes it, judging by its content; ``spacing`` replaces
    what the file says.

    The readers that hand out stored tiles are asked first, OpenSlide last; with ``reader``, only
    that one; for an address such as ``https://``, tiffslide.  Raises UnknownFormat where none
    takes it, SlideError where the one that does fails.
    """
    declined = "no reader is installed"
    if reader is None and _ADDRESS.match(str(path)):
        reader = _ON_REQUEST
    for point in _readers(reader):
        try:
            slide: Slide = load(point)(path, spacing)
        except UnknownFormat as error:
            declined = str(error)
        else:
            return slide
    raise UnknownFormat(declined)


def points(group: str) -> EntryPoints:
    return _installed(group, tuple(sys.path))


@lru_cache(maxsize=8)
def _installed(group: str, path: tuple[str, ...]) -> EntryPoints:
    """Looking through what is installed along ``sys.path`` takes 40 ms: not for every slide."""
    return entry_points(group=f"wsi_ai.{group}")


def _readers(wanted: str | None) -> list[EntryPoint]:
    found = {p.name: p for p in points("readers")}
    if wanted is None:
        others = sorted(found.keys() - {*_FIRST, _LAST, _ON_REQUEST})
        return [found[name] for name in (*_FIRST, *others, _LAST) if name in found]
    if wanted not in found:
        raise UnknownFormat(f"no reader is called {wanted}; found {sorted(found)}")
    return [found[wanted]]


def open_runtime(card: ModelCard, request: RuntimeRequest) -> Runtime:
    """The runtime for the card's weights on the device asked for.

    ``auto`` is the first of ``_AUTO`` that does not say NoDevice, else the host's usual runtime: a
    device that is there and fails is an error.  Raises ModelError or DeviceError.
    """
    if (request.precision is Precision.INT8) != (card.precision is Precision.INT8):
        raise DeviceError(f"weights in {card.precision} do not run in {request.precision}")
    if request.device != "auto":
        return _open(card, request, request.device)
    for device in _AUTO:
        try:
            return _open(card, request, device)
        except NoDevice as error:
            log.info("not %s: %s", device, error)
    return _open(card, request, _HOST)


def open_aggregator(card: ModelCard) -> Aggregator | None:
    """The second network of a slide classification, tried once; ``None`` where the card has none.
    Raises ModelError or DeviceError."""
    if card.aggregator is None:
        return None
    found = {point.name: point for point in points("aggregators")}
    if card.aggregator.format not in found:
        raise NoDevice(f"nothing installed runs {card.aggregator.format} aggregators")
    try:
        aggregate: Aggregator = found[card.aggregator.format].load()(card)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get(card.aggregator.format, "torch")
        raise NoDevice(missing(error, extra)) from None
    return aggregate


def devices(card: ModelCard) -> list[str]:
    """Kinds of device for which something is installed that runs the card's format, host first."""
    names = [name.partition(".") for name in _runtimes() if name.partition(".")[0] == card.format]
    return sorted((kind or _HOST for _, _, kind in names), key=lambda kind: (kind != _HOST, kind))


def devices_asked(said: str) -> list[str]:
    """The devices that ``--device`` names: with commas between, or a kind that stands for all of
    its devices (``cuda``).  Raises InputError."""
    names = [name.strip() for name in said.split(",")]
    if "" in names or ("auto" in names and len(names) > 1):
        raise InputError(f"--device {said}: name a device, or several with commas between")
    counts = {point.name: point for point in points("devices")}
    found: list[str] = []
    for name in names:
        several = int(counts[name].load()()) if name in counts else 1
        found += [f"{name}:{n}" for n in range(several)] if several > 1 else [name]
    return found


def _open(card: ModelCard, request: RuntimeRequest, device: str) -> Runtime:
    """The factory sees ``auto`` where that was asked for, and may decline by NoDevice."""
    asked = re.fullmatch(r"([a-z]+)(:[0-9]+)?", device)
    kind = asked[1] if asked else ""
    name = card.format if kind == _HOST else f"{card.format}.{kind}"
    found = _runtimes()
    if name not in found:
        raise NoDevice(
            f"nothing installed runs {card.format} models on device {device!r}; "
            f"give --device auto or one of: {', '.join(devices(card)) or 'none is there'}"
        )
    runtime: Runtime = load(found[name])(card, request)
    return runtime


def open_sink(endpoint: Endpoint) -> Sink:
    """The sink for the endpoint's URL.  Raises SinkError."""
    found = {p.name: p for p in points("sinks")}
    scheme = endpoint.url.partition("://")[0]
    if scheme not in found:
        raise SinkError(f"sink {endpoint.name}: nothing installed sends to {scheme}://")
    try:
        sink: Sink = found[scheme].load()(endpoint)
    except ModuleNotFoundError as error:
        raise SinkError(missing(error, "service")) from None
    return sink


def _runtimes() -> dict[str, EntryPoint]:
    return {point.name: point for point in points("runtimes")}


def load(point: EntryPoint) -> Any:
    try:
        return point.load()
    except ModuleNotFoundError as error:
        kind, _, device = point.name.partition(".")
        extra = EXTRAS.get(device or kind, "torch")
        raise NoDevice(missing(error, extra)) from None
