"""JPEG tiles as a TIFF keeps them: tables once, abbreviated streams for the tiles."""

import cv2
import imagecodecs
import numpy as np

from wsi_ai.demo.frame import U8

TILE_PX = 256
QUALITY = 80


def encode_tiles(img: U8) -> list[bytes]:
    """All tiles of an RGB image, row by row, without tables; the rim repeats the edge."""
    h, w = img.shape[:2]
    full = cv2.copyMakeBorder(img, 0, -h % TILE_PX, 0, -w % TILE_PX, cv2.BORDER_REPLICATE)
    return [
        _split(_encode(np.asarray(full[y : y + TILE_PX, x : x + TILE_PX], np.uint8)))[1]
        for y in range(0, h, TILE_PX)
        for x in range(0, w, TILE_PX)
    ]


def tables() -> bytes:
    """The tables that every tile needs."""
    return _split(_encode(np.zeros((TILE_PX, TILE_PX, 3), np.uint8)))[0]


def _encode(tile: U8) -> bytes:
    return bytes(
        imagecodecs.jpeg8_encode(
            np.ascontiguousarray(tile),
            level=QUALITY,
            colorspace="RGB",
            outcolorspace="YCBCR",
            subsampling="422",
            optimize=False,
        )
    )


def _split(stream: bytes) -> tuple[bytes, bytes]:
    """(tables-only stream, abbreviated stream), as TIFF Technical Note 2 has them."""
    i, shared, rest = 2, b"", b""
    while stream[i + 1] != 0xDA:  # start of scan
        n = 2 + int.from_bytes(stream[i + 2 : i + 4], "big")
        if stream[i + 1] in (0xDB, 0xC4):  # quantisation, Huffman
            shared += stream[i : i + n]
        elif stream[i + 1] not in (0xE0, 0xEE):  # JFIF and Adobe say nothing in a TIFF
            rest += stream[i : i + n]
        i += n
    return b"\xff\xd8" + shared + b"\xff\xd9", b"\xff\xd8" + rest + stream[i:]
