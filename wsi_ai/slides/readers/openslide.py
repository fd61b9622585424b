"""Slides through OpenSlide: every format that it opens, read region by region."""

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import openslide
from numpy.typing import NDArray

from wsi_ai.core.digests import Digest
from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.core.values import SlideInfo
from wsi_ai.errors import SlideError, TileUnreadable, UnknownFormat
from wsi_ai.slides.readers.fingerprint import opened, state_of
from wsi_ai.slides.readers.hashing import FileHashes, hashes_of
from wsi_ai.slides.scale import Scale, number, scale_of

_CACHE_BYTES = 64 << 20


def open_slide(path: Path, spacing: Spacing | None = None) -> "OpenSlideSlide":
    """Open a slide; ``spacing`` replaces what the file says.

    Raises UnknownFormat where OpenSlide declines the file, SlideError where it is damaged.
    """
    with opened(path) as file:
        seen = os.fstat(file.fileno())
    if seen.st_size == 0:
        raise SlideError("the file is empty; copy it again")
    try:
        handle = openslide.OpenSlide(path)
    except openslide.OpenSlideUnsupportedFormatError:
        raise UnknownFormat(_declined(path)) from None
    except openslide.OpenSlideError:
        raise SlideError("OpenSlide knows the format and cannot open the file") from None
    hashes = hashes_of({path: state_of(seen)})
    return OpenSlideSlide(path, handle, _info(path, handle, hashes.digest, spacing), hashes)


class OpenSlideSlide:
    """One OpenSlide handle a thread over one shared cache.

    OpenSlide keeps a handle in error once a read has failed, for every thread that uses it.  So a
    handle is a thread's own, and is dropped after a failure.
    """

    def __init__(
        self, path: Path, handle: openslide.OpenSlide, info: SlideInfo, hashes: FileHashes
    ) -> None:
        self.info = info
        self._path, self._hashes = path, hashes
        self._cache = openslide.OpenSlideCache(_CACHE_BYTES)
        handle.set_cache(self._cache)
        self._own = threading.local()
        self._own.handle = handle
        self._handles = {handle}
        self._lock = threading.Lock()

    def read(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """See ``contracts.Slide.read``.

        The corner falls on the level's nearest pixel: between pixels OpenSlide would interpolate.
        It still does, by up to half a level-0 pixel, where a downsample is no whole number.
        """
        handle, down = self._handle(), self.info.downsamples[level]
        corner = round(round(x / down) * down), round(round(y / down) * down)
        try:
            image = handle.read_region(corner, level, (width, height))
        except openslide.OpenSlideError:
            self._drop(handle)
            raise TileUnreadable("OpenSlide cannot decode it") from None
        return _on_white(np.asarray(image))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._hashes.close()
        with self._lock:
            while self._handles:
                self._handles.pop().close()

    def _handle(self) -> openslide.OpenSlide:
        handle: openslide.OpenSlide | None = getattr(self._own, "handle", None)
        if handle is None:
            try:
                handle = openslide.OpenSlide(self._path)
            except openslide.OpenSlideError:
                raise TileUnreadable("the slide cannot be opened again") from None
            handle.set_cache(self._cache)
            self._own.handle = handle
            with self._lock:
                self._handles.add(handle)
        return handle

    def _drop(self, handle: openslide.OpenSlide) -> None:
        self._own.handle = None
        with self._lock:
            self._handles.discard(handle)
        handle.close()


def _info(
    path: Path, handle: openslide.OpenSlide, digest: str | Digest, spacing: Spacing | None
) -> SlideInfo:
    width, height = handle.dimensions
    scale = _scale(handle)
    return SlideInfo(
        slide_id=path.stem,
        size=Size(width, height),
        spacing=spacing or scale.spacing,
        downsamples=tuple(float(d) for d in handle.level_downsamples),
        digest=digest,
        vendor=str(handle.properties.get(openslide.PROPERTY_NAME_VENDOR, "unknown")),
        reader="openslide",
        icc_profile=_profile(handle),
        stated=scale.spacing,
        scale_doubt=scale.doubt,
        bounds_origin=_bounds_origin(handle),
    )


def _declined(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    if start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "a TIFF file that is not stored in tiles; convert it to a tiled pyramid"
    return "not a slide in a format that OpenSlide knows"


def _profile(handle: openslide.OpenSlide) -> bytes | None:
    profile = handle.color_profile
    return None if profile is None else bytes(profile.tobytes())


def _scale(handle: openslide.OpenSlide) -> Scale:
    """From the file's own words only: an objective power is no measurement, and checks one."""
    x, y, power = (
        number(handle.properties.get(name, 0))
        for name in (
            openslide.PROPERTY_NAME_MPP_X,
            openslide.PROPERTY_NAME_MPP_Y,
            openslide.PROPERTY_NAME_OBJECTIVE_POWER,
        )
    )
    return scale_of(x, y, power)


def _bounds_origin(handle: openslide.OpenSlide) -> tuple[int, int]:
    """Where other programs, which show the bounds only, begin to count."""
    x, y = (
        number(handle.properties.get(name, 0))
        for name in (openslide.PROPERTY_NAME_BOUNDS_X, openslide.PROPERTY_NAME_BOUNDS_Y)
    )
    return round(x), round(y)


def _on_white(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    rgb = np.ascontiguousarray(rgba[..., :3])
    alpha = rgba[..., 3:]
    if alpha.min() == 255:
        return rgb
    blended = (rgb.astype(np.uint16) * alpha + 255 * (255 - alpha.astype(np.uint16)) + 127) // 255
    return blended.astype(np.uint8)
