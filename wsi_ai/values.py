"""The nouns of wsi_ai, in the order data meets them, up to the heatmap.  Read this first,
then ``flags``."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wsi_ai.geometry import Size, Spacing, Step

Mask = NDArray[np.bool_]
"""A mask of the whole slide at any resolution: row i covers level-0 rows from
``i * height / rows`` up to ``(i + 1) * height / rows``."""


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
    """``None`` where the file does not say."""
    downsamples: tuple[float, ...]
    """One per pyramid level, as stored; the first is 1.0."""
    fingerprint: str
    """SHA-256 of the file's content, in hex, so that a result names the bytes it came from."""
    vendor: str = "unknown"
    reader: str = "unknown"
    """The entry point that opened it."""
    icc_profile: bytes | None = field(default=None, repr=False)
    """Embedded by the scanner; the pixels are as they were before it is applied."""

    def known_spacing(self) -> Spacing:
        """The spacing, for those who come after the gate that asks for one."""
        if self.spacing is None:
            raise ValueError("this slide has no spacing; its gate was passed by mistake")
        return self.spacing

    def level_for(self, scale: float) -> int:
        """The coarsest level whose pixels are no larger than ``scale`` level-0 pixels.

        A hundredth is forgiven: scanners store 4.0003 where they mean 4.
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
    DICOM_RLE = "dicom-rle"


@dataclass(frozen=True, slots=True)
class Encoding:
    """All that turns a stored tile's bytes into its pixels: 8-bit samples, interleaved."""

    codec: Codec
    tile: Size
    """Of every stored tile, in pixels of its level; those at the rim are filled up."""
    channels: int = 3
    """1 is grey, 3 is colour; a fourth is alpha, already multiplied in."""
    differenced: bool = False
    """Each sample is stored as its difference from the pixel to the left (TIFF predictor 2)."""
    ycc: bool = False
    """The samples that the codec yields are full-range YCbCr (never said of JPEG)."""

    def __post_init__(self) -> None:
        if self.channels not in (1, 3, 4):
            raise ValueError(f"a pixel has 1, 3 or 4 samples, got {self.channels}")


class Colour(StrEnum):
    """Which colours a model wants to see."""

    RAW = "raw"
    """As stored."""
    SRGB = "srgb"
    """After the slide's own profile, where it has one."""


@dataclass(frozen=True, slots=True)
class TileSpec:
    """What a model wants to see: square tiles of ``size_px`` at ``mpp`` micrometres per pixel."""

    size_px: int
    mpp: float
    stride_px: int
    color: Colour = Colour.RAW

    def __post_init__(self) -> None:
        if self.size_px < 1 or self.stride_px < 1 or not self.mpp > 0:
            raise ValueError(
                "size_px, stride_px and mpp must be positive,"
                f" got {self.size_px}, {self.stride_px} and {self.mpp}"
            )

    def scale(self, spacing: Spacing) -> Step:
        """Level-0 pixels to one pixel of the tile."""
        return Step(self.mpp / spacing.x_um, self.mpp / spacing.y_um)


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
    """From one cell to the next."""

    def __len__(self) -> int:
        return len(self.cells)

    def origin(self, tile: int) -> tuple[int, int]:
        """x and y of a tile's corner, in level-0 pixels, rounded to the nearest."""
        x, y = self.corners(tile, tile + 1)
        return int(x[0]), int(y[0])

    def corners(self, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """x and y of the corners of some consecutive tiles; see ``origin``."""
        row, col = self.cells[start:stop].T.astype(np.float64)
        return (
            np.rint(col * self.step.x).astype(np.int64),
            np.rint(row * self.step.y).astype(np.int64),
        )


@dataclass(frozen=True, slots=True, eq=False)
class TileBatch:
    """Tiles of one slide.  ``pixels`` may live on a device; ``index`` never does.

    The pixels are yours until you take the next batch.
    """

    slide_id: str
    index: NDArray[np.int64]
    """Positions in the plan."""
    pixels: Pixels

    def __post_init__(self) -> None:
        if len(self.index) != self.pixels.shape[0]:
            raise ValueError(f"{len(self.index)} indices for {self.pixels.shape[0]} tiles")


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Scores for some tiles of one slide, always in host memory and yours to keep."""

    slide_id: str
    index: NDArray[np.int64]
    scores: NDArray[np.float32]
    """(tiles, classes)."""


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Exactly which model: the digest is that of its weights."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """From which score on a tile counts as positive, and why there."""

    label: str
    threshold: float
    chosen_for: str
    calibrated_on: str

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ValueError(f"the threshold must lie between 0 and 1, got {self.threshold}")


class Task(StrEnum):
    """What a network's output says of its tile."""

    TILE_CLASSIFICATION = "tile-classification"
    """One score a class."""
    SEGMENTATION = "segmentation"
    """One score a class for each pixel of the output."""
    DETECTION = "detection"
    """Objects: where, of which class, how sure."""
    EMBEDDING = "embedding"
    """A vector of features, and no score."""
    SLIDE_CLASSIFICATION = "slide-classification"
    """A vector of features; a second network makes one score a class of all of them."""


class Layout(StrEnum):
    NHWC = "nhwc"
    NCHW = "nchw"


class Activation(StrEnum):
    """What is left to do to the network's output."""

    NONE = "none"
    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"


@dataclass(frozen=True, slots=True)
class InputSpec:
    """How uint8 RGB tiles become the network's input: resized where it takes another size, then
    ``(pixel / 255 - mean) / std``, or as they are where it takes uint8."""

    layout: Layout
    dtype: str
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    network_px: int | None = None
    """Side of what the network takes, where that is not the tile's: antialiased bilinear, rounded
    to uint8."""


class Precision(StrEnum):
    """The arithmetic of a network's inside; its scores are float32 whatever it was."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"
    """Of weights that were quantised beforehand: see ``ModelCard.precision``."""


@dataclass(frozen=True, slots=True)
class RuntimeRequest:
    """Where a model is to run, and how exactly."""

    device: str = "auto"
    """``auto``, ``cpu``, ``openvino``, ``cuda`` or ``cuda:1``."""
    precision: Precision = Precision.FP32
    batch_size: int | None = None
    """Tiles at once, at most; ``None`` is what suits the device."""

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a score may lie from the golden one, by precision."""

    fp32: float = 1e-4
    fp16: float = 0.01
    bf16: float = 0.05
    int8: float = 0.1

    def of(self, precision: Precision) -> float:
        allowed = {
            Precision.FP32: self.fp32,
            Precision.FP16: self.fp16,
            Precision.BF16: self.bf16,
            Precision.INT8: self.int8,
        }
        return allowed[precision]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model: what it is, what it wants to see, and what its scores mean."""

    ref: ModelRef
    tile: TileSpec
    classes: tuple[str, ...]
    point: OperatingPoint
    task: Task = Task.TILE_CLASSIFICATION
    mpp_tolerance: float = 0.1
    """How much coarser than ``tile.mpp`` a slide may be, as a share of it."""
    input: InputSpec = InputSpec(Layout.NHWC, "uint8")
    activation: Activation = Activation.NONE
    weights: Path = Path()
    format: str = "onnx"
    architecture: str = ""
    """Whose weights they are, where the format does not say: ``torchvision/resnet18``."""
    precision: Precision = Precision.FP32
    """INT8 where the weights were quantised; others are cast by the runtime, if at all."""
    original_sha256: str = ""
    """Of the weights that a variant's were made from, which are those that were scored in fp32."""
    tolerance: Tolerance = Tolerance()
    manifest_sha256: str = ""
    intended_use: str = ""
    stain: str | None = None
    """The only one that it may judge; ``None`` where the card does not say."""

    @property
    def network_px(self) -> int:
        """Side of what the network takes."""
        return self.input.network_px or self.tile.size_px

    @property
    def positive_class(self) -> int:
        """Where in the scores the class of the operating point stands."""
        return self.classes.index(self.point.label)


@dataclass(frozen=True, slots=True, eq=False)
class Heatmap:
    """Scores back on the slide's grid: row r, column c covers level-0 pixels from c * step.x,
    r * step.y on."""

    slide: SlideInfo
    model: ModelCard
    scores: NDArray[np.float32]
    """(classes, rows, cols); NaN where not assessed."""
    step: Step
    planned: Mask
    """(rows, cols): which cells were meant to be assessed."""

    @property
    def assessed(self) -> Mask:
        """(rows, cols): where every class has a score."""
        seen: Mask = np.logical_and.reduce(np.isfinite(self.scores), axis=0)
        return seen

    @property
    def missed(self) -> Mask:
        """(rows, cols): planned cells without a score."""
        return self.planned & ~self.assessed

    @property
    def coverage(self) -> float:
        """Share of the planned cells that have a score; 0 where nothing was planned."""
        planned = int(self.planned.sum())
        return 1 - int(self.missed.sum()) / planned if planned else 0.0

    @property
    def cell_mm2(self) -> float:
        return self.step.area_mm2(self.slide.known_spacing())
