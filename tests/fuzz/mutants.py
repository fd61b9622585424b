"""Damaged slides, made from whole ones: always the same ones for the same number."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile

Rng = np.random.Generator
Mutate = Callable[[bytearray, Path, Rng], None]
_LIES = (0, 1, 7, 2**16 - 1, 2**31 - 1, 2**32 - 1)
_HEAD = 4096


def mutate(slide: Path, number: int) -> str:
    """Damage the slide, a file or a folder of its own; says how."""
    rng = np.random.default_rng(number)
    files = sorted(p for p in slide.rglob("*") if p.is_file()) if slide.is_dir() else [slide]
    heads = [p for p in files if p.name.startswith(".z") or p.suffix == ".json"]
    source = _one(heads, rng) if heads and rng.random() < 0.5 else _one(files, rng)
    if slide.is_dir() and rng.random() < 0.1:
        source.unlink()
        return "remove"
    kinds = _ANY + _TIFF if slide.is_file() and slide.suffix != ".ndpi" else _ANY
    kind = kinds[int(rng.integers(len(kinds)))]
    data = bytearray(source.read_bytes())
    if data:
        kind(data, source, rng)
        source.write_bytes(data)
    return kind.__name__.strip("_")


def _one(files: list[Path], rng: Rng) -> Path:
    return files[int(rng.integers(len(files)))]


def _a_digit(data: bytearray, source: Path, rng: Rng) -> None:
    """Another digit in the first text there is that has some, as one of a scale."""
    digits = [at for at in range(min(len(data), _HEAD)) if 48 <= data[at] <= 57]
    if digits:
        data[digits[int(rng.integers(len(digits)))]] = 48 + int(rng.integers(10))


def _swap_stretches(data: bytearray, source: Path, rng: Rng) -> None:
    """Two sectors in each other's place."""
    if len(data) > 2048:
        first, second = (int(at) for at in rng.integers(0, len(data) - 512, 2))
        one, other = data[first : first + 512], data[second : second + 512]
        data[first : first + 512], data[second : second + 512] = other, one


def _flip_anywhere(data: bytearray, source: Path, rng: Rng) -> None:
    """Up to a few hundred bytes all over, mostly in tiles."""
    for at in rng.integers(0, len(data), int(rng.integers(1, 300))):
        data[at] = int(rng.integers(256))


def _flip_the_head(data: bytearray, source: Path, rng: Rng) -> None:
    for at in rng.integers(0, min(_HEAD, len(data)), int(rng.integers(1, 20))):
        data[at] = int(rng.integers(256))


def _cut(data: bytearray, source: Path, rng: Rng) -> None:
    del data[int(rng.integers(len(data))) :]


def _blank(data: bytearray, source: Path, rng: Rng) -> None:
    """A stretch of zeros, as a disk that lost sectors has."""
    start = int(rng.integers(len(data)))
    stop = min(len(data), start + int(rng.integers(512, 200_000)))
    data[start:stop] = bytes(stop - start)


def _lie_in_a_tag(data: bytearray, source: Path, rng: Rng) -> None:
    """Another value in place of a tag's own, or of the first of its values."""
    _set(data, _some_tag(source, rng).valueoffset, _a_lie(rng))


def _lie_in_a_tags_frame(data: bytearray, source: Path, rng: Rng) -> None:
    """Another type, count or offset."""
    _set(data, _some_tag(source, rng).offset + int(rng.choice([0, 2, 4, 8])), _a_lie(rng))


def _lie_in_tile_tables(data: bytearray, source: Path, rng: Rng) -> None:
    """Offsets beyond the file, counts of zero or of gigabytes."""
    with tifffile.TiffFile(source) as tiff:
        page = tiff.pages[int(rng.integers(len(tiff.pages)))]
        tag = next((t for t in page.tags if t.code in (324, 325, 273, 279)), None)
    if tag is not None:
        for at in rng.integers(0, max(1, tag.count), 5):
            _set(data, tag.valueoffset + 4 * int(at), _a_lie(rng))


def _loop(data: bytearray, source: Path, rng: Rng) -> None:
    """The last directory is followed by an earlier one."""
    with tifffile.TiffFile(source) as tiff:
        pages = list(tiff.pages)
        last, back = pages[-1], pages[int(rng.integers(len(pages)))]
    entries = struct.unpack_from("<H", data, last.offset)[0]
    _set(data, last.offset + 2 + 12 * entries, back.offset)


def _huge(data: bytearray, source: Path, rng: Rng) -> None:
    """A terabyte of pixels."""
    with tifffile.TiffFile(source) as tiff:
        tags = [t for t in tiff.pages[0].tags if t.code in (256, 257)]
    for tag in tags:
        struct.pack_into("<HHII", data, tag.offset, tag.code, 4, 1, 1_000_000)


def _no_tile_size(data: bytearray, source: Path, rng: Rng) -> None:
    with tifffile.TiffFile(source) as tiff:
        tags = [t for t in tiff.pages[0].tags if t.code in (322, 323)]
    for tag in tags:
        struct.pack_into("<HHII", data, tag.offset, tag.code, 4, 1, int(rng.choice([0, 1, 2**31])))


def _some_tag(source: Path, rng: Rng) -> tifffile.TiffTag:
    with tifffile.TiffFile(source) as tiff:
        tags = [tag for page in tiff.pages for tag in page.tags]
    return tags[int(rng.integers(len(tags)))]


def _a_lie(rng: Rng) -> int:
    return int(rng.choice(_LIES)) if rng.random() < 0.7 else int(rng.integers(2**32))


def _set(data: bytearray, at: int, value: int) -> None:
    if at + 4 <= len(data):
        struct.pack_into("<I", data, at, value)


_ANY: tuple[Mutate, ...] = (
    _flip_anywhere, _flip_the_head, _cut, _blank, _a_digit, _swap_stretches,
)  # fmt: skip
_TIFF: tuple[Mutate, ...] = (
    _lie_in_a_tag, _lie_in_a_tags_frame, _lie_in_tile_tables, _loop, _huge, _no_tile_size,
)  # fmt: skip
