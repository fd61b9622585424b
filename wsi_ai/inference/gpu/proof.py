"""Is a device's decoder to be trusted, and is it worth it?  It is held to the host's: on drawn
tiles when a device is opened, and on each slide's own first tiles.

JPEG leaves rounding and the upsampling of colour to the decoder: so far the two may differ.  What
the host refuses the device must decline, or a damaged slide would get scores of its grey.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic

import cv2
import imagecodecs
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image as Pictures

from wsi_ai.core.geometry import Size
from wsi_ai.core.values import Codec as CodecName
from wsi_ai.core.values import Encoding
from wsi_ai.errors import DeviceError, TileUnreadable
from wsi_ai.inference.gpu.decoded_tiles import Codec
from wsi_ai.inference.gpu.device import B, Device
from wsi_ai.slides.codecs import decoder

Image = NDArray[np.uint8]
Clock = Callable[[], float]
_SIDE = 256
_FURTHEST, _MEAN = 8, 0.5
"""Grey levels by which a pixel of the device's decoder may differ from the host's, and by which all
may on average."""
AT_ONCE = 64
"""Tiles of a slide that are tried: a hardware decoder is at its best with many."""
_TIMED_ON_HOST = 8
_FEWEST, _INSTANT_S = 0.75, 1e-9
"""Of a slide's tiles, the share that it must not decline."""


class Kind(StrEnum):
    """What a decoder is proven for, each by itself."""

    JPEG = "JPEG"
    RGB_JPEG = "RGB JPEG"
    """Without a change of colours, as Aperio stores it."""
    JPEG_2000 = "JPEG 2000"


@dataclass(frozen=True, slots=True)
class Sample:
    name: str
    encoding: Encoding
    data: bytes


class Unproven(DeviceError):
    """The device's decoder is not to be used here; the message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Trial(Generic[B]):
    """Decodes some tiles on a device, and fetches them."""

    device: Device[B]
    codec: Codec[B]

    def decoded(self, encoded: Sequence[bytes], tile: Size) -> list[Image | None]:
        """``None`` for what it declines.  Waits for the device."""
        length = tile.width * tile.height * 3
        with ExitStack() as held:
            memory = self.device.alloc((len(encoded), length), np.uint8)
            held.callback(self.device.free, memory)
            here = self.device.alloc_pinned((length,), np.uint8)
            held.callback(self.device.free, here)
            rows, event = self.device.rows(memory), self.device.event()
            stream = self.device.stream("proof")
            held.callback(stream.close)
            found = list[Image | None]()
            for row, done in zip(rows, self.codec(encoded, rows, stream), strict=True):
                if not done:
                    found.append(None)
                    continue
                self.device.copy_async(here, row, stream)
                event.record(stream)
                event.synchronize()
                with self.device.host(here, write=False) as array:
                    found.append(array.reshape(tile.height, tile.width, 3).copy())
        return found

    def seconds(self, encoded: Sequence[bytes], tile: Size, clock: Clock) -> float:
        """To decode them all at once; what is opened at a first use is not counted."""
        length = tile.width * tile.height * 3
        with ExitStack() as held:
            memory = self.device.alloc((len(encoded), length), np.uint8)
            held.callback(self.device.free, memory)
            rows, event = self.device.rows(memory), self.device.event()
            stream = self.device.stream("proof")
            held.callback(stream.close)
            self.codec(encoded, rows, stream)
            event.record(stream)
            event.synchronize()
            began = clock()
            self.codec(encoded, rows, stream)
            event.record(stream)
            event.synchronize()
            return clock() - began


def prove(trial: Trial[B], kind: Kind) -> None:
    """On drawn tiles, in one batch.  Raises Unproven."""
    whole = samples(kind)
    broken = [Sample(f"a damaged {s.name} tile", s.encoding, d) for s in whole for d in damages(s)]
    every = [*whole, *(sample for sample in broken if shown(sample) is None)]
    given = trial.decoded([sample.data for sample in every], Size(_SIDE, _SIDE))
    for sample, pixels in zip(every, given, strict=True):
        hold_to_host(sample, pixels)


def hold_to_host(sample: Sample, given: Image | None) -> None:
    """Raises Unproven where the device shows what the host refuses or would show otherwise, or
    declines what the host shows."""
    wanted = shown(sample)
    if given is None and wanted is not None:
        raise Unproven(f"the device's decoder declines {sample.name}")
    if given is None:
        return
    if wanted is None:
        raise Unproven(f"the device's decoder shows {sample.name}, which the host's refuses")
    off = np.abs(given.astype(np.int16) - wanted)
    if off.max() > _FURTHEST or off.mean() > _MEAN:
        raise Unproven(
            f"the device's decoder changes {sample.name} by up to {off.max()} of 255,"
            f" {off.mean():.2f} on average"
        )


def prove_on_slide(
    trial: Trial[B], encoding: Encoding, tiles: Sequence[bytes], threads: int, clock: Clock
) -> str:
    """On some of a slide's own.  Returns how fast both decode.  Raises Unproven, also where the
    host's threads would be faster."""
    given, done = trial.decoded(tiles, encoding.tile), list[bytes]()
    for data, pixels in zip(tiles, given, strict=True):
        if pixels is not None:  # what it declines is decoded on the host later, too
            hold_to_host(Sample("a tile of this slide", encoding, data), pixels)
            done.append(data)
    if len(done) < _FEWEST * len(tiles):
        raise Unproven(
            f"the device's decoder declines {len(tiles) - len(done)} of {len(tiles)} tiles"
        )
    there = len(done) / max(trial.seconds(done, encoding.tile, clock), _INSTANT_S)
    here = threads * _host_rate(encoding, done[:_TIMED_ON_HOST], clock)
    rates = f"{there:.0f} stored tiles/s on the device, {here:.0f} by {threads} threads"
    if there < here:
        raise Unproven(f"it would be slower: {rates}")
    return rates


def _host_rate(encoding: Encoding, tiles: Sequence[bytes], clock: Clock) -> float:
    began = clock()
    for data in tiles:
        on_host(encoding, data)
    return len(tiles) / max(clock() - began, _INSTANT_S)


def shown(sample: Sample) -> Image | None:
    """By the host; ``None`` where it refuses."""
    try:
        return on_host(sample.encoding, sample.data)
    except TileUnreadable:
        return None


def on_host(encoding: Encoding, data: bytes) -> Image:
    """One stored tile by the host's exact decoder.  Raises TileUnreadable."""
    pixels = np.empty((encoding.tile.height, encoding.tile.width, 3), np.uint8)
    decoder(encoding)(data, pixels)
    return pixels


def kind_of(encoding: Encoding, data: bytes) -> Kind | None:
    """``None`` for what no device's decoder is asked to do."""
    if encoding.channels != 3 or encoding.ycc or encoding.differenced:
        return None
    if encoding.codec is CodecName.JPEG2000:
        return Kind.JPEG_2000
    if encoding.codec is not CodecName.JPEG:
        return None
    try:
        colours = simplejpeg.decode_jpeg_header(data)[2]
    except ValueError:
        return None
    return {"YCbCr": Kind.JPEG, "RGB": Kind.RGB_JPEG}.get(colours)


def samples(kind: Kind) -> list[Sample]:
    """Smooth colours, as tissue has: none that only one way of upsampling could keep."""
    seeds = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    image = cv2.resize(seeds, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
    return [
        Sample(name, Encoding(codec, Size(_SIDE, _SIDE)), data)
        for name, codec, data in _ENCODED[kind](np.asarray(image, np.uint8))
    ]


def damages(sample: Sample) -> Iterator[bytes]:
    """Cut short; and holed in the middle, which an end of its own does not show."""
    yield sample.data[: len(sample.data) // 2]
    middle = len(sample.data) // 2
    yield sample.data[:middle] + bytes(64) + sample.data[middle + 64 :]


def _jpeg(image: Image) -> Iterator[tuple[str, CodecName, bytes]]:
    for sampling in ("444", "422", "420"):
        data = simplejpeg.encode_jpeg(image, quality=85, colorsubsampling=sampling)
        yield f"JPEG {sampling}", CodecName.JPEG, data


def _rgb_jpeg(image: Image) -> Iterator[tuple[str, CodecName, bytes]]:
    file = io.BytesIO()
    Pictures.fromarray(image).save(file, "JPEG", quality=85, keep_rgb=True, subsampling=0)
    yield "RGB JPEG", CodecName.JPEG, file.getvalue()


def _jpeg_2000(image: Image) -> Iterator[tuple[str, CodecName, bytes]]:
    yield "JPEG 2000", CodecName.JPEG2000, bytes(imagecodecs.jpeg2k_encode(image, level=0))


_ENCODED: dict[Kind, Callable[[Image], Iterator[tuple[str, CodecName, bytes]]]] = {
    Kind.JPEG: _jpeg,
    Kind.RGB_JPEG: _rgb_jpeg,
    Kind.JPEG_2000: _jpeg_2000,
}
