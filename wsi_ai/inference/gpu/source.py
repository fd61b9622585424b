"""Where the tiles for a CUDA device are decoded: there, if its decoder proves itself, else on the
processor, into memory that the device copies from."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import cv2
import imagecodecs
import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray

from wsi_ai.core.contracts import EncodedLevel, EncodedSlide, Slide, TileSource
from wsi_ai.core.geometry import Size
from wsi_ai.core.values import Codec, Encoding, TileBatch, TilePlan
from wsi_ai.errors import DeviceError
from wsi_ai.inference.gpu.cuda import CudaDevice, device_errors
from wsi_ai.inference.gpu.decoded_tiles import Decode, DeviceTiles, device_decoder
from wsi_ai.slides.codecs import decoder
from wsi_ai.tiles.reading import HostTiles
from wsi_ai.tiles.reading.colour import finisher

log = logging.getLogger(__name__)
_PACKAGES = ("nvidia-nvimgcodec-cu13", "nvidia-nvimgcodec-cu12")
_CODECS = (Codec.JPEG, Codec.JPEG2000)
_SIDE = 256
_FURTHEST, _MEAN = 8, 0.5
"""Grey levels by which a pixel of the device's decoder may differ from the host's, and by which all
may on average.  JPEG leaves rounding and the upsampling of colour to the decoder."""


@dataclass(frozen=True, slots=True)
class CudaTiles:
    """A ``contracts.TileSource``: whole slides by the device, or by the host's source."""

    device: DeviceTiles
    host: HostTiles
    description: str

    @property
    def batch_size(self) -> int:
        return self.host.batch_size

    def __call__(self, slide: Slide, plan: TilePlan, start: int) -> Iterator[TileBatch]:
        """See ``contracts.TileSource``."""
        level = _level(slide, plan)
        if level is None:
            return self.host(slide, plan, start)
        return self.device.batches(level, plan, start)


def tiles_for(device: CudaDevice, host: HostTiles) -> TileSource:
    """The device's decoder where nvImageCodec is installed and gives the host's pixels for a few
    drawn tiles, within what JPEG leaves open; else ``host``, and the log says why."""
    try:
        decode = device_decoder(device)
        hold_to_host(decode)
    except DeviceError as error:
        log.warning("tiles are decoded on the processor: %s", error)
        return host
    there = device.torch_device

    def finish() -> None:
        with device_errors("decoding"):
            torch.cuda.current_stream(there).synchronize()

    tiles = DeviceTiles(host.batch_size, decode, on_host, there, finish)
    told = f"nvImageCodec {_version()}/{there} for JPEG and JPEG 2000, else {host.description}"
    return CudaTiles(tiles, host, told)


def hold_to_host(decode: Decode) -> None:
    """Raises DeviceError where the decoder declines or changes a tile of a kind that it is for."""
    for name, encoding, data in _samples():
        given, wanted = decode([data])[0], on_host(encoding, data)
        if given is None:
            raise DeviceError(f"the device's decoder declines {name}")
        if given.shape != wanted.shape:
            raise DeviceError(f"the device's decoder gives {tuple(given.shape)} for {name}")
        off = np.abs(given.cpu().numpy().astype(np.int16) - wanted)
        if off.max() > _FURTHEST or off.mean() > _MEAN:
            raise DeviceError(
                f"the device's decoder changes {name} by up to {off.max()} of 255,"
                f" {off.mean():.2f} on average"
            )


def on_host(encoding: Encoding, data: bytes) -> NDArray[np.uint8]:
    """One stored tile by the host's exact decoder.  Raises TileUnreadable."""
    pixels = np.empty((encoding.tile.height, encoding.tile.width, 3), np.uint8)
    decoder(encoding)(data, pixels)
    return pixels


def _level(slide: Slide, plan: TilePlan) -> EncodedLevel | None:
    """The stored level, where its tiles come out of the codec as the RGB that the model wants."""
    if not isinstance(slide, EncodedSlide) or finisher(plan) is not None:
        return None
    level = slide.encoded_level(plan.level)
    kind = level.encoding
    plain = kind.channels == 3 and not kind.ycc and not kind.differenced
    return level if plain and kind.codec in _CODECS else None


def _samples() -> Iterator[tuple[str, Encoding, bytes]]:
    """Smooth colours, as tissue has: none that only one way of upsampling could keep."""
    seeds = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    image = cv2.resize(seeds, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
    for sampling in ("444", "422", "420"):
        data = simplejpeg.encode_jpeg(image, quality=85, colorsubsampling=sampling)
        yield f"JPEG {sampling}", Encoding(Codec.JPEG, Size(_SIDE, _SIDE)), data
    lossless = bytes(imagecodecs.jpeg2k_encode(image, level=0))
    yield "JPEG 2000", Encoding(Codec.JPEG2000, Size(_SIDE, _SIDE)), lossless


def _version() -> str:
    for package in _PACKAGES:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return "of unknown version"
