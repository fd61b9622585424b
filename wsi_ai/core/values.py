"""The nouns of wsi_ai, in the order data meets them, up to the heatmap.  Read this first,
then ``cards`` and ``flags``."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import ModelCard, Task, TileSpec
from wsi_ai.core.dicom import DicomSource
from wsi_ai.core.digests import Digest
from wsi_ai.core.geometry import Size, Spacing, Step


class Recolour(Protocol):
    """Changes the colours of one slide's tiles.  The same wherever the pixels are."""

    def __call__(self, pixels: Any, xp: Any) -> Any:
        """uint8 RGB (..., 3) to the same shape; ``xp`` is the library of the array: numpy or
        torch."""
        ...

    def as_dict(self) -> dict[str, Any]:
        """Its settings, for the record."""
        ...


Mask = NDArray[np.bool_]
"""A mask of the whole slide at any resolution: row i covers level-0 rows from
``i * height / rows`` up to ``(i + 1) * height / rows``."""


class Layers(Protocol):
    """(classes, rows, cols) of scores, as an array, or read from disk: one layer at a time, or some
    rows of one."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __getitem__(self, layer: int | tuple[int, slice], /) -> NDArray[np.float32]: ...
    def __iter__(self) -> Iterator[NDArray[np.float32]]: ...


_BAND = 256


def bands(rows: int) -> Iterator[slice]:
    """Some rows at a time from the top: what is computed of them is small, however large the
    whole."""
    for top in range(0, rows, _BAND):
        yield slice(top, min(top + _BAND, rows))


class Pixels(Protocol):
    """A uint8 RGB array shaped (tiles, height, width, 3), on any device."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __dlpack__(self, *, stream: Any = ...) -> Any: ...
    def __dlpack_device__(self) -> tuple[Any, int]: ...


@dataclass(frozen=True, slots=True)
class SlideInfo:
    """What is known of a slide before a pixel is read."""

    slide_id: str
    """Names the slide to the site's own people: it may be personal data, so never log it."""
    size: Size
    """Of level 0."""
    spacing: Spacing | None
    """``None`` where the file does not say, or says what cannot be."""
    downsamples: tuple[float, ...]
    """One per pyramid level, as stored; the first is 1.0."""
    digest: str | Digest
    """SHA-256 of the file's content, in hex, or one that may still be on its way."""
    vendor: str = "unknown"
    scanner: str = ""
    """Maker and model of the scanner in the file's own words, where they say more."""
    reader: str = "unknown"
    """The entry point that opened it."""
    icc_profile: bytes | None = field(default=None, repr=False)
    """Embedded by the scanner; pixels are as stored, before it is applied."""
    stated: Spacing | None = None
    """What the file says, where that can be; ``spacing`` may have been given in its place."""
    scale_doubt: str = ""
    """What the file says of its scale where that cannot be, for people."""
    bounds_origin: tuple[int, int] = (0, 0)
    """x and y of the scanned part's corner, where other programs count from there."""
    image: str = ""
    """Which image was chosen, where the file holds several."""
    dicom: DicomSource | None = None
    """Where it is a DICOM image."""

    def __post_init__(self) -> None:
        """A name that is no text, as file systems allow, is written out: JSON has no such."""
        words = self.slide_id.encode("utf-8", "backslashreplace").decode()
        object.__setattr__(self, "slide_id", words)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the file's content, in hex, so that a result names the bytes it came from.

        Waits where they are still being read for it.  Raises SlideError where that fails.
        """
        return self.digest if isinstance(self.digest, str) else self.digest.whole()

    @property
    def is_hashed(self) -> bool:
        """Whether ``fingerprint`` gives an answer at once."""
        return isinstance(self.digest, str) or self.digest.is_known

    @property
    def was_touched(self) -> bool:
        """See ``Digest.touched``.  Waits."""
        return not isinstance(self.digest, str) and self.digest.touched()

    @property
    def parts(self) -> tuple[str, ...]:
        """SHA-256 of each file, where ``fingerprint`` is of several that may become more.  Waits as
        that does."""
        return () if isinstance(self.digest, str) else self.digest.parts()

    @property
    def log_name(self) -> str:
        """Never waits."""
        return self.fingerprint[:8] if self.is_hashed else "a slide that is still being hashed"

    def known_spacing(self) -> Spacing:
        """The spacing, for code behind the gate that asks for one."""
        if self.spacing is None:
            raise ValueError("this slide has no spacing; its gate was passed by mistake")
        return self.spacing

    def level_for(self, scale: float) -> int:
        """The coarsest level whose pixels are no larger than ``scale`` level-0 pixels.

        An excess of a hundredth is allowed: scanners store 4.0003 where they mean 4.
        """
        return max(i for i, d in enumerate(self.downsamples) if i == 0 or d <= scale * 1.01)


class Codec(StrEnum):
    """How a stored tile is compressed."""

    RAW = "raw"
    JPEG = "jpeg"
    JPEG2000 = "jpeg2000"
    JPEG_LS = "jpeg-ls"
    WEBP = "webp"
    LZW = "lzw"
    DEFLATE = "deflate"
    ZSTD = "zstd"
    PACKBITS = "packbits"
    JPEG_XR = "jpeg-xr"
    JPEG_XL = "jpeg-xl"
    DICOM_RLE = "dicom-rle"


@dataclass(frozen=True, slots=True)
class Encoding:
    """All that is needed to turn a stored tile's bytes into pixels: 8-bit samples, interleaved."""

    codec: Codec
    tile: Size
    """Size of every stored tile, in pixels of its level; those at the edge are padded."""
    channels: int = 3
    """1 is grey, 3 is colour; a fourth is alpha, already multiplied in."""
    differenced: bool = False
    """Each sample is stored as its difference from the pixel to the left (TIFF predictor 2)."""
    ycc: bool = False
    """The samples that the codec yields are full-range YCbCr (never set for JPEG)."""

    def __post_init__(self) -> None:
        if self.channels not in (1, 3, 4):
            raise ValueError(f"a pixel has 1, 3 or 4 samples, got {self.channels}")


@dataclass(frozen=True, slots=True, eq=False)
class TilePlan:
    """Which tiles to read, in reading order."""

    slide: SlideInfo
    spec: TileSpec
    level: int
    """The pyramid level that is read; never coarser than the tiles."""
    read_px: Size
    """What to read at ``level`` for one tile; resized to ``spec.size_px`` after."""
    cells: NDArray[np.int32]
    """(tiles, 2) row and column in the grid."""
    grid: tuple[int, int]
    """Rows and columns."""
    step: Step
    """The distance from one cell to the next."""
    tissue: Mask | None = field(default=None, repr=False)
    """The tissue that the cells were chosen for."""
    unseen: NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 2), np.int32))
    """(tiles, 2): cells with tissue that the run was asked not to look at."""
    limited: str = ""
    """See ``Heatmap.limited``."""

    @property
    def planned(self) -> Mask:
        """(rows, cols) of the grid: every cell with tissue, looked at or not."""
        found = np.zeros(self.grid, np.bool_)
        found[tuple(self.cells.T)] = True
        found[tuple(self.unseen.T)] = True
        return found

    def __len__(self) -> int:
        return len(self.cells)

    def origin(self, tile: int) -> tuple[int, int]:
        """x and y of a tile's corner, in level-0 pixels, rounded to the nearest."""
        x, y = self.corners(tile, tile + 1)
        return int(x[0]), int(y[0])

    def corners(self, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """x and y of the corners of some consecutive tiles; see ``origin``."""
        return self.corners_of(slice(start, stop))

    def corners_of(
        self, tiles: NDArray[np.int64] | slice
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """x and y of the corners of these tiles; see ``origin``."""
        lead = self.spec.lead_px / self.spec.stride_px
        row, col = self.cells[tiles].T.astype(np.float64) - lead
        return (
            np.rint(col * self.step.x).astype(np.int64),
            np.rint(row * self.step.y).astype(np.int64),
        )


@dataclass(frozen=True, slots=True, eq=False)
class TileBatch:
    """Tiles of one slide.  ``pixels`` may be on a device; ``index`` is always in host memory.

    The pixels are yours until you take the next batch.
    """

    slide_id: str
    index: NDArray[np.int64]
    """Positions in the plan."""
    pixels: Pixels
    recolour: Recolour | None = None
    """What still has to be done to the pixels, wherever they are: the runtime's first step."""
    read: tuple[float, float] | None = None
    """From when to when it was read, on ``time.perf_counter()``; ``None`` where that is unknown."""
    decoded_by: str | None = None
    """In a slide's first batch, where its tiles are decoded and why there; ``None`` where there was
    no choice."""

    def __post_init__(self) -> None:
        if len(self.index) != self.pixels.shape[0]:
            raise ValueError(f"{len(self.index)} indices for {self.pixels.shape[0]} tiles")


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """A network's output for some tiles of one slide, always in host memory and yours to keep."""

    slide_id: str
    index: NDArray[np.int64]
    scores: NDArray[np.float32]
    """By the model's task: (tiles, classes); (tiles, classes, height, width) for a segmentation;
    (tiles, objects, 6) for a detection, see ``detections.objects_of``; (tiles, features)."""


@dataclass(frozen=True, slots=True, eq=False)
class VectorChunk:
    """The vectors of some tiles of a slide, and where the tiles lie."""

    index: NDArray[np.int64]
    """(tiles,): positions in the plan."""
    corners: NDArray[np.int64]
    """(tiles, 2): x and y in level-0 pixels."""
    features: NDArray[np.float32]
    """(tiles, features)."""


@dataclass(frozen=True, slots=True, eq=False)
class SlideScores:
    """A model's answer for a slide as a whole."""

    scores: NDArray[np.float32]
    """(classes,) in 0..1."""
    attention: NDArray[np.float32]
    """(tiles,): the weight of each tile, in the network's own unit."""


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """What an overlay draws on the slide besides the heatmap."""

    classes: NDArray[np.uint8] | None = None
    """(rows, cols) over the whole slide: 1 + the class that is most likely there, 0 where not
    assessed."""


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """The objects that a detecting model found on a slide, each once."""

    boxes: NDArray[np.float64]
    """(objects, 4): left, top, right and bottom in level-0 pixels; a point has no extent."""
    scores: NDArray[np.float32]
    """(objects,)."""
    classes: NDArray[np.int64]
    """(objects,): indices into the card's classes."""
    most: int = 0
    """The most objects that can be in one cell of the heatmap that was not seen."""

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def middles(self) -> NDArray[np.float64]:
        """(objects, 2): x and y."""
        return (self.boxes[:, :2] + self.boxes[:, 2:]) / 2

    def only(self, chosen: NDArray[np.bool_]) -> "Objects":
        return Objects(self.boxes[chosen], self.scores[chosen], self.classes[chosen], self.most)


@dataclass(frozen=True, slots=True, eq=False)
class Heatmap:
    """Scores back on the slide's grid: row r, column c covers level-0 pixels that begin at x = c *
    step.x, y = r * step.y."""

    slide: SlideInfo
    model: ModelCard
    scores: Layers
    """(classes, rows, cols) float32; NaN where not assessed."""
    step: Step
    planned: Mask
    """(rows, cols): the cells that were to be assessed."""
    objects: Objects | None = None
    """From a detecting model; its ``scores`` are the highest of each class in a cell."""
    slide_scores: NDArray[np.float32] | None = None
    """(classes,): from a slide classification, once all tiles have passed.  Its ``scores`` are then
    the attention that tiles got, stretched to 0..1 over the slide: not a probability."""
    limited: str = ""
    """How the run was asked to look at less than the tissue that was found, as a clause for
    people; then the slide is never ``standard``."""

    @property
    def of_slide(self) -> bool:
        """The model judges the slide as a whole."""
        return self.model.task is Task.SLIDE_CLASSIFICATION

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the layers of ``scores``."""
        return ("attention",) if self.of_slide else self.model.classes

    @property
    def shown_layer(self) -> int:
        """The number of the layer that is shown to people first."""
        return 0 if self.of_slide else self.model.positive_class

    @property
    def shown(self) -> NDArray[np.float32]:
        """(rows, cols)."""
        return self.scores[self.shown_layer]

    @property
    def assessed(self) -> Mask:
        """(rows, cols): where every class has a score."""
        seen: Mask = np.ones(self.planned.shape, np.bool_)
        for n in range(self.scores.shape[0]):
            for rows in bands(len(seen)):
                seen[rows] &= np.isfinite(self.scores[n, rows])
        return seen

    @property
    def known(self) -> NDArray[np.float32]:
        """(rows, cols), yours: what is ``shown``, NaN where some class has no score."""
        found = np.empty(self.planned.shape, np.float32)
        for rows in bands(len(found)):
            found[rows] = self.known_rows(rows)
        return found

    def known_rows(self, rows: slice) -> NDArray[np.float32]:
        """These rows of ``known``, yours."""
        found = np.array(self.scores[self.shown_layer, rows], np.float32)
        for n in range(self.scores.shape[0]):
            found[~np.isfinite(self.scores[n, rows])] = np.nan
        return found

    @property
    def missed(self) -> Mask:
        """(rows, cols): planned cells without a score."""
        seen = self.assessed
        np.logical_not(seen, out=seen)
        seen &= self.planned
        return seen

    @property
    def coverage(self) -> float:
        """Share of the planned cells that have a score; 0 where nothing was planned."""
        planned = int(self.planned.sum())
        return 1 - int(self.missed.sum()) / planned if planned else 0.0

    @property
    def cell_mm2(self) -> float:
        return self.step.area_mm2(self.slide.known_spacing())
