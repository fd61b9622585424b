"""Options as the fields of a class: a command with many takes them as one value."""

import dataclasses
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from wsi_ai.core.quiet import QUIET_S

if TYPE_CHECKING:
    from wsi_ai.tiles.extent import Extent

Command = Callable[..., None]


def finite(value: float | None) -> float | None:
    """``nan`` is within every range, for it compares as false with both ends."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no number to reckon with")
    return value


def share(value: float | None) -> float | None:
    """Above 0 and below 1."""
    if value is not None and not 0 < value < 1:
        raise typer.BadParameter(f"{value} is not above 0 and below 1")
    return value


Mpp = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        max=100,
        callback=finite,
        help="Micrometres per pixel, where a slide does not say.",
    ),
]
OverrideMpp = Annotated[
    bool, typer.Option("--override-mpp", help="Take --mpp though the slides say another.")
]
ImageChoice = Annotated[
    str, typer.Option(metavar="N|NAME", help="Which image, where a slide's file holds several.")
]
ReaderIoChoice = Annotated[
    Literal["staging", "ranges"],
    typer.Option(
        help="Slides in S3 or behind HTTPS: copied to a disk first, or read where they lie."
    ),
]
TrustPickle = Annotated[
    bool,
    typer.Option(
        "--trust-pickle", help="Load pickled weights, which run whatever code their author put in."
    ),
]
LogFile = Annotated[Path | None, typer.Option(help="Also write the log here; it is appended to.")]
LogFormat = Annotated[
    Literal["text", "json"], typer.Option(help="Of log entries, each of which is one line.")
]
Positive = Annotated[str | None, typer.Option(help="The class that a slide is expedited for.")]
Threshold = Annotated[
    float | None, typer.Option(callback=finite, help="The score from which a tile counts.")
]

NewThreshold = Annotated[
    float | None,
    typer.Option(callback=share, help="The score from which a tile counts, above 0 and below 1."),
]


def takes(options: type[Any], parameter: str = "arguments") -> Callable[[Command], Command]:
    """For a command whose ``parameter`` is of the dataclass ``options``.

    Its command line gets an option for each field."""

    def take(command: Command) -> Command:
        own = [
            one for name, one in inspect.signature(command).parameters.items() if name != parameter
        ]
        hints = get_type_hints(options, include_extras=True)
        named = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=hints[field.name],
            )
            for field in dataclasses.fields(options)
        ]

        @wraps(command)
        def call(**given: Any) -> None:
            values = {one.name: given.pop(one.name) for one in named}
            command(**given, **{parameter: options(**values)})

        call.__signature__ = inspect.Signature([*own, *named])  # type: ignore[attr-defined]
        return call

    return take


@dataclass(frozen=True, slots=True)
class LookArguments:
    """What is looked at, and how fast: of ``run`` and of ``embed``."""

    region: Annotated[
        Path | None,
        typer.Option(help="Look inside these regions only: GeoJSON of QuPath, or a folder of it."),
    ] = None
    exclude_region: Annotated[
        Path | None, typer.Option(help="Look outside these regions only.")
    ] = None
    tissue: Annotated[
        Path | None, typer.Option(help="Where tissue is: a mask as .png, .geojson, or a folder.")
    ] = None
    min_tissue: Annotated[
        float,
        typer.Option(min=0, max=1, callback=finite, help="Least share of tissue in a tile."),
    ] = 0.0
    stride: Annotated[
        int | None, typer.Option(min=1, help="Pixels from tile to tile, at the model's scale.")
    ] = None
    batch_size: Annotated[
        int | None, typer.Option(min=1, max=4096, help="Most tiles at once; default: the device's.")
    ] = None
    threads: Annotated[
        int | None, typer.Option(min=1, max=4096, help="That read tiles; default: all processors.")
    ] = None
    cluster: Annotated[
        str,
        typer.Option(
            metavar="tls://HOST:PORT|local:N|MODULE:FACTORY",
            help="Run on a Dask cluster's workers: docs/scaling.md.",
        ),
    ] = ""

    def extent(self) -> "Extent | None":
        """``None`` where all tissue is looked at, as the model's card has it."""
        from wsi_ai.tiles.extent import Extent

        asked = Extent(self.region, self.exclude_region, self.tissue, self.min_tissue, self.stride)
        return None if asked == Extent() else asked


@dataclass(frozen=True, slots=True)
class RunArguments(LookArguments):
    """Of ``wsi-ai run``."""

    save_tissue: Annotated[
        bool, typer.Option("--save-tissue", help="Write the tissue that was found as tissue.png.")
    ] = False

    mpp: Mpp = None
    device: Annotated[
        str,
        typer.Option(
            help="auto, cpu, openvino; cuda is every one there is, cuda:1 or cuda:0,cuda:2 some."
        ),
    ] = "auto"
    precision: Annotated[
        Literal["fp32", "fp16", "bf16", "int8"],
        typer.Option(help="Where the device has it; int8: after wsi-ai models optimize."),
    ] = "fp32"
    policy: Annotated[
        Path | None,
        typer.Option(
            help="Triage policy in TOML, in place of the model's own or configs/area.toml."
        ),
    ] = None
    reader: Annotated[
        str | None, typer.Option(help="Read with this one: tiff, dicom, zarr, openslide, …")
    ] = None
    reader_io: ReaderIoChoice = "staging"
    force: Annotated[bool, typer.Option(help="Run anew what is done already.")] = False
    override_mpp: OverrideMpp = False
    image: ImageChoice = ""
    amend: Annotated[
        bool, typer.Option("--amend", help="Send also what takes back a level that was sent.")
    ] = False
    rescan: Annotated[
        bool, typer.Option("--rescan", help="The slides are new scans of glasses known before.")
    ] = False
    quiet_s: Annotated[
        float,
        typer.Option(min=0, max=3600, help="In folders, a file is judged once it is left alone."),
    ] = QUIET_S
    cases: Annotated[
        Path | None, typer.Option(help="Whose slides they are: .csv, .json or .toml.")
    ] = None
    send: Annotated[
        list[str] | None,
        typer.Option(metavar="TOML|URL|TRUST=URL", help="Where flags go; several at once."),
    ] = None
    outbox: Annotated[
        str | None, typer.Option(metavar="DB", help="Where flags wait; by default OUT/outbox.db.")
    ] = None
    trusted_keys: Annotated[
        Path | None, typer.Option(help="Run only models signed by this key, or one of this folder.")
    ] = None
    trust_pickle: TrustPickle = False
    no_report: Annotated[
        bool, typer.Option("--no-report", help="No report.html, index.html and contact sheet.")
    ] = False
    pdf: Annotated[bool, typer.Option("--pdf", help="Each report as PDF, too.")] = False
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="Write this too: parquet; wsinfer, WSInfer's CSV; tissue; dicom, heatmap and"
            " hotspots of DICOM slides.",
        ),
    ] = None
    verbose: Annotated[bool, typer.Option(help="Say more on standard error.")] = False
    log_file: LogFile = None
    log_format: LogFormat = "text"


@dataclass(frozen=True, slots=True)
class EmbedArguments(LookArguments):
    """Of ``wsi-ai embed``."""

    h5: Annotated[bool, typer.Option("--h5", help="Also as HDF5, as CLAM and TRIDENT.")] = False
    mpp: Mpp = None
    device: Annotated[
        str,
        typer.Option(
            help="auto, cpu, openvino; cuda is every one there is, cuda:1 or cuda:0,cuda:2 some."
        ),
    ] = "auto"
    precision: Annotated[
        Literal["fp32", "fp16", "bf16"], typer.Option(help="Where the device has it.")
    ] = "fp32"
    reader: Annotated[str | None, typer.Option(help="Read with this one.")] = None
    reader_io: ReaderIoChoice = "staging"
    force: Annotated[bool, typer.Option(help="Run anew what is done already.")] = False
    override_mpp: OverrideMpp = False
    image: ImageChoice = ""
    verbose: Annotated[bool, typer.Option(help="Say more on standard error.")] = False
    log_file: LogFile = None
    log_format: LogFormat = "text"


@dataclass(frozen=True, slots=True)
class DrawArguments:
    """Of ``wsi-ai demo-slide``."""

    size: Annotated[int, typer.Option(help="Width and height, pixels.")] = 8192
    seed: Annotated[int, typer.Option(help="Another seed, another slide.")] = 1
    tumour: Annotated[bool, typer.Option("--tumour", help="With a tumour.")] = False
    pen: Annotated[bool, typer.Option("--pen", help="With a pen stroke.")] = False
    blur: Annotated[bool, typer.Option("--blur", help="With an area out of focus.")] = False
    mpp: Annotated[float, typer.Option(callback=finite, help="Micrometres per pixel.")] = 0.5


@dataclass(frozen=True, slots=True)
class CardArguments:
    """Of ``wsi-ai models init``: what goes into the card."""

    mpp: Annotated[
        float | None, typer.Option(callback=finite, help="Micrometres per pixel of its tiles.")
    ] = None
    size: Annotated[int | None, typer.Option(help="Side of its tiles, pixels.")] = None
    classes: Annotated[str | None, typer.Option(help="Names, with commas.")] = None
    positive: Positive = None
    threshold: Threshold = None
    trial: Annotated[
        bool,
        typer.Option(
            "--trial", help="Leave out the card's texts: to look at results, never to send flags."
        ),
    ] = False

    def fields(self) -> dict[str, Any]:
        """Of the card, by dotted name; ``None`` where nothing was given."""
        return {
            "input.mpp": self.mpp,
            "input.size_px": self.size,
            "output.classes": self.classes,
            "operating_point.class": self.positive,
            "operating_point.threshold": self.threshold,
        }
