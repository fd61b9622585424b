"""Runtimes, aggregators and devices by name: entry points of installed packages."""

import re
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from importlib.util import find_spec

from wsi_ai.core.cards import ModelCard, Precision, RuntimeRequest
from wsi_ai.core.contracts import Aggregator, Runtime
from wsi_ai.core.plugins import load, log, points
from wsi_ai.errors import DeviceError, InputError, NoDevice

AUTO = "auto"
_HOST, _ACCELERATORS = "cpu", ("cuda",)
_LIBRARIES = {"openvino": "openvino"}
"""What else runs on the host, and the library that it needs."""


def open_runtime(card: ModelCard, request: RuntimeRequest) -> Runtime:
    """The runtime for the card's weights on the device asked for.

    ``auto`` is a rule here, the same for every machine: the accelerator that is there, else
    ``open_on_host``.  Raises ModelError or DeviceError.
    """
    check_precision(card, request)
    if request.device != AUTO:
        return _open(card, request, request.device)
    return open_accelerator(card, request) or open_on_host(card, request)


def check_precision(card: ModelCard, request: RuntimeRequest) -> None:
    """Raises DeviceError where the weights do not run in the precision asked for."""
    if (request.precision is Precision.INT8) != (card.precision is Precision.INT8):
        raise DeviceError(f"weights in {card.precision} do not run in {request.precision}")


def open_accelerator(card: ModelCard, request: RuntimeRequest) -> Runtime | None:
    """The first that does not raise NoDevice: a device that is there and fails is an error."""
    return _first(card, request, _ACCELERATORS)


def open_on_host(card: ModelCard, request: RuntimeRequest) -> Runtime:
    """By rule: the first of ``_LIBRARIES`` that does not raise NoDevice, else the usual one."""
    return _first(card, request, tuple(_LIBRARIES)) or _open(card, request, _HOST)


def host_devices(card: ModelCard) -> list[str]:
    """Those of the host for which both a runtime of the card's format and its library are
    installed, the usual one first."""
    return [
        name
        for name in devices(card)
        if name == _HOST or (name in _LIBRARIES and find_spec(_LIBRARIES[name]) is not None)
    ]


def _first(card: ModelCard, request: RuntimeRequest, kinds: Sequence[str]) -> Runtime | None:
    for kind in kinds:
        try:
            return _open(card, request, kind)
        except NoDevice as error:
            log.info("%s is not used: %s", kind, error)
    return None


def open_aggregator(card: ModelCard) -> Aggregator | None:
    """The second network of a slide classification, tried once; ``None`` where the card has none.
    Raises ModelError or DeviceError."""
    if card.aggregator is None:
        return None
    found = {point.name: point for point in points("aggregators")}
    if card.aggregator.format not in found:
        raise NoDevice(f"nothing installed runs {card.aggregator.format} aggregators")
    aggregate: Aggregator = load(found[card.aggregator.format])(card)
    return aggregate


def devices(card: ModelCard) -> list[str]:
    """Kinds of device for which a runtime of the card's format is installed, the host first."""
    names = [name.partition(".") for name in _runtimes() if name.partition(".")[0] == card.format]
    return sorted((kind or _HOST for _, _, kind in names), key=lambda kind: (kind != _HOST, kind))


def devices_asked(said: str) -> list[str]:
    """The devices that ``--device`` names: separated by commas, or a kind that stands for all of
    its devices (``cuda``).  Raises InputError."""
    names = [name.strip() for name in said.split(",")]
    if "" in names or (AUTO in names and len(names) > 1):
        raise InputError(f"--device {said}: name a device, or several with commas between")
    counts = {point.name: point for point in points("devices")}
    found: list[str] = []
    for name in names:
        several = int(load(counts[name])()) if name in counts else 1
        found += [f"{name}:{n}" for n in range(several)] if several > 1 else [name]
    return found


def _open(card: ModelCard, request: RuntimeRequest, device: str) -> Runtime:
    """The factory is given ``auto`` where that was asked for, and may decline by NoDevice."""
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


def _runtimes() -> dict[str, EntryPoint]:
    return {point.name: point for point in points("runtimes")}
