"""What all makers of TIFF slides have in common: directories that make up a pyramid."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import Any, Protocol, Self

from wsi_ai.core.geometry import Size
from wsi_ai.core.values import Encoding
from wsi_ai.errors import SlideError, UnknownFormat
from wsi_ai.slides.readers.far import SpannedLevel
from wsi_ai.slides.readers.source import Bytes
from wsi_ai.slides.readers.spans import doubtful_tiles
from wsi_ai.slides.readers.tiff.level import tile_table
from wsi_ai.slides.scale import NO_SCALE, Scale, number, scale_of

_MOST_PAGES = 512
"""A slide has a dozen; a damaged file may seem to have millions."""
_UNITS_UM = {2: 25_400.0, 3: 10_000.0}
CENTIMETRE = 3
_SHAPE_PX, _SHAPE = 4, 0.02
"""By how much a level's shape may differ from the first one's: pixels, or a share."""


class StoredTiles(Protocol):
    """Where one level's tiles lie in the file."""

    @property
    def size(self) -> Size: ...
    @property
    def corner(self) -> tuple[int, int]: ...
    @property
    def encoding(self) -> Encoding: ...
    @property
    def offsets(self) -> Sequence[int]: ...
    @property
    def counts(self) -> Sequence[int]: ...

    def without(self, doubtful: frozenset[int]) -> Self:
        """The same; these tiles cannot be read."""
        ...

    def on(self, source: Bytes) -> SpannedLevel:
        """The level, from a source that stays open as long as that is used."""
        ...


@dataclass(frozen=True, slots=True)
class Pyramid:
    """Finest level first."""

    maker: str
    size: Size
    """Of level 0; more than what is stored where only a part of the glass was scanned."""
    levels: tuple[StoredTiles, ...]
    downsamples: tuple[float, ...]
    scale: Scale
    icc: bytes | None = None
    image: str = ""
    """Which one, where the file holds several."""

    def checked(self) -> "Pyramid":
        """Without the tiles whose places in the file contradict one another.  Raises SlideError
        where the levels do."""
        sizes = [level.size for level in self.levels]
        for size, other in pairwise(sizes):
            if size == other:
                raise SlideError(
                    f"several images of {size.width} x {size.height} px in one file, such as focal"
                    " planes or channels; export a single one"
                )
        for size in sizes[1:]:
            _check_shape(sizes[0], size)
        spans = [
            (level.offsets, level.counts, level.encoding.tile.width * level.encoding.tile.height)
            for level in self.levels
        ]
        doubtful = doubtful_tiles(spans)
        levels = [level.without(d) for level, d in zip(self.levels, doubtful, strict=True)]
        return replace(self, levels=tuple(levels))


def pyramid(
    maker: str, levels: list[Any], scale: Scale, *, sparse: bool = False, image: str = ""
) -> Pyramid:
    """Of directories that each hold a whole level."""
    if not levels:
        raise UnknownFormat("the image is not stored in tiles")
    levels = sorted(levels, key=lambda page: -int(page.imagewidth))
    tables = tuple(tile_table(page, page_size(page), sparse=sparse) for page in levels)
    sizes = [table.size for table in tables]
    icc = levels[0].iccprofile
    return Pyramid(maker, sizes[0], tables, downsamples(sizes), scale, icc, image)


def downsamples(sizes: list[Size]) -> tuple[float, ...]:
    """As OpenSlide has them: the mean of both axes."""
    base = sizes[0]
    return tuple((base.width / s.width + base.height / s.height) / 2 for s in sizes)


def pages(tiff: Any) -> Iterator[Any]:
    """The file's directories, as many as a slide may have."""
    return islice(tiff.pages, _MOST_PAGES)


def page_size(page: Any) -> Size:
    return Size(int(page.imagewidth), int(page.imagelength))


def page_area(page: Any) -> int:
    return int(page.imagewidth) * int(page.imagelength)


def resolution(page: Any, units: tuple[int, ...] = (2, CENTIMETRE), power: float = 0.0) -> Scale:
    """µm/px from a directory's resolution, where it is in one of the units: 2 is the inch.

    TIFF asks for RATIONAL; other types are found as well, and their numbers mean the same.
    """
    unit = number(page.tags.valueof("ResolutionUnit", default=2))
    x, y = (fraction(page.tags.valueof(name)) for name in ("XResolution", "YResolution"))
    if unit not in units or not (x > 0 and y > 0):
        return NO_SCALE
    return scale_of(_UNITS_UM[int(unit)] / x, _UNITS_UM[int(unit)] / y, power)


def fraction(value: object) -> float:
    """Of a tag: numerator and denominator, or a number; 0 for anything else."""
    if isinstance(value, tuple) and len(value) == 1:
        return number(value[0])
    if isinstance(value, tuple):
        above, below = (number(part) for part in value) if len(value) == 2 else (0.0, 0.0)
        return above / below if below else 0.0
    return number(value)


def _check_shape(base: Size, level: Size) -> None:
    """A level shows the same as the finest one: both sides shrink by one factor."""
    if not (level.width and level.height):
        raise SlideError("a level of no pixels")
    height = base.height * level.width / base.width
    width = base.width * level.height / base.height
    if abs(height - level.height) > max(_SHAPE_PX, _SHAPE * level.height) and abs(
        width - level.width
    ) > max(_SHAPE_PX, _SHAPE * level.width):
        raise SlideError(
            f"the levels do not show the same: {base.width} x {base.height} and"
            f" {level.width} x {level.height} px"
        )
