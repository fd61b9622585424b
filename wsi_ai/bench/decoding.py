"""Stored tiles: fetched, decoded, and as batches of a model's tiles; each with threads."""

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.contracts import EncodedSlide, Slide
from wsi_ai.core.values import Encoding, TilePlan
from wsi_ai.slides.codecs import decode_buffer, decoder
from wsi_ai.tiles.reading import HostTiles
from wsi_ai.tiles.reading.host import placement
from wsi_ai.tiles.reading.reduced import fetcher
from wsi_ai.tiles.reading.schedule import Room, StoredGrid, schedule

T = TypeVar("T")
Image = NDArray[np.uint8]
Work = Callable[[], int]
"""Does it once; returns how many were done."""


def stored_tiles(slide: EncodedSlide, plan: TilePlan) -> list[tuple[int, int]]:
    """Column and row of every stored tile that the plan needs, each once."""
    level = slide.encoded_level(plan.level)
    grid = StoredGrid(level.size, level.encoding.tile)
    jobs = schedule(grid, placement(plan, 0, level.corner), Room(len(plan), 1, 0)).jobs
    return [(job.col, job.row) for job in jobs]


def decoding_once(slide: EncodedSlide, plan: TilePlan, threads: int) -> Work:
    """Fetch and decode what the plan needs, once, into kept buffers, and nothing else."""
    level, tiles = slide.encoded_level(plan.level), stored_tiles(slide, plan)
    fetch = fetcher(level)
    return _spread(
        tiles, lambda at, out: fetch(*at, out), decode_buffer(level.encoding.tile), threads
    )


def codec_alone(data: Sequence[bytes], encoding: Encoding, threads: int) -> Work:
    """Decode what lies in memory already."""
    decode = decoder(encoding)
    return _spread(data, decode, decode_buffer(encoding.tile), threads)


def fetching(slide: EncodedSlide, plan: TilePlan) -> Callable[[], list[bytes]]:
    """The stored tiles as they are, undecoded; those that were never scanned are left out."""
    level, tiles = slide.encoded_level(plan.level), stored_tiles(slide, plan)

    def run() -> list[bytes]:
        found = (level.encoded(col, row) for col, row in tiles)
        return [data for data in found if data is not None]

    return run


def reading(slide: Slide, plan: TilePlan, batch: int, threads: int) -> Work:
    """As the pipeline reads: the slide is open, for tissue was found on it, and the runtime owns
    the batch buffers."""
    kept: list[Image] = []

    def run() -> int:
        spare = iter(kept)

        def allocate(shape: tuple[int, ...]) -> Image:
            buffer = next(spare, None)
            if buffer is None:
                buffer = np.zeros(shape, np.uint8)
                kept.append(buffer)
            return buffer

        source = HostTiles(batch, threads, allocate)
        return sum(len(made.index) for made in source(slide, plan, 0))

    return run


def _spread(todo: Sequence[T], act: Callable[[T, Image], None], like: Image, threads: int) -> Work:
    """Each thread takes the next one, and has a buffer of its own."""
    kept = [np.empty_like(like) for _ in range(threads)]

    def run() -> int:
        waiting = iter(todo)

        def work(out: Image) -> None:
            for one in waiting:
                act(one, out)

        workers = [threading.Thread(target=work, args=(out,)) for out in kept]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return len(todo)

    return run
