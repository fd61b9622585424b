"""Readers and runtimes by name: the built-in ones take the same road as a plug-in's.

A plug-in is a package with an entry point in one of the groups:

* ``wsi_ai.readers``: ``open_slide(path: Path, spacing: Spacing | None) -> Slide``
* ``wsi_ai.runtimes``, named by the model format it runs:
  ``open_runtime(card: ModelCard, device: str) -> Runtime``
"""

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from wsi_ai.contracts import Runtime, Slide
from wsi_ai.errors import DeviceError, UnknownFormat
from wsi_ai.geometry import Spacing
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


def _load(point: EntryPoint) -> Any:
    try:
        return point.load()
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(point.name, point.name)
        raise DeviceError(
            f"{error.name} is not installed; install it with: pip install 'wsi-ai[{extra}]'"
        ) from None
