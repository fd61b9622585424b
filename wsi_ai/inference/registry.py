"""Runtimes, aggregators and devices by name: entry points of installed packages."""

import re
from importlib.metadata import EntryPoint

from wsi_ai.core.cards import ModelCard, Precision, RuntimeRequest
from wsi_ai.core.contracts import Aggregator, Runtime
from wsi_ai.core.plugins import load, log, points
from wsi_ai.errors import DeviceError, InputError, NoDevice

_HOST, _AUTO = "cpu", ("cuda", "openvino")


def open_runtime(card: ModelCard, request: RuntimeRequest) -> Runtime:
    """The runtime for the card's weights on the device asked for.

    ``auto`` is the first of ``_AUTO`` that does not raise NoDevice, else the host's usual runtime:
    a device that is there and fails is an error.  Raises ModelError or DeviceError.
    """
    if (request.precision is Precision.INT8) != (card.precision is Precision.INT8):
        raise DeviceError(f"weights in {card.precision} do not run in {request.precision}")
    if request.device != "auto":
        return _open(card, request, request.device)
    for device in _AUTO:
        try:
            return _open(card, request, device)
        except NoDevice as error:
            log.info("%s is not used: %s", device, error)
    return _open(card, request, _HOST)


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
    if "" in names or ("auto" in names and len(names) > 1):
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
