"""Small slides laid out as scanners lay them out, for whose files no sample may be shipped.

OpenSlide is asked which scanner it takes them for, so that a layout is not of our own making only.
"""

import io
import struct
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image as Pillow

Image = NDArray[np.uint8]

SCN = """<?xml version="1.0"?>
<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"><collection sizeX="{glass[0]}"
sizeY="{glass[1]}">{images}</collection></scn>"""
SCN_IMAGE = """<image><pixels>{dimensions}</pixels><view sizeX="{view[2]}" sizeY="{view[3]}"
offsetX="{view[0]}" offsetY="{view[1]}" /><scanSettings><objectiveSettings><objective>20</objective>
</objectiveSettings><illuminationSettings><illuminationSource>{light}</illuminationSource>
</illuminationSettings></scanSettings></image>"""
SCN_DIMENSION = '<dimension sizeX="{width}" sizeY="{height}" r="{n}" ifd="{ifd}" />'
NM_PER_PX = 500


def write_scn(
    path: Path, levels: Sequence[Image], corners: Sequence[tuple[int, int]] = ((300, 200),)
) -> None:
    """One scanned area of these levels at each corner (level-0 pixels), on a glass of 1600 x 1200
    px at 0.5 µm; and a macro image of the whole glass in directory 0."""
    glass = (1600 * NM_PER_PX, 1200 * NM_PER_PX)
    macro = np.full((256, 256, 3), 200, np.uint8)
    images = [_scn_image((0, 0, *glass), [macro], 0)]
    for n, (x, y) in enumerate(corners):
        view = [side * NM_PER_PX for side in (x, y, levels[0].shape[1], levels[0].shape[0])]
        images.append(_scn_image(view, levels, 1 + n * len(levels)))
    about = SCN.format(glass=glass, images="".join(images))
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        _jpeg(writer, macro, description=about)
        for _ in corners:
            for level in levels:
                um = NM_PER_PX / 1000 * levels[0].shape[1] / level.shape[1]
                _jpeg(writer, level, resolution=(1e4 / um, 1e4 / um), resolutionunit=3)


def _scn_image(view: Sequence[int], levels: Sequence[Image], ifd: int) -> str:
    dimensions = [
        SCN_DIMENSION.format(width=p.shape[1], height=p.shape[0], n=n, ifd=ifd + n)
        for n, p in enumerate(levels)
    ]
    return SCN_IMAGE.format(view=view, dimensions="".join(dimensions), light="brightfield")


def write_trestle(path: Path, levels: Sequence[Image], overlaps: str = "") -> None:
    """At 0.5 µm/px, which it keeps in the resolution as it is."""
    about = f"Objective Power=20;{overlaps};Background Color=FFFFFF"
    with tifffile.TiffWriter(path) as writer:
        for n, level in enumerate(levels):
            um = 0.5 * levels[0].shape[1] / level.shape[1]
            _jpeg(
                writer,
                level,
                description=about if n == 0 else "",
                software="MedScan 2.0",
                resolution=(um, um),
                resolutionunit=1,
            )


def _jpeg(writer: tifffile.TiffWriter, pixels: Image, **options: Any) -> None:
    writer.write(
        pixels,
        tile=(128, 128),
        photometric="ycbcr",
        compression="jpeg",
        subsampling=(2, 2),
        metadata=None,
        **{"software": "", **options},
    )


def write_ndpi(
    path: Path,
    levels: Sequence[Image],
    interval: int = 8,
    shift: int = 0,
    planes: Sequence[int] = (0,),
) -> None:
    """Each level one JPEG stream with a marker after every ``interval`` blocks, which are 16 x 8
    px: 4:2:2, as Hamamatsu has it.  The macro image comes last.  ``shift`` falsifies the table of
    markers from its second entry on.  Of several focal planes the next ones are darker by 40.
    """
    um = [0.5 * levels[0].shape[1] / level.shape[1] for level in levels]
    macro = _stream(np.full((64, 64, 3), 200, np.uint8), 0)
    data, directories = bytearray(b"II*\0" + bytes(12)), []
    scanned = product(zip(levels, um, strict=True), enumerate(planes))
    for (level, at), (n, plane) in scanned:
        stream = _stream(np.maximum(level, 40 * n) - 40 * n, interval)
        starts = marker_starts(stream)
        starts[1:] = [start + shift for start in starts[1:]]
        directories.append((level, len(data), stream, 20.0, at, starts, plane))
        data += stream + bytes(len(stream) % 2)
    directories.append((np.empty((64, 64, 3)), len(data), macro, -1.0, 10.0, [], 0))
    data += macro + bytes(len(macro) % 2)
    link = 4
    for directory in directories:
        struct.pack_into("<Q", data, link, len(data))
        link = _directory(data, *directory)
    path.write_bytes(data)


def _directory(
    data: bytearray,
    pixels: Image,
    start: int,
    stream: bytes,
    lens: float,
    um: float,
    starts: list[int],
    plane: int,
) -> int:
    """Appends one; returns where its link to the next is.  After the link come the high halves of
    all values."""
    about: list[tuple[int, int, int, bytes]] = [
        (256, 4, 1, struct.pack("<I", pixels.shape[1])),
        (257, 4, 1, struct.pack("<I", pixels.shape[0])),
        (258, 3, 3, struct.pack("<3H", 8, 8, 8)),
        (259, 3, 1, struct.pack("<H", 7)),
        (262, 3, 1, struct.pack("<H", 6)),
        (271, 2, 10, b"Hamamatsu\0"),
        (273, 4, 1, struct.pack("<I", start)),
        (277, 3, 1, struct.pack("<H", 3)),
        (278, 4, 1, struct.pack("<I", pixels.shape[0])),
        (279, 4, 1, struct.pack("<I", len(stream))),
        (282, 5, 1, struct.pack("<2I", round(1e7 / um), 1000)),
        (283, 5, 1, struct.pack("<2I", round(1e7 / um), 1000)),
        (284, 3, 1, struct.pack("<H", 1)),
        (296, 3, 1, struct.pack("<H", 3)),
        (65420, 4, 1, struct.pack("<I", 1)),
        (65421, 11, 1, struct.pack("<f", lens)),
        (65424, 9, 1, struct.pack("<i", plane)),
    ]
    if starts:
        about.append((65426, 4, len(starts), struct.pack(f"<{len(starts)}I", *starts)))
    begin = len(data)
    outside = begin + 2 + 12 * len(about) + 8 + 4 * len(about)
    entries, values = bytearray(), bytearray()
    for tag, kind, count, value in about:
        entries += struct.pack("<HHI", tag, kind, count)
        if len(value) <= 4:
            entries += value.ljust(4, b"\0")
        else:
            entries += struct.pack("<I", outside + len(values))
            values += value + bytes(len(value) % 2)
    data += struct.pack("<H", len(about)) + entries + bytes(8 + 4 * len(about)) + values
    return begin + 2 + 12 * len(about)


def _stream(pixels: Image, interval: int) -> bytes:
    out = io.BytesIO()
    Pillow.fromarray(pixels.astype(np.uint8)).save(
        out, "JPEG", quality=85, subsampling="4:2:2", restart_marker_blocks=interval
    )
    return out.getvalue()


def marker_starts(stream: bytes) -> list[int]:
    """Where the coded blocks begin, and go on after each restart marker."""
    scan = stream.index(b"\xff\xda")
    first = scan + 2 + int.from_bytes(stream[scan + 2 : scan + 4], "big")
    found = [i + 2 for i in range(first, len(stream) - 1) if _is_marker(stream[i : i + 2])]
    return [first, *found] if found else []


def _is_marker(pair: bytes) -> bool:
    return pair[0] == 0xFF and 0xD0 <= pair[1] <= 0xD7
