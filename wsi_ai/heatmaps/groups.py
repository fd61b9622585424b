"""Zarr groups and arrays on the disk, as this package opens them.

The one place here that loads Zarr, and with the first of them: it takes a tenth of a second, and a
run opens none before its first slide is inferred.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import zarr


def new_group(path: Path) -> "zarr.Group":
    """Of version 3.  Raises OSError where there is one, or the disk refuses."""
    import zarr

    return zarr.open_group(path, mode="w-", zarr_format=3)


def open_group(path: Path) -> "zarr.Group":
    """To be changed."""
    import zarr

    return zarr.open_group(path, mode="r+")


def open_array(path: Path, mode: Literal["r", "r+"] = "r") -> "zarr.Array[Any]":
    import zarr

    return zarr.open_array(path, mode=mode)


@contextmanager
def without_warnings() -> Iterator[None]:
    """Of files beside Zarr's own, which are ours."""
    from zarr.errors import ZarrUserWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZarrUserWarning)
        yield
