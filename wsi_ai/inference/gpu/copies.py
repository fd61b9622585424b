"""What goes to a device and comes back with each batch, apart from the network: to be timed."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from wsi_ai.core.contracts import Copies, Copy
from wsi_ai.inference.gpu.device import B, Device, Stream
from wsi_ai.inference.gpu.ring import RingShape

LARGE = (64, 1 << 20)
"""Bytes of the block whose copy stands for the most that the way carries: 64 MiB."""


@contextmanager
def open_copies(
    device: Device[B], shape: RingShape, block: tuple[int, ...] = LARGE
) -> Iterator[Copies]:
    """Between pinned memory and the device's, in the streams of the ring.

    Tiles go as RGB: a network that reads them otherwise lays them out on the device.  Raises
    DeviceError.
    """
    held, streams = list[B](), list[Stream]()

    def pair(wanted: tuple[int, ...], kind: type[np.generic]) -> tuple[B, B]:
        """Pinned memory, which holds ones, and the device's."""
        held.append(pinned := device.alloc_pinned(wanted, kind))
        held.append(there := device.alloc(wanted, kind))
        with device.host(pinned, write=True) as array:
            array[...] = 1
        return pinned, there

    try:
        tiles, tiles_there = pair(shape.tiles, np.uint8)
        outputs, outputs_there = pair(shape.outputs, np.float32)
        large, large_there = pair(block, np.uint8)
        for name in ("upload", "download"):
            streams.append(device.stream(name))
        up, down = streams
        for ends in ((outputs_there, outputs), (large_there, large)):  # what is read was written
            _copy(device, ends, down, 0).run()
        yield Copies(
            _copy(device, (tiles_there, tiles), up, math.prod(shape.tiles)),
            _copy(device, (outputs, outputs_there), down, 4 * math.prod(shape.outputs)),
            _copy(device, (large_there, large), up, math.prod(block)),
            _copy(device, (large, large_there), down, math.prod(block)),
        )
    finally:
        for stream in streams:
            stream.close()
        for buffer in held:
            device.free(buffer)


def _copy(device: Device[B], ends: tuple[B, B], stream: Stream, byte_count: int) -> Copy:
    """From the second of the ends to the first."""
    target, source = ends
    done = device.event()

    def run() -> None:
        device.copy_async(target, source, stream)
        done.record(stream)
        done.synchronize()

    return Copy(byte_count, run)
