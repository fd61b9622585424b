"""Readers, runtimes and sinks by name: the built-in ones take the same road as a plug-in's.

A plug-in is a package with an entry point in one of the groups:

* ``wsi_ai.readers``: ``open_slide(path: Path, spacing: Spacing | None) -> Slide``; one that can
  choose among several images in a file has ``image: str = ""`` as well
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
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from wsi_ai.errors import NoDevice, WsiAiError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints


def missing(error: ModuleNotFoundError, extra: str) -> str:
    """The message for a person who lacks a library."""
    return f"{error.name} is not installed; install it with: pip install 'wsi-ai[{extra}]'"


@contextmanager
def needs_extra(extra: str, failed: type[WsiAiError]) -> Iterator[None]:
    """For an ``import`` of ours that needs the extra.  Raises ``failed`` where it is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise failed(missing(error, extra)) from None


def from_extra(module: str, extra: str, failed: type[WsiAiError]) -> Any:
    """Another project's module.  Raises ``failed`` where it, or what it imports, is missing."""
    with needs_extra(extra, failed):
        return import_module(module)


log = logging.getLogger(__name__)
EXTRAS = {
    "onnx": "cpu",
    "cuda": "cuda",
    "openvino": "openvino",
    "tiffslide": "tiffslide",
    "dicomweb": "dicom",
    "dicomweb+http": "dicom",
    "dicomweb+https": "dicom",
    "http": "service",
    "https": "service",
    "fhir+http": "fhir",
    "fhir+https": "fhir",
}


def points(group: str) -> "EntryPoints":
    return _installed(group, tuple(sys.path))


@lru_cache(maxsize=8)
def _installed(group: str, path: tuple[str, ...]) -> "EntryPoints":
    """Kept, because searching all that is installed along ``sys.path`` takes 40 ms; what searches
    takes 20 to load, and few commands search."""
    from importlib.metadata import entry_points

    return entry_points(group=f"wsi_ai.{group}")


def load(point: "EntryPoint") -> Any:
    """What the entry point names.  Raises NoDevice where it does not load."""
    try:
        return point.load()
    except ModuleNotFoundError as error:
        raise NoDevice(_needs(point, error)) from None
    except (ImportError, AttributeError, SyntaxError):
        raise NoDevice(
            f"the plug-in {point.name} does not load; update it, or uninstall it"
        ) from None


def _needs(point: "EntryPoint", error: ModuleNotFoundError) -> str:
    """Our own entry points lack an extra; another package's lack what only its author knows."""
    if not point.module.startswith("wsi_ai."):
        return f"the plug-in {point.name} needs {error.name}, which is not installed"
    kind, _, device = point.name.partition(".")
    return missing(error, EXTRAS.get(device or kind, "torch"))
