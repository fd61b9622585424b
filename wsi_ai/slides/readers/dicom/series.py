"""The instances of one series put in order: which make up a level, and which image is meant."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from wsi_ai.core.digests import Digest
from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.core.values import SlideInfo
from wsi_ai.errors import SlideError
from wsi_ai.slides.readers.dicom.level import encoding_of
from wsi_ai.slides.readers.dicom.source import source_of
from wsi_ai.slides.readers.dicom.words import (
    chosen_of,
    image_key,
    image_scale,
    image_size,
    profile_of,
    scanner_of,
)
from wsi_ai.slides.readers.images import only_one


class Part(Protocol):
    """One instance: an image, or a part of one."""

    @property
    def header(self) -> Any: ...

    @property
    def order(self) -> str:
        """By which images of one size are numbered."""
        ...


Given = TypeVar("Given", bound=Part)


@dataclass(frozen=True, slots=True)
class Series(Generic[Given]):
    """The image that is meant."""

    levels: list[list[Given]]
    """Each in its parts, finest level first."""
    everything: list[Given]
    """All of the series, finest level first: which image was meant does not change the bytes."""
    image: str = ""


def arranged(parts: Sequence[Given], wanted: str) -> Series[Given]:
    """Raises SlideError where there are several images of one size, and none is wanted."""
    levels: dict[str, list[Given]] = defaultdict(list)
    for part in parts:
        levels[_level_of(part.header)].append(part)
    for level in levels.values():
        _check_alike(level)
    by_size: dict[Size, list[list[Given]]] = defaultdict(list)
    for level in levels.values():
        by_size[image_size(level[0].header)].append(level)
    for same in by_size.values():
        same.sort(key=lambda level: min(part.order for part in level))
    sizes = [by_size[size] for size in sorted(by_size, key=lambda size: -size.width)]
    everything = [part for same in sizes for level in same for part in level]
    if all(len(same) == 1 for same in sizes):
        only_one(wanted)
        return Series([same[0] for same in sizes], everything)
    number = chosen_of([[level[0].header for level in same] for same in sizes], wanted)
    return Series(_levels_of(sizes, number), everything, f"image {number}")


def info_of(
    name: str, series: Series[Given], digest: str | Digest, spacing: Spacing | None
) -> SlideInfo:
    base = series.levels[0][0].header
    scale = image_scale(base)
    sizes = [image_size(parts[0].header) for parts in series.levels]
    downs = [(sizes[0].width / s.width + sizes[0].height / s.height) / 2 for s in sizes]
    return SlideInfo(
        slide_id=name,
        size=sizes[0],
        spacing=spacing or scale.spacing,
        downsamples=tuple(downs),
        digest=digest,
        vendor="dicom",
        scanner=scanner_of(base),
        icc_profile=profile_of(base),
        stated=scale.spacing,
        scale_doubt=scale.doubt,
        image=series.image,
        dicom=source_of(base),
    )


def places_of(header: Any, count: int) -> Iterator[tuple[int, int]]:
    """Column and row of each of the instance's frames in the grid of tiles (PS3.3 C.7.6.17.3).
    Raises SlideError where one has no place in it: another one would be missing."""
    across = -(-int(header.TotalPixelMatrixColumns) // int(header.Columns))
    down = -(-int(header.TotalPixelMatrixRows) // int(header.Rows))
    for col, row in _places(header, count, across):
        if not (0 <= col < across and 0 <= row < down):
            raise SlideError("a frame lies outside the image")
        yield col, row


def _places(header: Any, count: int, across: int) -> Iterator[tuple[int, int]]:
    if header.get("DimensionOrganizationType") == "TILED_FULL":
        first = int(header.get("ConcatenationFrameOffsetNumber", 0))
        yield from ((n % across, n // across) for n in range(first, first + count))
        return
    groups = header.PerFrameFunctionalGroupsSequence
    if len(groups) != count:
        raise SlideError(
            f"the header says of {len(groups)} frames where they lie; there are {count}"
        )
    for frame in groups:
        at = frame.PlanePositionSlideSequence[0]
        x, y = (
            int(at.ColumnPositionInTotalImagePixelMatrix) - 1,
            int(at.RowPositionInTotalImagePixelMatrix) - 1,
        )
        if x % header.Columns or y % header.Rows:
            raise SlideError("frames that are not laid out as a grid")
        yield x // header.Columns, y // header.Rows


def check_single(header: Any) -> None:
    """Raises SlideError where there is more than one plane, or light."""
    if (
        header.get("TotalPixelMatrixFocalPlanes", 1) != 1
        or len(header.get("OpticalPathSequence") or [None]) != 1
    ):
        raise SlideError("several focal planes or optical paths; export a single one")


def _check_alike(parts: Sequence[Given]) -> None:
    """All frames of an image are decoded by one rule.  Raises SlideError."""
    first, *others = [part.header for part in parts]
    if any(
        image_size(other) != image_size(first) or encoding_of(other) != encoding_of(first)
        for other in others
    ):
        raise SlideError("parts of one image that differ in size or in how they are compressed")


def _level_of(header: Any) -> str:
    """Parts of a concatenation share it; any other image is one by itself."""
    return str(header.get("ConcatenationUID", header.SOPInstanceUID))


def _levels_of(sizes: list[list[list[Given]]], number: int) -> list[list[Given]]:
    """The finest one of that number, and those coarser ones that are of no other image."""
    mine = image_key(sizes[0][number][0].header)
    finest, *coarser = (
        [level for level in same if image_key(level[0].header) == mine] for same in sizes
    )
    if len(finest) > 1:
        return [sizes[0][number]]
    return [*finest, *(same[0] for same in coarser if len(same) == 1)]
