"""What may come out `standard` is proven; anything else that comes out so fails the fuzz."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.fuzz.excuses import Stored, Unproven, excuse, stored_tiles
from tests.fuzz.samples import WRITERS

NAMES = sorted(WRITERS)
_TRIED = 24
Change = Callable[[bytearray], None]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("samples")
    small = rng.integers(60, 220, (32, 32, 3)).astype(np.uint8)
    pixels = np.repeat(np.repeat(small, 32, 0), 32, 1)
    for name, write in WRITERS.items():
        write(folder / name, pixels)
    return folder


def damaged(whole: Path, copy: Path, file: Path, change: Change) -> Path:
    (shutil.copytree if whole.is_dir() else shutil.copyfile)(whole, copy)
    target = copy / file.relative_to(whole) if whole.is_dir() else copy
    content = bytearray(target.read_bytes())
    change(content)
    target.write_bytes(content)
    return copy


def fine_tile(whole: Path) -> Stored:
    return next(tile for tile in stored_tiles(whole) if tile.width == 1024 and tile.number == 5)


def changed(at: int, by: int = 4) -> Change:
    def change(content: bytearray) -> None:
        content[at] ^= by

    return change


@pytest.mark.parametrize("name", NAMES)
def test_a_byte_between_markers_that_two_decoders_take_is_excused(
    name: str, samples: Path, tmp_path: Path
) -> None:
    whole, found = samples / name, list[str]()
    tile = fine_tile(whole)
    middle = (tile.start + tile.stop) // 2
    for at in range(middle, tile.stop - 4, max(1, (tile.stop - middle) // _TRIED)):
        copy = damaged(whole, tmp_path / f"{at}-{name}", tile.file, changed(at))
        try:
            found.append(excuse(whole, copy))
        except Unproven:
            continue
        if "coded bytes: 1 tile" in found[-1]:
            return
    assert name == "slide.zarr", found  # whose chunks may all be noticed


@pytest.mark.parametrize("name", [n for n in NAMES if n != "slide.zarr"])
def test_a_table_of_the_decoder_is_no_entropy_coded_byte(
    name: str, samples: Path, tmp_path: Path
) -> None:
    """The quantisation of the first coefficient, which no decoder can know to be wrong."""
    whole = samples / name
    tile = fine_tile(whole)
    at = tile.file.read_bytes().index(b"\xff\xdb", 0 if name.endswith("ndpi") else tile.start)
    copy = damaged(whole, tmp_path / name, tile.file, changed(at + 5, 16))
    with pytest.raises(Unproven, match="damaged"):
        excuse(whole, copy)


def replaced(old: bytes, new: bytes) -> Change:
    def change(content: bytearray) -> None:
        content[:] = content.replace(old, new)

    return change


def test_a_digit_of_the_scale_is_named(samples: Path, tmp_path: Path) -> None:
    whole = samples / "slide.svs"
    copy = damaged(whole, tmp_path / "slide.svs", whole, replaced(b"MPP = 0.5", b"MPP = 0.6"))
    assert excuse(whole, copy).startswith(
        "a header that goes together: directory 0 ImageDescription"
    )


def test_a_tile_that_is_shown_twice_is_not_excused(samples: Path, tmp_path: Path) -> None:
    whole = samples / "slide.tif"
    with tifffile.TiffFile(whole) as tiff:
        tag = tiff.pages[0].tags["TileOffsets"]

    def change(content: bytearray) -> None:
        content[tag.valueoffset : tag.valueoffset + 4] = content[
            tag.valueoffset + 4 : tag.valueoffset + 8
        ]

    with pytest.raises(Unproven, match="overlap or repeat"):
        excuse(whole, damaged(whole, tmp_path / "slide.tif", whole, change))


def test_what_is_cut_off_is_not_excused(samples: Path, tmp_path: Path) -> None:
    whole = samples / "slide.tif"
    with pytest.raises(Unproven, match="another length"):
        excuse(whole, damaged(whole, tmp_path / "slide.tif", whole, lambda c: c.pop() and None))
