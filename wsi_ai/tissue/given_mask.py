"""Where there is tissue, in a person's or another program's own words."""

from pathlib import Path

import cv2
import numpy as np

from wsi_ai.core.geometry import Size
from wsi_ai.core.values import Mask, SlideInfo
from wsi_ai.errors import SlideError
from wsi_ai.schemas.reading import TABLE_BYTES, Unreadable, content_of
from wsi_ai.tissue.channels import brightest, darkest
from wsi_ai.tissue.regions import Regions, read_regions

_STRETCH = 0.01
"""How much a mask's sides may differ from the slide's, or one pixel."""


def given_mask(path: Path, slide: SlideInfo, rows_cols: tuple[int, int]) -> Mask:
    """(rows, cols) of a PNG of the whole slide at any scale, white (or 1) where there is tissue, or
    of GeoJSON, see ``regions``.  Raises SlideError."""
    if path.suffix.lower() == ".png":
        found = _of_picture(path, slide.size)
        mask = np.asarray(_covered(found, rows_cols), np.bool_)
    else:
        mask = _of_regions(read_regions(path, slide), slide.size, rows_cols)
    if not mask.any():
        raise SlideError("the tissue that was given is empty")
    return mask


def _of_picture(path: Path, size: Size) -> Mask:
    try:
        content = np.frombuffer(content_of(path, TABLE_BYTES), np.uint8)
        found = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    except OSError as error:
        raise SlideError(f"the tissue that was given cannot be read: {error.strerror}") from None
    except (Unreadable, cv2.error):
        found = None
    if found is None or found.dtype != np.uint8:
        raise SlideError("the tissue that was given is no PNG of 8 bits")
    picture = np.asarray(found, np.uint8)
    grey = picture if picture.ndim == 2 else brightest(picture[..., :3])
    if picture.ndim == 3 and (darkest(picture[..., :3]) != grey).any():
        raise SlideError("the tissue that was given is a picture in colours, and no mask")
    rows, cols = grey.shape
    apart = abs(cols * size.height / size.width - rows)
    if apart > max(1.0, _STRETCH * rows):
        raise SlideError(
            f"the tissue that was given is {cols} x {rows} pixels, of another shape than the slide"
        )
    return np.asarray(grey >= (1 if grey.max() == 1 else 128), np.bool_)


def _covered(mask: Mask, rows_cols: tuple[int, int]) -> Mask:
    """At another scale: true wherever any of it is."""
    rows, cols = rows_cols
    share = cv2.resize(
        mask.astype(np.float32),
        (cols, rows),
        interpolation=cv2.INTER_AREA if mask.shape[0] > rows else cv2.INTER_NEAREST,
    )
    return np.asarray(share > 0, np.bool_)


def _of_regions(regions: Regions, size: Size, rows_cols: tuple[int, int]) -> Mask:
    rows, cols = rows_cols
    found = np.zeros(rows_cols, np.uint8)
    scale = np.array([cols / size.width, rows / size.height])
    for value, shapes in ((1, regions.included), (0, regions.excluded)):
        for shape in shapes:
            for polygon in getattr(shape, "geoms", [shape]):
                rings = [polygon.exterior, *polygon.interiors]
                points = [
                    np.rint(np.asarray(ring.coords) * scale - 0.5).astype(np.int32)
                    for ring in rings
                ]
                own = np.zeros(rows_cols, np.uint8)
                cv2.fillPoly(own, points, 1)
                found[own > 0] = value
    return np.asarray(found > 0, np.bool_)
