"""TIFF slides through tiffslide: on request, and for addresses such as ``s3://`` and ``https://``.

Nothing is decoded once here: it is for slides that lie too far away to be copied.
"""

import math
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import fsspec
import numpy as np
import tiffslide
from numpy.typing import NDArray

from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.core.values import SlideInfo
from wsi_ai.errors import SlideError, TileUnreadable, UnknownFormat
from wsi_ai.slides.places import as_written
from wsi_ai.slides.readers.fingerprint import DiskLimit, digest_of
from wsi_ai.slides.scale import number, scale_of

_JPEG2000 = (33003, 33004, 33005, 34712)
_FAILURES = (  # what tifffile, zarr, fsspec and the codecs raise beneath it
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def open_slide(path: Path, spacing: Spacing | None = None) -> "TiffSlideSlide":
    """Open a slide at a path or an address; ``spacing`` replaces what the file says.

    Raises UnknownFormat where tiffslide declines, SlideError where it fails.  JPEG 2000 is refused:
    tiffslide has garbled such tiles (its issue 86), and a wrong pixel must not reach a flag.  So
    are tiles of no bytes, which it shows black.
    """
    address = as_written(path)
    try:
        slide = tiffslide.TiffSlide(address)
        pages: list[Any] = list(slide.ts_tifffile.pages)
        tiled = [page for page in pages if page.is_tiled]
        compressions = {int(page.compression) for page in tiled}
        counts = {int(count) for page in tiled for count in page.databytecounts}
        digest = _fingerprint(address)
    except tiffslide.TiffFileError:
        raise UnknownFormat("not a slide that tiffslide knows") from None
    except _FAILURES:
        raise SlideError("tiffslide cannot open it") from None
    if compressions & set(_JPEG2000):
        slide.close()
        raise SlideError("JPEG 2000 is not read through tiffslide; copy the slide here")
    if 0 in counts:
        slide.close()
        raise SlideError("it has tiles of no bytes, which tiffslide shows black; copy it here")
    return TiffSlideSlide(_info(path, slide, digest, spacing), slide)


class TiffSlideSlide:
    """See ``contracts.Slide``."""

    def __init__(self, info: SlideInfo, slide: tiffslide.TiffSlide) -> None:
        self.info = info
        self._slide = slide

    def read(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """See ``contracts.Slide.read``."""
        size, down = self._slide.level_dimensions[level], self.info.downsamples[level]
        left, top = round(x / down), round(y / down)
        x0, x1 = max(left, 0), min(left + width, size[0])
        y0, y1 = max(top, 0), min(top + height, size[1])
        out = np.full((height, width, 3), 255, np.uint8)
        if x0 < x1 and y0 < y1:
            corner = _corner(x0, down), _corner(y0, down)
            try:
                pixels = self._slide.read_region(corner, level, (x1 - x0, y1 - y0), as_array=True)
            except _FAILURES:
                raise TileUnreadable("tiffslide cannot decode it") from None
            out[y0 - top : y1 - top, x0 - left : x1 - left] = np.asarray(pixels)[..., :3]
        return out

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._slide.close()


def _corner(at: int, down: float) -> int:
    """The level-0 pixel that tiffslide, which rounds down, takes for the level's pixel ``at``."""
    corner = math.ceil(at * down)
    return corner if int(corner / down) == at else corner + 1


def _info(path: Path, slide: Any, digest: str, spacing: Spacing | None) -> SlideInfo:
    width, height = slide.dimensions
    x, y = (number(slide.properties.get(f"tiffslide.mpp-{axis}")) for axis in "xy")
    scale = scale_of(x, y, number(slide.properties.get("tiffslide.objective-power")))
    return SlideInfo(
        slide_id=path.stem,
        size=Size(width, height),
        spacing=spacing or scale.spacing,
        downsamples=tuple(float(d) for d in slide.level_downsamples),
        digest=digest,
        vendor=str(slide.properties.get("tiffslide.vendor") or "unknown"),
        reader="tiffslide",
        stated=scale.spacing,
        scale_doubt=scale.doubt,
    )


def _fingerprint(address: str) -> str:
    """SHA-256 of the content, as for a file; reads all of it."""
    with fsspec.open(address, "rb") as file:
        return digest_of(file, DiskLimit.from_settings().check)
