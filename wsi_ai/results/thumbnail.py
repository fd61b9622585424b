"""The slide in small, for lists and pages."""

from pathlib import Path

from PIL import Image

from wsi_ai.core.values import Mask
from wsi_ai.tissue.thumbnail import Thumbnail

_SIDE_PX, _QUALITY = 512, 85


def write_thumbnail(path: Path, thumbnail: Thumbnail) -> None:
    """A JPEG of at most 512 pixels along a side, with nothing drawn on it.  Raises OSError."""
    picture = Image.fromarray(thumbnail.pixels)
    picture.thumbnail((_SIDE_PX, _SIDE_PX), Image.Resampling.BOX)
    picture.save(path, "JPEG", quality=_QUALITY)


def write_mask(path: Path, tissue: Mask) -> None:
    """A PNG of the whole slide, white where tissue was found: ``--tissue`` takes it back.  Raises
    OSError."""
    Image.fromarray(tissue).save(path, "PNG")
