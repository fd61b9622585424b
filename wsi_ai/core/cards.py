"""A model's card: which tiles the model wants, what its scores mean, where it may judge."""

import math
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from wsi_ai.core.geometry import Spacing, Step

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class MacenkoTarget:
    """Two stains, each a direction in optical density (red, green, blue), and how much of each the
    darkest hundredth of the tissue has.  The default is the reference of Macenko's own code."""

    haematoxylin: Triple = (0.5626, 0.7201, 0.4062)
    eosin: Triple = (0.2159, 0.8012, 0.5581)
    most: tuple[float, float] = (1.9705, 1.0308)


@dataclass(frozen=True, slots=True)
class ReinhardTarget:
    """Means and standard deviations in CIELAB.  The default is slideflow's: from about 50,000 tiles
    of 450 slides of TCGA (its preset v3)."""

    mean: Triple = (65.22132, 28.934267, -14.142519)
    std: Triple = (15.800227, 9.263783, 6.0213304)


StainTarget = MacenkoTarget | ReinhardTarget


class Colour(StrEnum):
    """Which colours a model wants to see."""

    RAW = "raw"
    """As stored."""
    SRGB = "srgb"
    """After the slide's own colour profile is applied, where it has one."""


class ReadLike(StrEnum):
    """Another program whose way of reading tiles is copied to the pixel."""

    NONE = "none"
    WSINFER = "wsinfer"
    """WSInfer 0.6: tiles of a whole number of level-0 pixels, side by side from the corner, black
    beyond the slide, and resized as Pillow does it (bilinear, antialiased)."""


class Resampling(StrEnum):
    """How a finer level is brought to a model's scale."""

    AREA = "area"
    """The average over the area that a pixel covers."""
    DCT = "dct"
    """The JPEG decoder halves the tile as often as it can, and the rest is averaged: faster; at
    least 36 dB from ``AREA``, at least 30 where colours are subsampled.  The same as ``AREA`` for
    other codecs, and where tiles do not lie on the coarser grid."""


@dataclass(frozen=True, slots=True)
class TileSpec:
    """What a model wants to see: square tiles of ``size_px`` at ``mpp`` micrometres per pixel."""

    size_px: int
    mpp: float
    stride_px: int
    color: Colour = Colour.RAW
    lead_px: int = 0
    """Number of pixels of a tile that lie before its cell, at the left and at the top."""
    parity: ReadLike = ReadLike.NONE
    resampling: Resampling = Resampling.AREA

    def __post_init__(self) -> None:
        if self.size_px < 1 or self.stride_px < 1 or not 0 < self.mpp < math.inf:
            raise ValueError(
                "size_px, stride_px and mpp must be positive,"
                f" got {self.size_px}, {self.stride_px} and {self.mpp}"
            )

    def scale(self, spacing: Spacing) -> Step:
        """Number of level-0 pixels along one pixel of the tile."""
        return Step(self.mpp / spacing.x_um, self.mpp / spacing.y_um)


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Identifies one model exactly: the digest is that of its weights."""

    name: str
    version: str
    sha256: str

    @property
    def label(self) -> str:
        """What its folders are called, and how people call it."""
        return f"{self.name}-{self.version}"


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The score from which a tile counts as positive, and why it was chosen."""

    label: str
    threshold: float
    chosen_for: str
    calibrated_on: str

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ValueError(f"the threshold must lie between 0 and 1, got {self.threshold}")


class Task(StrEnum):
    """What a network's output means for its tile."""

    TILE_CLASSIFICATION = "tile-classification"
    """One score for each class."""
    SEGMENTATION = "segmentation"
    """One score for each class, for each pixel of the output."""
    DETECTION = "detection"
    """Objects: where each is, its class, and its score."""
    EMBEDDING = "embedding"
    """A vector of features, and no score."""
    SLIDE_CLASSIFICATION = "slide-classification"
    """A vector of features; a second network turns all vectors into one score for each class."""


class Role(StrEnum):
    """What a class means."""

    POSITIVE = "positive"
    """What the model looks for."""
    NEGATIVE = "negative"
    """Tissue without it."""
    TISSUE = "tissue"
    """Some kind of tissue; counts neither for nor against."""
    BACKGROUND = "background"
    """Glass."""
    ARTEFACT = "artefact"
    """Ink, folds, out of focus."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The slides that a model was made for; an empty field means that the card does not say.  Any
    other slide is not assessed."""

    stains: tuple[str, ...] = ()
    organs: tuple[str, ...] = ()
    specimens: tuple[str, ...] = ()
    scanners: tuple[str, ...] = ()
    mpp: tuple[float, float] | None = None
    """The finest and the coarsest spacing of the slide itself: micrometres per level-0 pixel."""


class Layout(StrEnum):
    NHWC = "nhwc"
    NCHW = "nchw"


class Activation(StrEnum):
    """What still has to be applied to the network's output."""

    NONE = "none"
    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"


class Tta(StrEnum):
    """The views of a tile over which its scores are averaged."""

    NONE = "none"
    FLIPS = "flips"
    """Four: as it is, mirrored along either axis, and along both."""
    D4 = "d4"
    """All eight symmetries of the square."""


class Precision(StrEnum):
    """The number format in which a network computes; its scores are float32 in any case."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"
    """For weights that were quantised beforehand: see ``ModelCard.precision``."""


class Form(StrEnum):
    """How a detecting network says where an object is, in pixels of its tile."""

    BOXES_XYXY = "boxes-xyxy"
    """Left, top, right and bottom."""
    BOXES_CXCYWH = "boxes-cxcywh"
    """Centre, width and height."""
    POINTS_XY = "points-xy"


class Scored(StrEnum):
    """Which numbers follow the place in a row of a detecting network's output."""

    SCORE_CLASS = "score-class"
    """A score and the number of a class."""
    CLASS_SCORES = "class-scores"
    """A score for each class; the highest is the object's."""
    OBJECTNESS_CLASS_SCORES = "objectness-class-scores"
    """The same, each to be multiplied by the number before them."""


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """The shape of a network's output for one tile, apart from its classes.  A task uses its own
    fields; see ``scoring.output_shape``."""

    name: str = ""
    """Name of the output in an ONNX file; the first output where it is empty."""
    scale: float = 1.0
    """Segmentation: number of output pixels for each pixel of the tile, along one side."""
    margin_px: int = 0
    """Segmentation: width of the border of a tile in which scores would change if the network saw
    more around it."""
    form: Form = Form.BOXES_XYXY
    scored: Scored = Scored.SCORE_CLASS
    objects: int = 0
    """Detection: number of rows of the output, and so the most objects in a tile."""
    min_score: float = 0.05
    """Detection: rows with a lower score are padding."""
    nms_iou: float = 0.5
    """Detection: boxes that share at least this part of their union are one object."""
    radius_um: float = 0.0
    """Detection: points no farther apart than this are one object."""
    features: int = 0
    """Embedding: length of the vector."""
    storage: Precision = Precision.FP32
    """Embedding: how its numbers are stored, fp32 or fp16."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """How uint8 RGB tiles become the network's input: resized where it takes another size, then
    ``(pixel / 255 - mean) / std``; or as they are where it takes uint8."""

    layout: Layout
    dtype: str
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    tta: Tta = Tta.NONE
    stain: StainTarget | None = None
    """The colours that tiles are normalised to first; ``None`` where they stay as they are."""
    network_px: int | None = None
    """Side of the network's input, where that differs from the tile's: antialiased bilinear,
    rounded to uint8."""
    batch: int | None = None
    """Number of tiles in a batch, for a network that takes no other number."""


@dataclass(frozen=True, slots=True)
class RuntimeRequest:
    """Where and how a model is to run."""

    device: str = "auto"
    """``auto``, ``cpu``, ``openvino``, ``cuda`` or ``cuda:1``."""
    precision: Precision = Precision.FP32
    batch_size: int | None = None
    """The most tiles in a batch; ``None`` is what suits the device."""
    trust_pickle: bool = False
    """Load weights that run their author's code when they are loaded."""

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")


class Pool(StrEnum):
    """How a named architecture's tokens (tiles, tokens, features) become one vector a tile."""

    NONE = "none"
    """It gives a vector by itself."""
    FIRST = "first"
    """The class token."""
    MEAN = "mean"
    """The mean of the patches' tokens."""
    FIRST_AND_MEAN = "first-and-mean"
    """Both, one after the other: twice as long."""


@dataclass(frozen=True, slots=True)
class AggregatorRef:
    """Identifies the network that turns the vectors of a slide's tiles into its score."""

    weights: Path
    format: str
    sha256: str


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


CARD_INCOMPLETE = "card incomplete: not for a trial"
"""Shown with every result of such a model."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model: what it is, what it wants to see, and what its scores mean."""

    ref: ModelRef
    tile: TileSpec
    classes: tuple[str, ...]
    point: OperatingPoint
    task: Task = Task.TILE_CLASSIFICATION
    mpp_tolerance: float = 0.1
    """How much coarser than ``tile.mpp`` a slide may be, as a fraction of it."""
    input: InputSpec = InputSpec(Layout.NHWC, "uint8")
    activation: Activation = Activation.NONE
    output: OutputSpec = OutputSpec()
    weights: Path = Path()
    format: str = "onnx"
    architecture: str = ""
    """The architecture that the weights belong to, where the format does not say:
    ``torchvision/resnet18``."""
    arguments: tuple[tuple[str, Any], ...] = ()
    """The architecture's arguments that are not its defaults, by name."""
    pool: Pool = Pool.NONE
    aggregator: AggregatorRef | None = None
    """The second network of a slide-classification."""
    policy: Path | None = None
    """The triage policy that comes with the model, used where nobody names another."""
    policy_sha256: str = ""
    """Of that file as it was approved."""
    precision: Precision = Precision.FP32
    """INT8 where the weights were quantised; other weights are cast by the runtime, if at all."""
    original_sha256: str = ""
    """For a variant: the digest of the weights that it was made from, whose fp32 scores are the
    golden ones."""
    tolerance: Tolerance = Tolerance()
    manifest_sha256: str = ""
    golden_sha256: str = ""
    """Of the golden scores that stood beside the card when it was read; empty where there were
    none."""
    intended_use: str = ""
    scope: Scope = Scope()
    incomplete: bool = False
    """Whether its texts were left out for a first try: then every result says so, and no flag is
    sent."""
    roles: tuple[tuple[str, Role], ...] = ()
    """What classes mean, as far as the card says."""

    def __post_init__(self) -> None:
        if not 0 <= self.mpp_tolerance <= 1:
            raise ValueError(f"mpp_tolerance must lie in [0, 1], got {self.mpp_tolerance}")

    @property
    def cell_name(self) -> str:
        """What a cell of its heatmap is called."""
        return "cell" if self.task is Task.SEGMENTATION else "tile"

    @property
    def network_px(self) -> int:
        """Side of the network's input."""
        return self.input.network_px or self.tile.size_px

    @property
    def gives_vectors(self) -> bool:
        """Whether its network gives a vector of features for a tile, and no score."""
        return self.task in (Task.EMBEDDING, Task.SLIDE_CLASSIFICATION)

    @property
    def positive_class(self) -> int:
        """The index of the operating point's class in the scores."""
        return self.classes.index(self.point.label)
