"""Tiles that claim more than they are cost nothing."""

import struct
import tracemalloc
import zlib

import imagecodecs
import numpy as np
import pytest
import simplejpeg

from tests.tiles.memory import noise
from wsi_ai.core.geometry import Size
from wsi_ai.core.values import Codec, Encoding
from wsi_ai.errors import TileUnreadable
from wsi_ai.slides.codecs import decode_buffer, decoder

SIDE = 64
TILE = Size(SIDE, SIDE)
PIXELS = noise(SIDE, SIDE)


def jpeg_that_claims(width: int, height: int) -> bytes:
    data = bytearray(simplejpeg.encode_jpeg(PIXELS))
    at = data.find(b"\xff\xc0")
    struct.pack_into(">HH", data, at + 5, height, width)
    return bytes(data)


def jpeg2000_that_claims(width: int, height: int) -> bytes:
    data = bytearray(imagecodecs.jpeg2k_encode(PIXELS, codecformat="j2k", reversible=True))
    struct.pack_into(">II", data, data.find(b"\xff\x51") + 6, width, height)
    return bytes(data)


def jpeg_ls_that_claims(width: int, height: int) -> bytes:
    smooth = np.ascontiguousarray(np.sort(PIXELS, axis=1))
    data = bytearray(imagecodecs.jpegls_encode(smooth))
    struct.pack_into(">HH", data, data.find(b"\xff\xf7") + 5, height, width)
    return bytes(data)


@pytest.mark.parametrize(
    ("codec", "data"),
    [
        (Codec.JPEG, jpeg_that_claims(65500, 65500)),
        (Codec.JPEG, jpeg_that_claims(32, 32)),
        (Codec.JPEG, jpeg_that_claims(32, 128)),
        (Codec.JPEG2000, jpeg2000_that_claims(2**31, 2**31)),
        (Codec.JPEG2000, jpeg2000_that_claims(32, 32)),
        (Codec.JPEG_LS, jpeg_ls_that_claims(65535, 65535)),
        (Codec.DEFLATE, zlib.compress(bytes(64 << 20))),
        (Codec.ZSTD, imagecodecs.zstd_encode(bytes(64 << 20))),
        (Codec.PACKBITS, b"\x81\x00" * 100_000),
        (Codec.DICOM_RLE, struct.pack("<16I", 3, 64, 70, 76, *[0] * 12) + b"\x81\x00" * 99_999),
        (Codec.WEBP, imagecodecs.webp_encode(np.zeros((4000, 4000, 3), np.uint8))),
        (Codec.RAW, bytes(SIDE * SIDE * 3 + 1)),
        *((codec, b"") for codec in Codec),
        *((codec, b"\xff" * 999) for codec in Codec),
    ],
)
def test_a_lying_tile_is_unreadable_and_cheap(codec: Codec, data: bytes) -> None:
    out = np.zeros((SIDE, SIDE, 3), np.uint8)
    tracemalloc.start()
    with pytest.raises(TileUnreadable):
        decoder(Encoding(codec, TILE))(data, out)
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()


def test_ycc_samples_become_rgb() -> None:
    """Against libjpeg's own conversion, which rounds a little differently."""
    plane = np.linspace(16, 235, SIDE * SIDE).astype(np.uint8).reshape(SIDE, SIDE)
    ycc = np.stack([plane, plane[::-1], plane.T], -1)
    out = np.zeros_like(ycc)
    decoder(Encoding(Codec.RAW, TILE, ycc=True))(ycc.tobytes(), out)
    y, cb, cr = (ycc[..., i].astype(float) for i in range(3))
    red = np.clip(y + 1.402 * (cr - 128), 0, 255)
    assert np.abs(out[..., 0] - red).max() <= 0.51
    assert np.abs(out[..., 2] - np.clip(y + 1.772 * (cb - 128), 0, 255)).max() <= 0.51


@pytest.mark.parametrize("side", [224, 240, 256, 512])
def test_what_is_decoded_stays_in_the_cache(side: int) -> None:
    """libjpeg-turbo writes around it to rows that begin at a multiple of 32."""
    buffer = decode_buffer(Size(side, side))
    assert buffer.flags.c_contiguous
    assert all(row.ctypes.data % 32 for row in buffer)
