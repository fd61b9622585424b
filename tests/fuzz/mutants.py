"""Damaged slides, made from real ones: always the same ones for the same number."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile

Rng = np.random.Generator
Mutate = Callable[[bytearray, Path, Rng], None]
SOURCES = (
    "slides/cmu-1-small-region.svs",
    "slides/tcga-cr-7395-01a-01-ts1.svs",
    "slides/cmu1_generic_pyramid.tif",
    "dicom/wsi2dcm/jpeg.dcm",
    "dicom/wsi2dcm/jpeg2000.dcm",
    "dicom/highdicom/sm_image_jpegls.dcm",
)
_LIES = (0, 1, 7, 2**16 - 1, 2**31 - 1, 2**32 - 1)
_HEAD = 4096


def mutant(data_folder: Path, number: int) -> tuple[str, bytes]:
    """What was done to which file, and the result."""
    rng = np.random.default_rng(number)
    source = data_folder / SOURCES[number % len(SOURCES)]
    data = bytearray(source.read_bytes())
    kinds = _ANY if source.suffix == ".dcm" else _ANY + _TIFF
    mutate = kinds[int(rng.integers(len(kinds)))]
    mutate(data, source, rng)
    return f"{mutate.__name__.strip('_')} {source.name}", bytes(data)


def _flip_anywhere(data: bytearray, source: Path, rng: Rng) -> None:
    """A few hundred bytes all over, mostly in tiles."""
    for at in rng.integers(0, len(data), 300):
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


_ANY: tuple[Mutate, ...] = (_flip_anywhere, _flip_the_head, _cut, _blank)
_TIFF: tuple[Mutate, ...] = (
    _lie_in_a_tag, _lie_in_a_tags_frame, _lie_in_tile_tables, _loop, _huge, _no_tile_size,
)  # fmt: skip
