"""A reader for bad days: a file that says ``slow SIDE SECONDS`` is a slide of which each tile takes
so long; one that says ``poison`` ends the process that opens it."""

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.errors import UnknownFormat
from wsi_ai.slides.readers.fingerprint import fingerprint
from wsi_ai.testing import PaintedSlide

_TILE_PX = 64


@dataclass
class SlowSlide(PaintedSlide):
    seconds: float = 0.0

    def read(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        if level == 0 and width <= _TILE_PX:
            time.sleep(self.seconds)
        return super().read(level, x, y, width, height)


def violet(x: NDArray[np.int64], y: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    mixed = (x * 2_654_435_761 + y * 40_503 * 65_537) & 0xFFFFFFFF
    mixed = (mixed ^ (mixed >> 15)) * 2_246_822_519 & 0xFFFFFFFF
    noise = [(mixed >> shift) % 40 for shift in (4, 12, 20)]
    return 85 + noise[0], 60 + noise[1], 125 + noise[2]


def open_slide(path: Path, spacing: Spacing | None) -> SlowSlide:
    try:
        words = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        words = []
    if words[:1] == ["poison"]:
        os._exit(9)
    if words[:1] != ["slow"]:
        raise UnknownFormat("no slide of a bad day")
    side = int(words[1])
    slide = SlowSlide(size=Size(side, side), paint=violet, seconds=float(words[2]))
    slide.info = replace(slide.info, slide_id=path.stem, digest=fingerprint(path))
    return slide


def write_slow(path: Path, side: int = 512, seconds: float = 0.01, name: str = "") -> Path:
    path.write_text(f"slow {side} {seconds} {name or path.stem}")
    os.utime(path, (1, 1))
    return path


def write_poison(path: Path) -> Path:
    path.write_text(f"poison {path.stem}")
    os.utime(path, (1, 1))
    return path


def installed_in(folder: Path) -> Path:
    """A folder for ``sys.path`` that makes the reader a plug-in."""
    about = folder / "bad_reader-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: bad_reader\nVersion: 1\n")
    points = "[wsi_ai.readers]\nbad = tests.service.bad_reader:open_slide\n"
    (about / "entry_points.txt").write_text(points)
    return folder
