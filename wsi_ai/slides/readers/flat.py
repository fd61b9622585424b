"""Flat images: PNG, JPEG and TIFF that is not stored in tiles, held whole in memory.

For regions that were exported from a viewer.  They seldom say how large a pixel is: give --mpp.
"""

import struct
import warnings
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.core.values import SlideInfo
from wsi_ai.errors import SlideError, UnknownFormat
from wsi_ai.slides.readers.fingerprint import fingerprint
from wsi_ai.slides.scale import NO_SCALE, Scale, number, scale_of

MOST_PX = 100_000_000
"""10,000 x 10,000: 300 MB.  What is larger has to be converted to a tiled pyramid."""
_NEITHER = "not a slide in a format that OpenSlide knows, and no flat image"
_FORMATS = ("PNG", "JPEG", "TIFF")
_MODES = ("RGB", "RGBA")
_UNIT, _X, _Y = 296, 282, 283
_UNITS_UM = {2: 25_400.0, 3: 10_000.0}
_DAMAGE = (  # what Pillow raises on damaged files
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)


def open_slide(path: Path, spacing: Spacing | None = None) -> "FlatSlide":
    """Open an image; ``spacing`` replaces what a TIFF says.

    Raises UnknownFormat for what is no such image, SlideError for one that is too large, is no
    8-bit colour image or is damaged.
    """
    if not path.is_file():
        raise UnknownFormat(_NEITHER)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images, which are refused below
            ImageFile.LOAD_TRUNCATED_IMAGES = False  # WeasyPrint sets it for the whole process
            with Image.open(path, formats=_FORMATS) as image:
                scale, icc = _scale(image), image.info.get("icc_profile")
                pixels = _pixels(image)
    except UnidentifiedImageError:
        raise UnknownFormat(_NEITHER) from None
    except Image.DecompressionBombError:
        raise SlideError(_too_large()) from None
    except _DAMAGE:
        raise SlideError("the image is cut short or cannot be decoded; copy it again") from None
    info = SlideInfo(
        slide_id=path.stem,
        size=Size(pixels.shape[1], pixels.shape[0]),
        spacing=spacing or scale.spacing,
        downsamples=(1.0,),
        digest=fingerprint(path),
        vendor="flat-image",
        reader="flat",
        icc_profile=icc if isinstance(icc, bytes) else None,
        stated=scale.spacing,
        scale_doubt=scale.doubt,
    )
    return FlatSlide(info, pixels)


class FlatSlide:
    """See ``contracts.Slide``."""

    def __init__(self, info: SlideInfo, pixels: NDArray[np.uint8]) -> None:
        self.info = info
        self._pixels = pixels

    def read(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """See ``contracts.Slide.read``."""
        size = self.info.size
        x0, x1 = max(x, 0), min(x + width, size.width)
        y0, y1 = max(y, 0), min(y + height, size.height)
        out = np.full((height, width, 3), 255, np.uint8)
        if x0 < x1 and y0 < y1:
            out[y0 - y : y1 - y, x0 - x : x1 - x] = self._pixels[y0:y1, x0:x1]
        return out

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        return None


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    if image.width * image.height > MOST_PX:
        raise SlideError(_too_large())
    if getattr(image, "n_frames", 1) != 1:
        raise SlideError(f"{getattr(image, 'n_frames', 0)} images in one flat file; export one")
    if image.mode not in _MODES:
        raise SlideError(f"a flat image of kind {image.mode}; 8-bit RGB is needed")
    if image.mode == "RGB":
        return np.asarray(image)
    white = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(white, image).convert("RGB"))


def _too_large() -> str:
    return (
        f"a flat image of more than {MOST_PX // 10**6} million pixels; convert it to a tiled"
        " pyramid"
    )


def _scale(image: Image.Image) -> Scale:
    """Of a TIFF, by its tags: the resolution of PNG and JPEG is that of a page or a screen."""
    tags = getattr(image, "tag_v2", None)
    um = _UNITS_UM.get(int(number(tags.get(_UNIT, 2)))) if tags is not None else None
    if tags is None or um is None:
        return NO_SCALE
    x, y = (number(tags.get(tag, 0)) for tag in (_X, _Y))
    return scale_of(um / x, um / y) if x > 0 and y > 0 else NO_SCALE
