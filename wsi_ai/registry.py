"""Readers and runtimes by name: the built-in ones take the same road as a plug-in's.

A plug-in is a package with an entry point in one of the groups:

* ``wsi_ai.readers``: ``open_slide(path: Path, spacing: Spacing | None) -> Slide``
* ``wsi_ai.runtimes``, named by the model format it runs:
  ``open_runtime(card: ModelCard, device: str) -> Runtime``
"""

import re
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from wsi_ai.contracts import Runtime, Slide
from wsi_ai.errors import DeviceError, UnknownFormat
from wsi_ai.geometry import Spacing
from wsi_ai.values import ModelCard

_EXTRAS = {"onnx": "cpu"}
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/")
_FIRST, _LAST = ("tiff", "dicom", "zarr"), "openslide"
_ON_REQUEST = "tiffslide"


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
            slide: Slide = _load(point)(path, spacing)
        except UnknownFormat as error:
            declined = str(error)
        else:
            return slide
    raise UnknownFormat(declined)


def _readers(wanted: str | None) -> list[EntryPoint]:
    found = {p.name: p for p in entry_points(group="wsi_ai.readers")}
    if wanted is None:
        others = sorted(found.keys() - {*_FIRST, _LAST, _ON_REQUEST})
        return [found[name] for name in (*_FIRST, *others, _LAST) if name in found]
    if wanted not in found:
        raise UnknownFormat(f"no reader is called {wanted}; found {sorted(found)}")
    return [found[wanted]]


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
