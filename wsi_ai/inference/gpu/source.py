"""Where the tiles for a CUDA device are decoded: there, if its decoder proves itself and is the
faster one, else on the processor, into memory that the device copies from."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Generic

from wsi_ai.core.cards import ReadLike, Resampling
from wsi_ai.core.contracts import EncodedLevel, EncodedSlide, Slide, TileSource
from wsi_ai.core.geometry import Size
from wsi_ai.core.plugins import needs_extra
from wsi_ai.core.values import Codec as CodecName
from wsi_ai.core.values import TileBatch, TilePlan
from wsi_ai.errors import DeviceError, NoDevice, TileUnreadable
from wsi_ai.inference.gpu.cutting import NO_CELL, Form, cells_under
from wsi_ai.inference.gpu.decoded_tiles import Codec, DeviceTiles
from wsi_ai.inference.gpu.device import B, Device
from wsi_ai.inference.gpu.proof import (
    AT_ONCE,
    Clock,
    Kind,
    Trial,
    Unproven,
    kind_of,
    on_host,
    prove,
    prove_on_slide,
)
from wsi_ai.tiles.reading import HostTiles
from wsi_ai.tiles.reading.colour import finisher
from wsi_ai.tiles.reading.host import placement
from wsi_ai.tiles.reading.schedule import StoredGrid

log = logging.getLogger(__name__)
_LARGEST_READ_PX = 1024
"""Along one side of a tile, as for ``HostTiles``, which reads larger ones in another way."""
_DRAWN = Size(256, 256)
"""Of the tiles that a decoder is proven on before there is a slide."""
Colours = str
"""What a decoder is asked for; see ``nvimagecodec.COLOURS``."""
OpenCodec = Callable[[Size, Colours], Codec[B]]
"""For stored tiles of a size.  Raises DeviceError."""


@dataclass(frozen=True, slots=True, eq=False)
class CudaTiles(Generic[B]):
    """A ``contracts.TileSource``: whole slides by the device, or by the host's source."""

    device: DeviceTiles[B]
    host: HostTiles
    open_codec: OpenCodec[B]
    proven: Mapping[Kind, Colours]
    """What the device's decoder may be used for, and how."""
    description: str
    clock: Clock = time.perf_counter

    @property
    def batch_size(self) -> int:
        return self.host.batch_size

    def __call__(self, slide: Slide, plan: TilePlan, start: int) -> Iterator[TileBatch]:
        """See ``contracts.TileSource``."""
        level = suited_level(slide, plan)
        if level is None:
            return _noted(self.host(slide, plan, start), "the processor: no other way for it yet")
        return self._tried(slide, level, plan, start)

    def _tried(
        self, slide: Slide, level: EncodedLevel, plan: TilePlan, start: int
    ) -> Iterator[TileBatch]:
        """The first batch is asked for before it is decided, for memory may be short."""
        try:
            codec, rates = self._proven(level, plan, start)
            walk = self.device.batches(level, plan, start, codec)
            first = next(walk, None)
        except DeviceError as error:
            log.warning("this slide's tiles are decoded on the processor: %s", error)
            yield from _noted(self.host(slide, plan, start), f"the processor: {error}")
            return
        with closing(walk):
            if first is not None:
                yield from _noted(chain([first], walk), f"the device: {rates}")

    def _proven(self, level: EncodedLevel, plan: TilePlan, start: int) -> tuple[Codec[B], str]:
        """A decoder of this walk's own, for none may be shared.  Raises DeviceError."""
        tiles = first_tiles(level, plan, start, self.batch_size)
        kinds = {kind_of(level.encoding, data) for data in tiles}
        if len(kinds) != 1:
            raise Unproven("its tiles are of several kinds, or none can be read")
        (kind,) = kinds
        if kind is None or kind not in self.proven:
            raise Unproven(f"the device's decoder is not proven for {kind or 'its colours'}")
        how = self.open_codec(level.encoding.tile, self.proven[kind])
        trial, threads = Trial(self.device.device, how), self.host.threads
        rates = prove_on_slide(trial, level.encoding, tiles, threads, self.clock)
        return self.open_codec(level.encoding.tile, self.proven[kind]), rates


def _noted(batches: Iterator[TileBatch], decoded_by: str) -> Iterator[TileBatch]:
    """The first batch says where all of them were decoded, and why there."""
    for number, batch in enumerate(batches):
        yield batch if number else replace(batch, decoded_by=decoded_by)


def tiles_for(device: Any, form: Form, host: HostTiles) -> TileSource:
    """By nvImageCodec, where it is installed, for those codecs in which it gives the host's pixels
    for a few drawn tiles, within what JPEG leaves open; else ``host``, and the log says why."""
    with needs_extra("cuda", NoDevice):
        from wsi_ai.inference.gpu import nvimagecodec

    def open_codec(tile: Size, colours: Colours) -> Codec[Any]:
        return nvimagecodec.NvImageCodec(device, tile, colours)

    version = nvimagecodec.version_of_nvimagecodec()
    if version is None:
        log.warning("tiles are decoded on the processor: nvImageCodec is not installed")
        return host
    described = f"nvImageCodec {version}/cuda:{device.index}"
    return source_for(device, form, host, open_codec, nvimagecodec.COLOURS, described)


def source_for(
    device: Device[B],
    form: Form,
    host: HostTiles,
    open_codec: OpenCodec[B],
    colours: tuple[Colours, ...],
    described: str,
) -> TileSource:
    """A source over a decoder that is yet to be proven; ``host`` where nothing of it is."""
    proven = proven_kinds(device, open_codec, colours)
    if not proven:
        return host
    tiles = DeviceTiles(device, on_host, form, host.batch_size, host.threads)
    able = " and ".join(proven)
    description = f"{described} for {able} where it is faster, else {host.description}"
    return CudaTiles(tiles, host, open_codec, proven, description)


def proven_kinds(
    device: Device[B], open_codec: OpenCodec[B], colours: tuple[Colours, ...]
) -> dict[Kind, Colours]:
    """Each by itself, and by a decoder that is thrown away.  What is not proven is logged."""
    found = dict[Kind, Colours]()
    for kind in Kind:
        wrong = list[str]()
        for how in colours if kind is Kind.RGB_JPEG else colours[:1]:
            try:
                prove(Trial(device, open_codec(_DRAWN, how)), kind)
            except DeviceError as error:
                wrong.append(str(error))
            else:
                found[kind] = how
                break
        if kind not in found:
            log.warning("%s tiles are decoded on the processor: %s", kind, "; ".join(wrong))
    return found


def suited_level(slide: Slide, plan: TilePlan) -> EncodedLevel | None:
    """The stored level, where its tiles come out of the codec as the RGB that the model wants, and
    are read and shrunk as the kernel does it."""
    spec, read = plan.spec, plan.read_px
    if not isinstance(slide, EncodedSlide) or finisher(plan) is not None:
        return None
    if spec.parity is not ReadLike.NONE or spec.resampling is Resampling.DCT:
        return None
    if max(read.width, read.height) > _LARGEST_READ_PX:
        return None
    level = slide.encoded_level(plan.level)
    kind = level.encoding
    plain = kind.channels == 3 and not kind.ycc and not kind.differenced
    return level if plain and kind.codec in (CodecName.JPEG, CodecName.JPEG2000) else None


def first_tiles(level: EncodedLevel, plan: TilePlan, start: int, batch: int) -> list[bytes]:
    """Stored tiles beneath the plan's next batch, as many as are tried; what is not there, or
    cannot be read, is passed over."""
    grid = StoredGrid(level.size, level.encoding.tile)
    place = placement(plan, start, level.corner).part(0, batch)
    found = list[bytes]()
    for cell in dict.fromkeys(cells_under(grid, place).ravel().tolist()):
        if cell == NO_CELL or len(found) == AT_ONCE:
            continue
        try:
            data = level.encoded(cell % grid.across, cell // grid.across)
        except TileUnreadable:
            continue
        if data is not None:
            found.append(data)
    return found
