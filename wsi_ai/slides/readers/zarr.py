"""Slides in OME-Zarr 0.4 and 0.5: 8-bit images in a folder, read region by region."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import zarr
import zarr.errors
from numpy.typing import NDArray

from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.core.values import SlideInfo
from wsi_ai.errors import SlideError, TileUnreadable, UnknownFormat

_UNITS_UM = {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3, "centimeter": 1e4}
_FAILURES = (  # zarr's own errors are ValueErrors and the like
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    zarr.errors.BaseZarrError,
)


def open_slide(path: Path, spacing: Spacing | None = None) -> "ZarrSlide":
    """Open the folder of an OME-Zarr image; ``spacing`` replaces what it says.

    Raises UnknownFormat for what is no Zarr folder, SlideError where it holds no 8-bit image.
    """
    if not any((path / name).is_file() for name in ("zarr.json", ".zgroup")):
        raise UnknownFormat("not a Zarr folder")
    try:
        group = zarr.open_group(path, mode="r")
        said: Mapping[str, Any] = group.attrs.asdict()
        image = said.get("ome", said)["multiscales"][0]
        axes = [str(axis["name"]) for axis in image["axes"]]
        levels = [Level(group[data["path"]], axes) for data in image["datasets"]]
        return ZarrSlide(_info(path, image, levels, spacing), levels)
    except _FAILURES as error:
        raise SlideError(f"no 8-bit OME-Zarr image ({error})") from None


class Level:
    """One array, whatever the order of its axes, as (height, width, 3)."""

    def __init__(self, array: Any, axes: list[str]) -> None:
        self._array, self._axes = array, axes
        sides = dict(zip(axes, array.shape, strict=True))
        self.size = Size(sides["x"], sides["y"])
        self._channels = sides.get("c", 1)
        others = [sides[a] for a in axes if a not in ("x", "y", "c")]
        if array.dtype != np.uint8 or self._channels not in (1, 3) or others != [1] * len(others):
            raise ValueError(f"axes {axes} of {array.shape}, {array.dtype}")

    def read(self, x: slice, y: slice) -> NDArray[np.uint8]:
        """(height, width, 1 or 3), inside the level."""
        chosen = {"x": x, "y": y, "c": slice(None)}
        pixels = np.asarray(self._array[tuple(chosen.get(axis, 0) for axis in self._axes)])
        left = [axis for axis in self._axes if axis in chosen]
        order = [left.index(axis) for axis in ("y", "x", "c") if axis in left]
        pixels = pixels.transpose(order)
        return pixels if "c" in left else pixels[..., None]


class ZarrSlide:
    """See ``contracts.Slide``.  A chunk that is not there has the array's fill value, as Zarr
    says."""

    def __init__(self, info: SlideInfo, levels: list[Level]) -> None:
        self.info = info
        self._levels = levels

    def read(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """See ``contracts.Slide.read``.  The corner falls on the level's nearest pixel."""
        down, size = self.info.downsamples[level], self._levels[level].size
        left, top = round(x / down), round(y / down)
        x0, x1 = max(left, 0), min(left + width, size.width)
        y0, y1 = max(top, 0), min(top + height, size.height)
        out = np.full((height, width, 3), 255, np.uint8)
        if x0 < x1 and y0 < y1:
            try:
                pixels = self._levels[level].read(slice(x0, x1), slice(y0, y1))
            except _FAILURES as error:
                raise TileUnreadable(f"a chunk cannot be decoded: {error}") from None
            out[y0 - top : y1 - top, x0 - left : x1 - left] = pixels
        return out

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        return None


def _info(
    path: Path, image: Mapping[str, Any], levels: list[Level], spacing: Spacing | None
) -> SlideInfo:
    base = levels[0].size
    sizes = [level.size for level in levels]
    return SlideInfo(
        slide_id=path.name.removesuffix(".zarr").removesuffix(".ome"),
        size=base,
        spacing=spacing or _spacing(image),
        downsamples=tuple((base.width / s.width + base.height / s.height) / 2 for s in sizes),
        fingerprint=_fingerprint(path),
        vendor="ome-zarr",
        reader="zarr",
    )


def _spacing(image: Mapping[str, Any]) -> Spacing | None:
    """From the finest level's scale, and that of the whole image where it has one, too; ``None``
    where an axis has no unit of length."""
    scale = np.ones(len(image["axes"]))
    for holder in (image["datasets"][0], image):
        for one in holder.get("coordinateTransformations", ()):
            if one["type"] == "scale":
                scale *= one["scale"]
    um = {
        axis["name"]: float(along) * _UNITS_UM.get(axis.get("unit", ""), 0.0)
        for axis, along in zip(image["axes"], scale, strict=True)
    }
    return Spacing(um["x"], um["y"]) if um["x"] > 0 and um["y"] > 0 else None


def _fingerprint(folder: Path) -> str:
    """Of all files' names and contents."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder)}\0{content}\n".encode())
    return digest.hexdigest()
