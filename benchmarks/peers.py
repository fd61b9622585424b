"""How others read the same tiles: each as its own documentation has it, with two workers.

A peer is a function from a ``Job`` to the number of tiles that it read.  It opens the slide itself,
as it has to in use.  Each shrinks with OpenCV's area averaging where the stored scale is not the
wanted one.
"""

import importlib.util
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

WORKERS = 2
BATCH = 32


@dataclass(frozen=True)
class Job:
    """Tiles of one level: corners in level-0 pixels, side read, side wanted."""

    path: str
    level: int
    downsample: float
    corners: NDArray[np.int64]
    read_px: int
    size_px: int

    def shrunk(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.read_px == self.size_px:
            return pixels
        side = (self.size_px, self.size_px)
        return np.asarray(cv2.resize(pixels, side, interpolation=cv2.INTER_AREA), np.uint8)

    def native(self) -> NDArray[np.int64]:
        return np.rint(self.corners / self.downsample).astype(np.int64)


class _OpenSlideTiles:
    """The map-style data set that most code bases have: a handle for each worker."""

    def __init__(self, job: Job) -> None:
        self.job, self.slide = job, None

    def __len__(self) -> int:
        return len(self.job.corners)

    def __getitem__(self, i: int) -> NDArray[np.uint8]:
        import openslide

        if self.slide is None:
            self.slide = openslide.OpenSlide(self.job.path)
        job, corner = self.job, tuple(self.job.corners[i].tolist())
        region = self.slide.read_region(corner, job.level, (job.read_px, job.read_px))
        return job.shrunk(np.array(region.convert("RGB")))


def openslide_dataloader(job: Job) -> int:
    from torch.utils.data import DataLoader

    cv2.setNumThreads(1)
    return sum(len(b) for b in DataLoader(_OpenSlideTiles(job), BATCH, num_workers=WORKERS))


class _TiffSlideTiles(_OpenSlideTiles):
    """The same by TiffSlide, which hands out arrays."""

    def __getitem__(self, i: int) -> NDArray[np.uint8]:
        import tiffslide

        if self.slide is None:
            self.slide = tiffslide.TiffSlide(self.job.path)
        job, corner = self.job, tuple(self.job.corners[i].tolist())
        size = (job.read_px, job.read_px)
        return job.shrunk(self.slide.read_region(corner, job.level, size, as_array=True))


def cucim_cpu(job: Job) -> int:
    from cucim import CuImage

    image = CuImage(job.path)
    size = (job.read_px, job.read_px)
    batches = image.read_region(
        [tuple(c) for c in job.corners.tolist()],
        size,
        job.level,
        num_workers=WORKERS,
        batch_size=BATCH,
    )
    count = 0
    for batch in batches:
        tiles = np.asarray(batch).reshape(-1, *size, 3)
        count += len([job.shrunk(tile) for tile in tiles])
    return count


def pyvips_regions(job: Job) -> int:
    import pyvips

    def read(corners: NDArray[np.int64]) -> int:
        region = pyvips.Region.new(pyvips.Image.new_from_file(job.path, page=job.level))
        for x, y in corners.tolist():
            data = region.fetch(x, y, job.read_px, job.read_px)
            job.shrunk(np.frombuffer(data, np.uint8).reshape(job.read_px, job.read_px, -1)[..., :3])
        return len(corners)

    return _in_threads(job, read)


def fastslide_threads(job: Job) -> int:
    from fastslide import FastSlide

    slide = FastSlide.from_file_path(job.path, cache=256 << 20)

    def read(corners: NDArray[np.int64]) -> int:
        for x, y in corners.tolist():
            region = slide.read_region((x, y), job.level, (job.read_px, job.read_px))
            job.shrunk(np.asarray(region.numpy()))
        return len(corners)

    return _in_threads(job, read)


def tiffslide_dataloader(job: Job) -> int:
    """In processes, as its documentation has it for PyTorch: it decodes in Python."""
    from torch.utils.data import DataLoader

    cv2.setNumThreads(1)
    return sum(len(b) for b in DataLoader(_TiffSlideTiles(job), BATCH, num_workers=WORKERS))


def _in_threads(job: Job, read: Callable[[NDArray[np.int64]], int]) -> int:
    """Batches of neighbours, taken in turn by two threads."""

    def halves() -> Iterator[NDArray[np.int64]]:
        corners = job.native()
        middle = len(corners) // 2
        yield from (corners[:middle], corners[middle:])

    with ThreadPoolExecutor(WORKERS) as pool:
        return sum(pool.map(read, halves()))


def wsidicom_threads(job: Job) -> int:
    from wsidicom import WsiDicom

    with WsiDicom.open(job.path) as slide:

        def read(corners: NDArray[np.int64]) -> int:
            for corner in corners.tolist():
                slide.read_region(tuple(corner), job.level, (job.read_px, job.read_px))
            return len(corners)

        return _in_threads(job, read)


def dicom_peers() -> dict[str, Callable[[Job], int]]:
    there = importlib.util.find_spec("wsidicom")
    return {"wsidicom": wsidicom_threads} if there else {}


PEERS: dict[str, tuple[Callable[[Job], int], tuple[str, ...]]] = {
    "openslide": (openslide_dataloader, ("openslide", "torch")),
    "tiffslide": (tiffslide_dataloader, ("tiffslide", "torch")),
    "cucim": (cucim_cpu, ("cucim",)),
    "pyvips": (pyvips_regions, ("pyvips",)),
    "fastslide": (fastslide_threads, ("fastslide",)),
}
"""Name to what reads, and what must be installed for it."""


def installed() -> dict[str, Callable[[Job], int]]:
    def there(modules: tuple[str, ...]) -> bool:
        return all(importlib.util.find_spec(module) for module in modules)

    return {name: read for name, (read, modules) in PEERS.items() if there(modules)}
