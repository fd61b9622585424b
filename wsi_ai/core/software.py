"""Which software this is."""

import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "openslide-python",
    "openslide-bin",
    "onnxruntime",
    "onnxruntime-gpu",
    "torch",
    "zarr",
)
_PIXEL_PACKAGES = (
    "imagecodecs",
    "numpy",
    "opencv-python-headless",
    "openslide-bin",
    "openslide-python",
    "pillow",
    "pydicom",
    "simplejpeg",
    "tifffile",
    "tiffslide",
    "zarr",
)
"""What a pixel passes through before a network sees it; a runtime names its own libraries."""
_SCORING = ("core", "slides", "tissue", "tiles", "inference", "heatmaps", "run/pipeline.py")
"""The rooms, and the one file of another, whose code a score can depend on."""


def software() -> str:
    return f"wsi_ai {version('wsi-ai')}"


@cache
def versions() -> Mapping[str, str]:
    return {"python": platform.python_version(), **versions_of(_PACKAGES)}


@cache
def pixel_libraries() -> Mapping[str, str]:
    """The versions of what pixels pass through."""
    return versions_of(_PIXEL_PACKAGES)


@cache
def scoring_code() -> str:
    """SHA-256 in hex over the code that a score can depend on: two versions of the software with
    the same one give the same scores."""
    root = Path(__file__).parents[1]
    files = [file for part in _SCORING for file in _sources(root / part)]
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file.relative_to(root).as_posix()}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _sources(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    return [file for file in place.rglob("*") if file.suffix in (".py", ".c", ".cu")]


def versions_of(packages: tuple[str, ...]) -> Mapping[str, str]:
    """Of those that are installed."""
    found = dict[str, str]()
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
