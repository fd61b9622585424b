"""Opens and reads mutants, and prints a line for each.  Runs in a process of its own.

    python -m tests.fuzz.read_mutants DATA FIRST STOP

A mutant that takes too long, or too much memory, ends the process; so does a crash.  Then its line
is missing.
"""

import dataclasses
import faulthandler
import logging
import resource
import sys
import tempfile
import time
from pathlib import Path

import imagecodecs
import numpy as np

from tests.fuzz.mutants import mutant
from wsi_ai.core.cards import TileSpec
from wsi_ai.core.contracts import EncodedSlide, Slide
from wsi_ai.core.geometry import Spacing
from wsi_ai.core.values import Codec
from wsi_ai.errors import SlideError, TileUnreadable
from wsi_ai.slides.registry import open_slide
from wsi_ai.tiles.planning import plan_tiles
from wsi_ai.tiles.reading import HostTiles

LIMIT_S = 5
"""Of processor time: others may use the machine, too."""
_HANGS_S = 30
LIMIT_BYTES = 1 << 30
_TILES = 60


def read_all(path: Path) -> str:
    """The outcome in a word or two."""
    try:
        with open_slide(path) as slide:
            read, wrong = _read(slide)
            return f"FALSE-SUCCESS {wrong}" if wrong else f"read {read}"
    except SlideError as error:
        return f"refused {type(error).__name__}"


def _read(slide: Slide) -> tuple[str, int]:
    """How many of some tiles were read, and how many of them by mistake."""
    info = dataclasses.replace(slide.info, spacing=Spacing(0.5, 0.5))
    wrong = 0
    for level, down in enumerate(info.downsamples[:4]):
        plan = plan_tiles(info, np.ones((1, 1), bool), TileSpec(128, 0.5 * max(down, 1.0), 200))
        plan = dataclasses.replace(plan, cells=plan.cells[:_TILES], level=level)
        batches = HostTiles(16, 2)(slide, plan, 0)
        seen = [int(i) for batch in batches for i in batch.index]
        if isinstance(slide, EncodedSlide):
            wrong += _mistaken(slide, level, seen, plan)
    return f"{len(seen)} of {len(plan)} at the last level", wrong


def _mistaken(slide: EncodedSlide, level: int, seen: list[int], plan: object) -> int:
    """Stored tiles that another decoder rejects although ours took them."""
    stored = slide.encoded_level(level)
    tile, down = stored.encoding.tile, slide.info.downsamples[level]
    if stored.encoding.codec is not Codec.JPEG:
        return 0
    mistakes = 0
    for col in range(min(6, -(-stored.size.width // tile.width))):
        try:
            data = stored.encoded(col, 0)
            slide.read(level, round(col * tile.width * down) + 2, 2, 9, 9)
        except TileUnreadable:
            continue
        try:
            imagecodecs.jpeg8_decode(data)
        except imagecodecs.Jpeg8Error:
            mistakes += 1
    return mistakes


def main() -> None:
    logging.disable()
    resource.setrlimit(resource.RLIMIT_AS, (8 * LIMIT_BYTES, 8 * LIMIT_BYTES))
    folder, first, stop = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    for number in range(first, stop):
        kind, data = mutant(folder, number)
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / f"mutant{Path(kind.split()[-1]).suffix}"
            path.write_bytes(data)
            faulthandler.dump_traceback_later(_HANGS_S, exit=True)
            start = time.process_time()
            outcome = read_all(path)
            faulthandler.cancel_dump_traceback_later()
        spent = round(time.process_time() - start, 2)
        print(number, spent, _peak_mib(), kind, "->", outcome, flush=True)


def _peak_mib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


if __name__ == "__main__":
    main()
