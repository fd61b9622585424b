"""Encoded tile → pixels.  Exact: the same integers as the codec's reference library gives."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import imagecodecs
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from wsi_ai.core.geometry import Size
from wsi_ai.core.values import Codec, Encoding
from wsi_ai.errors import TileUnreadable

Image = NDArray[np.uint8]
Decode = Callable[[bytes, Image], None]
"""Fills the second argument, uint8 RGB shaped (height, width, 3) and contiguous, with the pixels
of a whole stored tile.  Raises TileUnreadable, and then what it filled in is not to be used."""


_CACHED_AT = 8
"""Bytes past a boundary of 64, so that no row whose length is a multiple of 16 begins at one of 32.
There libjpeg-turbo writes past the caches (``vmovntdq`` in jdcolext-avx2.asm), and what is copied
out of the buffer next has to come back from memory: a fifth of a tile's time."""


def decode_buffer(tile: Size) -> Image:
    """Memory to decode one stored tile into that stays in the cache; its content is undefined."""
    size = tile.height * tile.width * 3
    memory = np.empty(size + 64 + _CACHED_AT, np.uint8)
    at = -memory.ctypes.data % 64 + _CACHED_AT
    return memory[at : at + size].reshape(tile.height, tile.width, 3)


def decoder(encoding: Encoding) -> Decode:
    """What decodes tiles of this encoding.  Threads may share it."""
    if encoding.codec is Codec.JPEG:
        return decode_jpeg
    samples = _IMAGES.get(encoding.codec) or _BYTES[encoding.codec]

    def decode(data: bytes, out: Image) -> None:
        try:
            image = samples(data, encoding)
        except (RuntimeError, ValueError, TypeError):  # imagecodecs' own are RuntimeErrors
            raise TileUnreadable(f"a tile's {encoding.codec} data cannot be decoded") from None
        undone = encoding.codec is Codec.JPEG2000 and _jpeg2000_is_rgb(data)
        _to_rgb(image, replace(encoding, ycc=False) if undone else encoding, out)

    return decode


def decode_jpeg(data: bytes, out: Image) -> None:
    """Decode a JPEG stream of exactly ``out``'s size.

    What libjpeg only warns of, a stream cut short among them, is an error here: it fills the rest
    with grey and calls that a success.
    """
    try:
        image = simplejpeg.decode_jpeg(data, buffer=out)
    except ValueError:
        raise TileUnreadable("a tile's jpeg data cannot be decoded") from None
    if image.shape != out.shape:
        raise TileUnreadable(f"a tile holds {image.shape[1]} x {image.shape[0]} px")


def decode_jpeg_at(data: bytes, factor: int, out: Image) -> None:
    """The same at a half, a quarter or an eighth, by leaving out what is finer in the DCT: faster,
    and no exact averages.  The stream is ``factor`` times as large as ``out``."""
    height, width = out.shape[:2]
    try:
        found = simplejpeg.decode_jpeg_header(data)[:2]
        if found != (height * factor, width * factor):
            raise TileUnreadable(f"a tile holds {found[1]} x {found[0]} px")
        scaled = {"min_height": height, "min_width": width, "min_factor": factor}
        image = simplejpeg.decode_jpeg(data, buffer=out, **scaled)
    except ValueError:
        raise TileUnreadable("a tile's jpeg data cannot be decoded") from None
    if image.shape != out.shape:
        raise TileUnreadable(f"the codec made {image.shape[1]} x {image.shape[0]} px of a tile")


def _jpeg2000(data: bytes, encoding: Encoding) -> Image:
    _expect(_jpeg2000_size(data), encoding.tile)
    return np.asarray(imagecodecs.jpeg2k_decode(data, numthreads=1))


def _jpeg_ls(data: bytes, encoding: Encoding) -> Image:
    _expect(_jpeg_ls_size(data), encoding.tile)
    return np.asarray(imagecodecs.jpegls_decode(data))


def _webp(data: bytes, encoding: Encoding) -> Image:
    out = np.empty((encoding.tile.height, encoding.tile.width, encoding.channels), np.uint8)
    return np.asarray(imagecodecs.webp_decode(data, hasalpha=encoding.channels == 4, out=out))


def _jpeg_xr(data: bytes, encoding: Encoding) -> Image:
    out = np.empty(_shape(encoding), np.uint8)
    return np.asarray(imagecodecs.jpegxr_decode(data, out=out))


def _jpeg_xl(data: bytes, encoding: Encoding) -> Image:
    out = np.empty(_shape(encoding), np.uint8)
    return np.asarray(imagecodecs.jpegxl_decode(data, numthreads=1, out=out))


def _shape(encoding: Encoding) -> tuple[int, ...]:
    sides = encoding.tile.height, encoding.tile.width
    return sides if encoding.channels == 1 else (*sides, encoding.channels)


def _plain(unpack: Callable[..., Any]) -> Callable[[bytes, Encoding], Image]:
    def samples(data: bytes, encoding: Encoding) -> Image:
        wanted = encoding.tile.width * encoding.tile.height * encoding.channels
        return np.frombuffer(unpack(data, out=wanted), np.uint8)

    return samples


def _dicom_rle(data: bytes, encoding: Encoding) -> Image:
    """Planes one after the other, unlike every other codec here (DICOM PS3.5 annex G)."""
    planes = np.frombuffer(imagecodecs.dicomrle_decode(data, np.uint8), np.uint8)
    if planes.size != encoding.tile.width * encoding.tile.height * encoding.channels:
        raise TileUnreadable(f"a frame holds {planes.size} samples")
    return np.ascontiguousarray(planes.reshape(encoding.channels, -1).T)


def _raw(data: bytes, encoding: Encoding) -> Image:
    return np.frombuffer(data, np.uint8)


_IMAGES: dict[Codec, Callable[[bytes, Encoding], Image]] = {
    Codec.JPEG2000: _jpeg2000,
    Codec.JPEG_LS: _jpeg_ls,
    Codec.WEBP: _webp,
    Codec.JPEG_XR: _jpeg_xr,
    Codec.JPEG_XL: _jpeg_xl,
}
_BYTES: dict[Codec, Callable[[bytes, Encoding], Image]] = {
    Codec.RAW: _raw,
    Codec.LZW: _plain(imagecodecs.lzw_decode),
    Codec.DEFLATE: _plain(imagecodecs.zlib_decode),
    Codec.ZSTD: _plain(imagecodecs.zstd_decode),
    Codec.PACKBITS: _plain(imagecodecs.packbits_decode),
    Codec.DICOM_RLE: _dicom_rle,
}


def _to_rgb(image: Image, encoding: Encoding, out: Image) -> None:
    height, width = out.shape[:2]
    wanted = height * width * encoding.channels
    if image.size != wanted or image.dtype != np.uint8:
        raise TileUnreadable(f"a tile holds {image.size} samples instead of {wanted}")
    pixels = image.reshape(height, width, encoding.channels)
    if encoding.differenced:
        pixels = np.cumsum(pixels, axis=1, dtype=np.uint8)
    if encoding.ycc:
        pixels = _from_ycc(pixels)
    if encoding.channels == 4:
        on_white = pixels[..., :3].astype(np.uint16) + 255 - pixels[..., 3:]
        out[...] = np.minimum(on_white, 255)
    else:
        out[...] = pixels


def _from_ycc(ycc: Image) -> Image:
    """As JFIF has it: BT.601, full range, rounded to the nearest."""
    y, cb, cr = (ycc[..., i].astype(np.float32) for i in range(3))
    cb, cr = cb - 128, cr - 128
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
    rounded: Image = np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
    return rounded


def _jpeg2000_size(data: bytes) -> Size | None:
    """From the SIZ segment (ISO 15444-1 A.5.1), which comes first in a codestream."""
    at = data.find(b"\xff\x4f\xff\x51")
    fields = data[at + 8 : at + 24]
    if at < 0 or len(fields) < 16:
        return None
    x1, y1, x0, y0 = (int.from_bytes(fields[i : i + 4], "big") for i in (0, 4, 8, 12))
    return Size(x1 - x0, y1 - y0) if x1 > x0 and y1 > y0 else None


def _jpeg2000_is_rgb(data: bytes) -> bool:
    """The code stream says, in its COD segment, that a colour transform was used: OpenJPEG undoes
    that, whatever a container says of YCbCr (ISO 15444-1 A.6.1)."""
    at = data.find(b"\xff\x52")
    return 0 < at < len(data) - 8 and data[at + 8] == 1


def _jpeg_ls_size(data: bytes) -> Size | None:
    """From the start-of-frame segment (ISO 14495-1 C.2.2)."""
    at = data.find(b"\xff\xf7")
    fields = data[at + 5 : at + 9]
    if at < 0 or len(fields) < 4:
        return None
    height, width = int.from_bytes(fields[:2], "big"), int.from_bytes(fields[2:], "big")
    return Size(width, height) if width and height else None


def _expect(found: Size | None, wanted: Size) -> None:
    """Before a codec allocates what a lying header asks for."""
    if found is None:
        raise TileUnreadable("a tile has no readable header")
    if found != wanted:
        raise TileUnreadable(f"a tile says it holds {found.width} x {found.height} px")
