"""Slides, results and a shelf for the tests of the viewer."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from starlette.testclient import TestClient

from tests.stand_in_runs import Failed, run_here
from wsi_ai.service.viewer.app import viewer
from wsi_ai.service.viewer.cache import TileCache
from wsi_ai.service.viewer.places import entries_of
from wsi_ai.service.viewer.shelf import Shelf
from wsi_ai.slides.registry import open_slide

TILE = 128


def ramp(side: int) -> NDArray[np.uint8]:
    """Every place has its own colour."""
    y, x = np.mgrid[:side, :side]
    return np.stack([200 * x / side + 30, 200 * y / side + 30, 0 * x + 120], -1).astype(np.uint8)


def write_jpeg_slide(path: Path, side: int = 640, levels: Sequence[int] = (1,)) -> Path:
    """A ramp in JPEG tiles, of RGB as some scanners have it, at 0.5 µm/px."""
    with tifffile.TiffWriter(path) as tiff:
        for factor in levels:
            tiff.write(
                ramp(side)[::factor, ::factor],
                tile=(TILE, TILE),
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": 95},
                resolution=(20_000 / factor, 20_000 / factor),
                resolutionunit="CENTIMETER",
                subfiletype=0 if factor == 1 else 1,
            )
    return path


def write_deflate_slide(path: Path, side: int = 640) -> Path:
    """A ramp in tiles that no browser takes."""
    where = {"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(path, ramp(side), tile=(64, 64), compression="deflate", **where)
    return path


def analysed(slide: Path, out: Path) -> Path:
    """The folder of a stand-in model's results."""
    (outcome,) = run_here(out, Failed, [slide])
    assert outcome.folder is not None
    return outcome.folder


SHELVES: list[Shelf] = []
"""Those that tests made: after each test they close their slides; a later one opens them anew."""


def shelf_of(cache: Path, places: Sequence[Path], slides: Sequence[Path] = ()) -> Shelf:
    entries, folders = entries_of(places, slides)
    numbered = {str(n): entry for n, entry in enumerate(entries, 1)}
    shelf = Shelf(numbered, TileCache(cache / "tiles"), open_slide, tuple(folders))
    SHELVES.append(shelf)
    return shelf


def client_of(shelf: Shelf, **options: Any) -> TestClient:
    return TestClient(viewer(shelf, **options))


def changed(path: Path, **fields: Any) -> None:
    """A JSON file with other fields."""
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
