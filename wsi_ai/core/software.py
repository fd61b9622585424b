"""Which software this is."""

import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version

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


def software() -> str:
    return f"wsi_ai {version('wsi-ai')}"


@cache
def versions() -> Mapping[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
