"""What is said of a model: which tiles it wants, what its scores mean, where it may judge."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from wsi_ai.core.geometry import Spacing, Step

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class MacenkoTarget:
    """Two stains, each a direction in optical density (red, green, blue), and how much of them the
    darkest hundredth of the tissue has.  The default is the reference of Macenko's own code."""

    haematoxylin: Triple = (0.5626, 0.7201, 0.4062)
    eosin: Triple = (0.2159, 0.8012, 0.5581)
    most: tuple[float, float] = (1.9705, 1.0308)


@dataclass(frozen=True, slots=True)
class ReinhardTarget:
    """Means and deviations in CIELAB.  The default is slideflow's: of about 50,000 tiles of 450
    slides of TCGA (its preset v3)."""

    mean: Triple = (65.22132, 28.934267, -14.142519)
    std: Triple = (15.800227, 9.263783, 6.0213304)


StainTarget = MacenkoTarget | ReinhardTarget


class Colour(StrEnum):
    """Which colours a model wants to see."""

    RAW = "raw"
    """As stored."""
    SRGB = "srgb"
    """After the slide's own profile, where it has one."""


class ReadLike(StrEnum):
    """Whose way of reading is followed to the pixel, where that is not our own."""

    NONE = "none"
    WSINFER = "wsinfer"
    """Of WSInfer 0.6: tiles of a whole number of level-0 pixels, side by side from the corner,
    black beyond the slide, and resized as Pillow does it (bilinear, antialiased)."""


class Resampling(StrEnum):
    """How a finer level is brought to a model's scale."""

    AREA = "area"
    """Averaged over what a pixel covers."""
    DCT = "dct"
    """JPEG shrunk by its decoder as far as whole halves go, the rest averaged: faster; 36 dB and
    more from ``AREA``, 30 and more where colours are subsampled.  The same as ``AREA`` for other
    codecs, and where tiles do not lie on the coarser grid."""


@dataclass(frozen=True, slots=True)
class TileSpec:
    """What a model wants to see: square tiles of ``size_px`` at ``mpp`` micrometres per pixel."""

    size_px: int
    mpp: float
    stride_px: int
    color: Colour = Colour.RAW
    lead_px: int = 0
    """So many pixels of a tile lie before its cell, at the left and at the top."""
    parity: ReadLike = ReadLike.NONE
    resampling: Resampling = Resampling.AREA

    def __post_init__(self) -> None:
        if self.size_px < 1 or self.stride_px < 1 or not self.mpp > 0:
            raise ValueError(
                "size_px, stride_px and mpp must be positive,"
                f" got {self.size_px}, {self.stride_px} and {self.mpp}"
            )

    def scale(self, spacing: Spacing) -> Step:
        """Level-0 pixels to one pixel of the tile."""
        return Step(self.mpp / spacing.x_um, self.mpp / spacing.y_um)


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


class Role(StrEnum):
    """What a class stands for."""

    POSITIVE = "positive"
    """What the model looks for."""
    NEGATIVE = "negative"
    """Tissue in which it is not."""
    TISSUE = "tissue"
    """Some kind of tissue, neither for nor against."""
    BACKGROUND = "background"
    """Glass."""
    ARTEFACT = "artefact"
    """Ink, folds, out of focus."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The slides that a model was made for; what is empty the card does not say.  Any other slide
    is not assessed."""

    stains: tuple[str, ...] = ()
    organs: tuple[str, ...] = ()
    specimens: tuple[str, ...] = ()
    scanners: tuple[str, ...] = ()
    mpp: tuple[float, float] | None = None
    """Finest and coarsest, of the slide itself: micrometres per level-0 pixel."""


class Layout(StrEnum):
    NHWC = "nhwc"
    NCHW = "nchw"


class Activation(StrEnum):
    """What is left to do to the network's output."""

    NONE = "none"
    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"


class Tta(StrEnum):
    """Views of a tile that its scores are averaged over."""

    NONE = "none"
    FLIPS = "flips"
    """As it is, mirrored along either axis and along both: four."""
    D4 = "d4"
    """All eight symmetries of the square."""


class Precision(StrEnum):
    """The arithmetic of a network's inside; its scores are float32 whatever it was."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"
    """Of weights that were quantised beforehand: see ``ModelCard.precision``."""


class Form(StrEnum):
    """How a detecting network says where an object is, in pixels of its tile."""

    BOXES_XYXY = "boxes-xyxy"
    """Left, top, right and bottom."""
    BOXES_CXCYWH = "boxes-cxcywh"
    """Middle, width and height."""
    POINTS_XY = "points-xy"


class Scored(StrEnum):
    """What stands behind the place in a detecting network's row."""

    SCORE_CLASS = "score-class"
    """A score and the number of a class."""
    CLASS_SCORES = "class-scores"
    """A score for each class; the highest is the object's."""
    OBJECTNESS_CLASS_SCORES = "objectness-class-scores"
    """The same, each to be multiplied by the first one."""


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """The shape of what a network gives for one tile, beside its classes.  A task uses its own
    fields; see ``scoring.output_shape``."""

    name: str = ""
    """Which output of an ONNX file; the first where it is empty."""
    scale: float = 1.0
    """Segmentation: pixels of the output to one of the tile."""
    margin_px: int = 0
    """Segmentation: along the tile's edges, pixels whose scores would change if more were seen."""
    form: Form = Form.BOXES_XYXY
    scored: Scored = Scored.SCORE_CLASS
    objects: int = 0
    """Detection: rows of the output, so many objects at most in a tile."""
    min_score: float = 0.05
    """Detection: rows that score less are padding."""
    nms_iou: float = 0.5
    """Detection: boxes that share so much of their union are one object."""
    radius_um: float = 0.0
    """Detection: points no farther apart than this are one object."""
    features: int = 0
    """Embedding: length of the vector."""
    storage: Precision = Precision.FP32
    """Embedding: how its numbers are stored, fp32 or fp16."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """How uint8 RGB tiles become the network's input: resized where it takes another size, then
    ``(pixel / 255 - mean) / std``, or as they are where it takes uint8."""

    layout: Layout
    dtype: str
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    tta: Tta = Tta.NONE
    stain: StainTarget | None = None
    """The colours that tiles are given first; ``None`` where they stay as they are."""
    network_px: int | None = None
    """Side of what the network takes, where that is not the tile's: antialiased bilinear, rounded
    to uint8."""
    batch: int | None = None
    """Tiles at once, of a network that takes no other number."""


@dataclass(frozen=True, slots=True)
class RuntimeRequest:
    """Where a model is to run, and how exactly."""

    device: str = "auto"
    """``auto``, ``cpu``, ``openvino``, ``cuda`` or ``cuda:1``."""
    precision: Precision = Precision.FP32
    batch_size: int | None = None
    """Tiles at once, at most; ``None`` is what suits the device."""
    trust_pickle: bool = False
    """Load weights that run code of their author's when they are loaded."""

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
    """One after the other: twice as long."""


@dataclass(frozen=True, slots=True)
class AggregatorRef:
    """Exactly which network makes a slide's score of its tiles' vectors."""

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
    output: OutputSpec = OutputSpec()
    weights: Path = Path()
    format: str = "onnx"
    architecture: str = ""
    """Whose weights they are, where the format does not say: ``torchvision/resnet18``."""
    arguments: tuple[tuple[str, Any], ...] = ()
    """What the architecture is built with beside its defaults, by name."""
    pool: Pool = Pool.NONE
    aggregator: AggregatorRef | None = None
    """The second network of a slide-classification."""
    policy: Path | None = None
    """The triage policy that comes with the model, used where nobody names another."""
    precision: Precision = Precision.FP32
    """INT8 where the weights were quantised; others are cast by the runtime, if at all."""
    original_sha256: str = ""
    """Of the weights that a variant's were made from, which are those that were scored in fp32."""
    tolerance: Tolerance = Tolerance()
    manifest_sha256: str = ""
    intended_use: str = ""
    scope: Scope = Scope()
    roles: tuple[tuple[str, Role], ...] = ()
    """Classes and what they stand for, as far as the card says."""

    @property
    def cell_name(self) -> str:
        """What a cell of its heatmap is called."""
        return "cell" if self.task is Task.SEGMENTATION else "tile"

    @property
    def network_px(self) -> int:
        """Side of what the network takes."""
        return self.input.network_px or self.tile.size_px

    @property
    def gives_vectors(self) -> bool:
        """Whether its network says features of a tile, and no score."""
        return self.task in (Task.EMBEDDING, Task.SLIDE_CLASSIFICATION)

    @property
    def positive_class(self) -> int:
        """Where in the scores the class of the operating point stands."""
        return self.classes.index(self.point.label)


def told_model(card: ModelCard) -> str:
    return f"{card.ref.name}-{card.ref.version}"
