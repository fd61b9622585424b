"""The reading stage on a device: stored tiles are decoded in batches, cut and resampled there, so
that no pixel passes through host memory.

nvImageCodec decodes; what it declines, the host's decoder does, tile by tile.  ``gpu.source`` says
when, and holds it to the host's decoders first.  The cutting is tested on host tensors; the
decoding has not met a device yet: see ``benchmarks/gpu.sh``.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wsi_ai.core.contracts import EncodedLevel
from wsi_ai.core.geometry import Size
from wsi_ai.core.values import Encoding, TileBatch, TilePlan
from wsi_ai.errors import NoDevice, TileUnreadable
from wsi_ai.inference.gpu.cuda import CudaDevice, device_errors

log = logging.getLogger(__name__)
Decode = Callable[[Sequence[bytes]], Sequence[torch.Tensor | None]]
"""Encoded tiles to uint8 RGB (height, width, 3) on the device; ``None`` for what it declines."""
DecodeOnHost = Callable[[Encoding, bytes], NDArray[np.uint8]]
"""The same of one tile, in host memory.  Raises TileUnreadable."""
Cell = tuple[int, int]
"""Column and row of a stored tile."""


@dataclass(frozen=True, slots=True)
class DeviceTiles:
    """Reads a plan into batches on a device.  ``finish`` blocks until the device has done what was
    asked of it so far: pixels are complete when they are handed out, whichever stream reads them.
    """

    batch_size: int
    decode: Decode
    on_host: DecodeOnHost
    device: torch.device
    finish: Callable[[], None]

    def batches(self, level: EncodedLevel, plan: TilePlan, start: int) -> Iterator[TileBatch]:
        """As a ``contracts.TileSource``.  Stored tiles that the next batch needs again are kept."""
        kept = dict[Cell, torch.Tensor | None]()
        for first in range(start, len(plan), self.batch_size):
            index = np.arange(first, min(first + self.batch_size, len(plan)))
            places = [place(plan, level, i) for i in index.tolist()]
            needed = dict.fromkeys(c for p in places for c in cells(level, p, plan.read_px))
            kept = {cell: kept[cell] for cell in needed if cell in kept}
            kept |= self._decoded(level, [cell for cell in needed if cell not in kept])
            whole = [
                all(kept[c] is not None for c in cells(level, p, plan.read_px)) for p in places
            ]
            drawn = [
                self._cut(level, kept, p, plan.read_px)
                for p, w in zip(places, whole, strict=True)
                if w
            ]
            for i in index[~np.array(whole)]:
                log.warning("left out tile %d of %s", i, plan.slide.fingerprint[:8])
            pixels = resampled(self._stacked(drawn, plan.read_px), plan.spec.size_px)
            self.finish()
            yield TileBatch(plan.slide.slide_id, index[np.array(whole)], pixels)

    def _decoded(self, level: EncodedLevel, wanted: list[Cell]) -> dict[Cell, torch.Tensor | None]:
        """White where nothing was scanned, ``None`` where nothing can be decoded."""
        blank = torch.full(
            (level.encoding.tile.height, level.encoding.tile.width, 3), 255, dtype=torch.uint8
        )
        found: dict[Cell, torch.Tensor | None] = {}
        todo = dict[Cell, bytes]()
        for cell in wanted:
            try:
                data = level.encoded(*cell)
            except TileUnreadable:
                found[cell] = None
                continue
            if data is None:
                found[cell] = blank.to(self.device)
            else:
                todo[cell] = data
        given = self.decode(list(todo.values())) if todo else []
        for (cell, data), image in zip(todo.items(), given, strict=True):
            fits = image is not None and image.shape == blank.shape
            found[cell] = image if fits else self._from_host(level.encoding, data)
        return found

    def _from_host(self, encoding: Encoding, data: bytes) -> torch.Tensor | None:
        try:
            return torch.from_numpy(self.on_host(encoding, data)).to(self.device)
        except TileUnreadable:
            return None

    def _cut(
        self,
        level: EncodedLevel,
        stored: dict[Cell, torch.Tensor | None],
        corner: tuple[int, int],
        size: Size,
    ) -> torch.Tensor:
        """One tile as read, white beyond the level."""
        canvas = torch.full(
            (size.height, size.width, 3), 255, dtype=torch.uint8, device=self.device
        )
        for col, row in cells(level, corner, size):
            (to_x, from_x) = overlap(
                corner[0], size.width, col, level.encoding.tile.width, level.size.width
            )
            (to_y, from_y) = overlap(
                corner[1], size.height, row, level.encoding.tile.height, level.size.height
            )
            image = stored[col, row]
            if image is not None:
                canvas[to_y, to_x] = image[from_y, from_x]
        return canvas

    def _stacked(self, drawn: list[torch.Tensor], size: Size) -> torch.Tensor:
        empty = torch.empty((0, size.height, size.width, 3), dtype=torch.uint8, device=self.device)
        return torch.stack(drawn) if drawn else empty


def place(plan: TilePlan, level: EncodedLevel, tile: int) -> tuple[int, int]:
    """x and y of a tile's corner in pixels of the plan's level, rounded to the nearest, and counted
    from the corner of what is stored."""
    x, y = plan.origin(tile)
    down = plan.slide.downsamples[plan.level]
    return round(x / down) - level.corner[0], round(y / down) - level.corner[1]


def cells(level: EncodedLevel, corner: tuple[int, int], size: Size) -> list[Cell]:
    """The stored tiles beneath a rectangle of what is stored."""
    (x, y), tile = corner, level.encoding.tile
    right, bottom = min(x + size.width, level.size.width), min(y + size.height, level.size.height)
    cols = range(max(x, 0) // tile.width, -(-right // tile.width))
    rows = range(max(y, 0) // tile.height, -(-bottom // tile.height))
    return [(col, row) for row in rows for col in cols]


def overlap(start: int, length: int, cell: int, tile: int, limit: int) -> tuple[slice, slice]:
    """Along one axis: where to in the rectangle, where from in the stored tile."""
    low, high = max(start, cell * tile, 0), min(start + length, (cell + 1) * tile, limit)
    return slice(low - start, high - start), slice(low - cell * tile, high - cell * tile)


def resampled(tiles: torch.Tensor, size_px: int) -> torch.Tensor:
    """(n, size, size, 3) by area averaging, rounded."""
    if tiles.shape[1:3] == (size_px, size_px) or not len(tiles):
        return tiles.reshape(len(tiles), size_px, size_px, 3)
    planes = tiles.permute(0, 3, 1, 2).float()
    shrunk = torch.nn.functional.interpolate(planes, size=(size_px, size_px), mode="area")
    return shrunk.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def device_decoder(device: CudaDevice) -> Decode:
    """nvImageCodec on the device, in torch's current stream there.

    Raises NoDevice where it is not installed.  Its hardware, hybrid and CUDA decoders only: where
    those fail, the host's own decoder is the exact one.
    """
    try:
        from nvidia import nvimgcodec
    except ImportError:
        raise NoDevice("nvImageCodec is not installed: pip install 'wsi-ai[cuda]'") from None
    kinds = nvimgcodec.BackendKind
    wanted = (kinds.HW_GPU_ONLY, kinds.GPU_ONLY, kinds.HYBRID_CPU_GPU)
    with device_errors("opening nvImageCodec"):
        decoder = nvimgcodec.Decoder(
            device_id=device.torch_device.index,
            backends=[nvimgcodec.Backend(kind) for kind in wanted],
            options=":fancy_upsampling=1",  # as libjpeg-turbo does
        )
    params = nvimgcodec.DecodeParams(
        apply_exif_orientation=False, color_spec=nvimgcodec.ColorSpec.SRGB
    )

    def stream_of(data: bytes) -> Any:
        try:
            return nvimgcodec.CodeStream(data)
        except RuntimeError:
            return None

    def decode(encoded: Sequence[bytes]) -> list[torch.Tensor | None]:
        streams = [stream_of(data) for data in encoded]
        queue = torch.cuda.current_stream(device.torch_device).cuda_stream
        known = [stream for stream in streams if stream is not None]
        with device_errors("decoding"):
            images = iter(decoder.decode(known, params=params, cuda_stream=queue) if known else [])
            given = [None if stream is None else next(images) for stream in streams]
            return [None if i is None else torch.utils.dlpack.from_dlpack(i) for i in given]

    return decode
