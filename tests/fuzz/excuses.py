"""May a damaged slide come out `standard`?  Only with a proof, of one of two classes.

* Entropy-coded bytes: what differs lies between the markers of stored tiles, and another decoder
  takes those tiles without a word and shows the same pixels.
* A header that stays consistent: what differs is named, field by field, and the scale still goes
  with the magnification, the levels with one another, the number of tiles with the size; no tiles
  overlap or repeat.

Both are told from the bytes of the whole file and of the damaged one, by other libraries.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import tifffile
import zarr
from numpy.typing import NDArray

from wsi_ai.core.contracts import EncodedSlide
from wsi_ai.errors import TileUnreadable
from wsi_ai.slides.registry import open_slide

Pixels = NDArray[np.uint8]
_DAMAGE = (
    ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError,
)  # fmt: skip
"""What libraries raise on a damaged file."""


class Unproven(Exception):
    """Says what speaks against it."""


@dataclass(frozen=True)
class Stored:
    """One tile: where it lies, and what another library makes of it."""

    width: int
    """Of its level: by that it is found again in the other file."""
    number: int
    file: Path
    start: int
    stop: int
    size: tuple[int, int]
    """Rows and columns."""
    decode: Callable[[], Pixels]


def excuse(whole: Path, damaged: Path) -> str:
    """The class, and what was damaged.  Raises Unproven."""
    try:
        return _excuse(whole, damaged)
    except _DAMAGE as error:
        raise Unproven(f"it cannot be looked at: {error}") from None


def _excuse(whole: Path, damaged: Path) -> str:
    changed = {name: _changed(whole, damaged, name) for name in _names(whole, damaged)}
    tiles, reasons = list(stored_tiles(whole)), list[str]()
    touched = [tile for tile in tiles if len(_inside(tile, changed, whole))]
    if touched:
        reasons.append(_entropy_coded(touched, whole, damaged))
    elsewhere = [
        (name, at)
        for name, places in changed.items()
        for at in places
        if not any(t.file == whole / name and t.start <= at < t.stop for t in tiles)
    ]
    if elsewhere:
        reasons.append(_consistent_header(whole, damaged, [t for t in tiles if t not in touched]))
    if not reasons:
        raise Unproven("nothing differs")
    return "; ".join(reasons)


def _names(whole: Path, damaged: Path) -> list[str]:
    if whole.is_file():
        return [""]
    lists = [
        sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())
        for root in (whole, damaged)
    ]
    if lists[0] != lists[1]:
        raise Unproven("a file is missing")
    return lists[0]


def _changed(whole: Path, damaged: Path, name: str) -> NDArray[np.intp]:
    before, after = ((root / name).read_bytes() for root in (whole, damaged))
    if len(before) != len(after):
        raise Unproven("a file has another length")
    pair = (np.frombuffer(part, np.uint8) for part in (before, after))
    return np.flatnonzero(np.not_equal(*pair))


def _inside(tile: Stored, changed: dict[str, NDArray[np.intp]], whole: Path) -> NDArray[np.intp]:
    places = changed["" if whole.is_file() else str(tile.file.relative_to(whole))]
    return places[(places >= tile.start) & (places < tile.stop)]


def _entropy_coded(touched: list[Stored], whole: Path, damaged: Path) -> str:
    others = {(t.width, t.number): t for t in stored_tiles(damaged)}
    taken = 0
    with open_slide(damaged) as slide:
        if not isinstance(slide, EncodedSlide):
            raise Unproven("its reader hands out no stored tiles")
        for tile in touched:
            shown = _shown(slide, tile)
            if shown is None:  # refused, as it should be
                continue
            other = others.get((tile.width, tile.number))
            if other is None or (other.start, other.stop) != (tile.start, tile.stop):
                raise Unproven("a tile that was damaged lies elsewhere, too")
            part = tile.file.relative_to(whole) if whole.is_dir() else Path()
            _between_markers(tile, tile.file, damaged / part)
            _same_pixels(shown, other)
            taken += 1
    return f"entropy-coded bytes: {taken} tiles are decoded without a word, by another decoder too"


def _shown(slide: EncodedSlide, tile: Stored) -> Pixels | None:
    """``None`` where the product refuses it, or does not read it at all, as a macro image."""
    widths = [slide.encoded_level(n).size.width for n in range(len(slide.info.downsamples))]
    if tile.width not in widths:
        return None
    n = widths.index(tile.width)
    level, down = slide.encoded_level(n), slide.info.downsamples[n]
    across = -(-level.size.width // level.encoding.tile.width)
    row, col = divmod(tile.number, across)
    x = level.corner[0] + col * level.encoding.tile.width
    y = level.corner[1] + row * level.encoding.tile.height
    try:
        return slide.read(n, round(x * down), round(y * down), tile.size[1], tile.size[0])
    except TileUnreadable:
        return None


def _between_markers(tile: Stored, whole: Path, damaged: Path) -> None:
    """Chunks of Zarr have no markers but a header of 16 bytes; NDPI's tiles have no header."""
    before, after = (p.read_bytes()[tile.start : tile.stop] for p in (whole, damaged))
    zarr_head = 16 if tile.file.parent.parent.suffix == ".zarr" else 0
    head = _scan_starts(before) if before[:2] == b"\xff\xd8" else zarr_head
    if before[:head] != after[:head] or _markers(before[head:]) != _markers(after[head:]):
        raise Unproven("a marker or a table of a tile was damaged")


def _scan_starts(jpeg: bytes) -> int:
    """Behind the header of the scan (ITU-T T.81 B.2.3)."""
    at = 2
    while jpeg[at + 1] != 0xDA:
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")


def _markers(scan: bytes) -> list[tuple[int, bytes]]:
    return [(m.start(), m[0]) for m in re.finditer(rb"\xff[\x01-\xfe]", scan)]


def _same_pixels(shown: Pixels, other: Stored) -> None:
    try:
        theirs = other.decode()
    except _DAMAGE as error:
        raise Unproven(f"another decoder refuses a tile: {error}") from None
    rows, columns = other.size
    if not np.array_equal(shown, theirs.reshape(-1, *theirs.shape[-2:])[:rows, :columns]):
        raise Unproven("another decoder shows other pixels")


def stored_tiles(slide: Path) -> Iterator[Stored]:
    """By tifffile, pydicom or zarr, whatever the product thinks of it."""
    if slide.suffix == ".zarr":
        yield from _of_zarr(slide)
    elif slide.is_dir():
        yield from _of_dicom(slide)
    else:
        yield from _of_tiff(slide)


def _of_tiff(path: Path) -> Iterator[Stored]:
    content = path.read_bytes()
    with tifffile.TiffFile(path) as tiff:
        own = list(tiff.pages)[path.suffix == ".scn" :]  # the first one shows the whole glass
        for page in (each for one in own for each in (one, *(one.pages or ()))):
            width, height = int(page.imagewidth), int(page.imagelength)
            wide, high = int(page.tilewidth or width), int(page.tilelength or height)
            across = -(-width // wide)
            places = zip(page.dataoffsets, page.databytecounts, strict=True)
            how = page.decode, page.jpegtables, page.jpegheader  # while the file is open
            for number, (start, count) in enumerate(places):
                row, col = divmod(number, across)
                size = min(high, height - row * high), min(wide, width - col * wide)
                decode = partial(_decoded, *how, content[start : start + count], number)
                yield Stored(width, number, path, start, start + count, size, decode)


def _decoded(
    decode: Callable[..., Any], tables: bytes, header: bytes, data: bytes, number: int
) -> Pixels:
    given = decode(data, number, jpegtables=tables, jpegheader=header)
    return np.asarray(given[0], np.uint8)[0]


def _of_dicom(folder: Path) -> Iterator[Stored]:
    for path in sorted(folder.glob("*.dcm")):
        content, data = path.read_bytes(), pydicom.dcmread(path)
        width, side = int(data.TotalPixelMatrixColumns), int(data.Columns)
        at = 0
        for number, frame in enumerate(
            pydicom.encaps.generate_frames(data.PixelData, number_of_frames=data.NumberOfFrames)
        ):
            at = content.index(frame, at)

            def decode(frame: bytes = frame) -> Pixels:
                return np.asarray(imagecodecs.jpeg8_decode(frame), np.uint8)

            yield Stored(width, number, path, at, at + len(frame), (side, side), decode)


def _of_zarr(folder: Path) -> Iterator[Stored]:
    for level in sorted(p for p in folder.iterdir() if p.is_dir()):
        array = zarr.open_array(level, mode="r")
        height, width, rows, columns = *array.shape[:2], *array.chunks[:2]
        across = -(-width // columns)
        for chunk in sorted(p for p in level.iterdir() if not p.name.startswith(".")):
            row, col = (int(part) for part in chunk.name.split(".")[:2])
            y, x = row * rows, col * columns
            size = min(rows, height - y), min(columns, width - x)

            def decode(
                level: Path = level, y: int = y, x: int = x, s: tuple[int, int] = size
            ) -> Pixels:
                again = zarr.open_array(level, mode="r")
                return np.asarray(again[y : y + s[0], x : x + s[1]], np.uint8)

            end = chunk.stat().st_size
            yield Stored(width, row * across + col, chunk, 0, end, size, decode)


def _consistent_header(whole: Path, damaged: Path, untouched: list[Stored]) -> str:
    before, after = fields(whole), fields(damaged)
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    if not names or any("JPEGTables" in name for name in names):
        _show_the_same(whole, damaged, untouched)
        return "bytes that change no pixel"
    for found in contradictions(damaged):
        raise Unproven(f"{', '.join(names)}: {found}")
    return f"a header that goes together: {', '.join(names)}"


def _show_the_same(whole: Path, damaged: Path, untouched: list[Stored]) -> None:
    with open_slide(whole) as one, open_slide(damaged) as other:
        if not (isinstance(one, EncodedSlide) and isinstance(other, EncodedSlide)):
            raise Unproven("its reader hands out no stored tiles")
        for tile in untouched:
            before, after = _shown(one, tile), _shown(other, tile)
            if before is not None and after is not None and not np.array_equal(before, after):
                raise Unproven("what no field and no tile holds was damaged, and changes pixels")


def fields(slide: Path) -> dict[str, str]:
    """What the headers say, by name."""
    if slide.suffix == ".zarr":
        texts = [p for p in sorted(slide.rglob(".z*")) if p.is_file()]
        return {str(p.relative_to(slide)): json.dumps(json.loads(p.read_text())) for p in texts}
    if slide.is_dir():
        return {
            f"{path.name} {element.keyword or element.tag}": str(element.value)
            for path in sorted(slide.glob("*.dcm"))
            for element in pydicom.dcmread(path, stop_before_pixels=True).iterall()
        }
    with tifffile.TiffFile(slide) as tiff:
        return {
            f"directory {page.index} {tag.name}": str(tag.value)
            for page in tiff.pages
            for tag in page.tags
        }


def contradictions(slide: Path) -> Iterator[str]:
    """What in the headers does not go together."""
    with open_slide(slide) as opened:
        info, spans = opened.info, sorted((t.file, t.start, t.stop) for t in stored_tiles(slide))
    for (file, start, stop), (other, after, _) in pairwise(spans):
        if file == other and (after < stop or after == start):
            yield "tiles overlap or repeat"
    sizes: dict[int, int] = {}
    for tile in stored_tiles(slide):
        sizes[tile.width] = sizes.get(tile.width, 0) + tile.size[0] * tile.size[1]
    for level, down in enumerate(info.downsamples):
        width, height = round(info.size.width / down), round(info.size.height / down)
        if sizes.get(width, width * height) != width * height and info.vendor != "leica":
            yield f"level {level} has tiles for {sizes[width]} of {width * height} pixels"
    shapes = {
        round(info.size.width / d) / max(1, round(info.size.height / d)) for d in info.downsamples
    }
    if max(shapes) > 1.02 * min(shapes):
        yield "levels of different shapes"
    power = re.search(r"AppMag = (\d+)", "".join(fields(slide).values()))
    if info.spacing is not None and power and not 4 <= info.spacing.mean_um * float(power[1]) <= 16:
        yield "the scale does not go with the magnification"
