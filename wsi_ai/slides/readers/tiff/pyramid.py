"""What all makers of TIFF slides have in common: directories that make up a pyramid."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from wsi_ai.core.contracts import EncodedLevel
from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.errors import UnknownFormat
from wsi_ai.slides.readers.tiff.level import tile_table

_MOST_PAGES = 512
"""A slide has a dozen; a damaged file may seem to have millions."""
_UNITS_UM = {2: 25_400.0, 3: 10_000.0}
CENTIMETRE = 3


class StoredTiles(Protocol):
    """Where one level's tiles lie in the file."""

    @property
    def size(self) -> Size: ...

    def on(self, fd: int) -> EncodedLevel:
        """The level, from a file descriptor that stays open as long as that is used."""
        ...


@dataclass(frozen=True, slots=True)
class Pyramid:
    """Finest level first."""

    maker: str
    size: Size
    """Of level 0; more than what is stored where only a part of the glass was scanned."""
    levels: tuple[StoredTiles, ...]
    downsamples: tuple[float, ...]
    spacing: Spacing | None
    icc: bytes | None = None


def pyramid(maker: str, levels: list[Any], spacing: Spacing | None) -> Pyramid:
    """Of directories that each hold a whole level."""
    if not levels:
        raise UnknownFormat("the image is not stored in tiles")
    levels = sorted(levels, key=lambda page: -int(page.imagewidth))
    tables = tuple(tile_table(page, page_size(page), sparse=False) for page in levels)
    sizes = [table.size for table in tables]
    return Pyramid(maker, sizes[0], tables, downsamples(sizes), spacing, levels[0].iccprofile)


def downsamples(sizes: list[Size]) -> tuple[float, ...]:
    """As OpenSlide has them: the mean of both axes."""
    base = sizes[0]
    return tuple((base.width / s.width + base.height / s.height) / 2 for s in sizes)


def pages(tiff: Any) -> Iterator[Any]:
    """The file's directories, as many as a slide may have."""
    return islice(tiff.pages, _MOST_PAGES)


def page_size(page: Any) -> Size:
    return Size(int(page.imagewidth), int(page.imagelength))


def resolution(page: Any, units: tuple[int, ...] = (2, CENTIMETRE)) -> Spacing | None:
    """µm/px from a directory's resolution, where it is in one of the units: 2 is the inch."""
    unit = int(page.tags.valueof("ResolutionUnit", default=2))
    x, y = (page.tags.valueof(name) for name in ("XResolution", "YResolution"))
    if unit not in units or not x or not y or 0 in (*x, *y):
        return None
    return Spacing(_UNITS_UM[unit] * x[1] / x[0], _UNITS_UM[unit] * y[1] / y[0])
