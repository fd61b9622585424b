"""``wsi-ai``: commands for people.  A command's own imports happen when it is called."""

from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import typer

from wsi_ai.cli import delivery, model_store

app = typer.Typer(
    name="wsi-ai",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="AI on whole-slide images: tiles in, heatmaps and triage flags out."
    "  Research use only. Not for primary diagnosis.",
)


def main() -> None:
    """The console script."""
    app()


def _show_version(asked: bool) -> None:
    if asked:
        print(f"wsi-ai {version('wsi-ai')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say it.")
    ] = False,
) -> None: ...


@app.command()
def run(
    slides: Annotated[
        list[Path],
        typer.Argument(
            metavar="SLIDES...", help="Slides; folders of them; a .csv or .txt that lists them."
        ),
    ],
    model: Annotated[
        list[Path],
        typer.Option(
            help="Folder with model.toml and weights, or NAME[@VERSION] in the store;"
            " several at once."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Where results go; a folder per slide and model.")],
    mpp: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=100, help="Micrometres per pixel, in place of what the slides say."
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            help="auto, cpu, openvino; cuda is every one there is, cuda:1 or cuda:0,cuda:2 some."
        ),
    ] = "auto",
    precision: Annotated[
        Literal["fp32", "fp16", "bf16", "int8"],
        typer.Option(help="Where the device has it; int8: after wsi-ai models optimize."),
    ] = "fp32",
    policy: Annotated[
        Path | None, typer.Option(help="Triage policy in TOML, as configs/area.toml.")
    ] = None,
    reader: Annotated[
        str | None, typer.Option(help="Read with this one: tiff, dicom, zarr, openslide, …")
    ] = None,
    force: Annotated[bool, typer.Option(help="Run anew what is done already.")] = False,
    cases: Annotated[
        Path | None, typer.Option(help="Whose slides they are: .csv, .json or .toml.")
    ] = None,
    send: Annotated[
        list[str] | None,
        typer.Option(metavar="TOML|URL|TRUST=URL", help="Where flags go; several at once."),
    ] = None,
    outbox: Annotated[
        str | None, typer.Option(metavar="DB", help="Where flags wait; by default OUT/outbox.db.")
    ] = None,
    trusted_keys: model_store.TrustedKeys = None,
    trust_pickle: model_store.TrustPickle = False,
    also: model_store.Formats = None,
    verbose: Annotated[bool, typer.Option(help="Say more on standard error.")] = False,
) -> None:
    """Slides in; a heatmap, a picture and a flag each out.

    Exit status: 0 every slide was assessed; 1 at least one was not, the others are complete;
    2 the command, the model or the policy is wrong.
    """
    command = import_module("wsi_ai.cli.run")
    options = command.RunOptions(
        mpp,
        device,
        policy,
        force,
        reader,
        command.Precision(precision),
        cases,
        trust_pickle,
        trusted_keys,
        tuple(also or ()),
    )
    sending = command.Sending(send or [], outbox or str(out / "outbox.db"))
    raise typer.Exit(command.run(slides, model, out, options, sending, verbose))


@app.command()
def embed(
    slides: Annotated[list[Path], typer.Argument(metavar="SLIDE...", help="Slide files.")],
    model: Annotated[
        list[Path],
        typer.Option(
            help="Folder with the model.toml of an encoder, or NAME[@VERSION]; several at once."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Where results go; a folder per slide and model.")],
    h5: Annotated[bool, typer.Option("--h5", help="Also as HDF5, as CLAM and TRIDENT.")] = False,
    mpp: Annotated[
        float | None, typer.Option(min=0.01, max=100, help="Micrometres per pixel.")
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, openvino, cuda, or cuda:1 and so on.")
    ] = "auto",
    precision: Annotated[
        Literal["fp32", "fp16", "bf16"], typer.Option(help="Where the device has it.")
    ] = "fp32",
    reader: Annotated[str | None, typer.Option(help="Read with this one.")] = None,
    force: Annotated[bool, typer.Option(help="Run anew what is done already.")] = False,
    verbose: Annotated[bool, typer.Option(help="Say more on standard error.")] = False,
) -> None:
    """A vector of features for each tile, as Zarr, and a picture of them; no flag.

    Exit status: 0 every slide was embedded; 1 at least one was not; 2 the command or the model is
    wrong.
    """
    command = import_module("wsi_ai.cli.embed")
    exact = command.Precision(precision)
    options = command.RunOptions(mpp, device, force=force, reader=reader, precision=exact)
    raise typer.Exit(command.embed(slides, model, out, options, hdf5=h5, verbose=verbose))


@app.command()
def compare_readers(
    slide: Annotated[Path, typer.Argument(metavar="SLIDE", help="A slide file.")],
    model: Annotated[Path, typer.Option(help="Folder with model.toml and weights.")],
    readers: Annotated[
        tuple[str, str], typer.Option(help="Two readers; auto is what the content chooses.")
    ] = ("auto", "openslide"),
    mpp: Annotated[
        float | None, typer.Option(min=0.01, max=100, help="Micrometres per pixel.")
    ] = None,
) -> None:
    """Read one plan through two readers: do the pixels differ, and does the flag?

    Exit status: 0 the flag is the same; 1 it is not; 2 the slide cannot be compared.
    """
    command = import_module("wsi_ai.cli.compare_readers")
    raise typer.Exit(command.compare(slide, model, readers, mpp))


@app.command()
def timeline(
    run: Annotated[Path, typer.Argument(metavar="OUT", help="Of a run; or OUT/runs/….json.")],
    to: Annotated[
        Path | None, typer.Option(help="The picture; by default beside the run's record.")
    ] = None,
) -> None:
    """Draw the last run's stages over time, as a PNG."""
    raise typer.Exit(import_module("wsi_ai.cli.timeline").timeline(run, to))


@app.command()
def demo_slide(
    out: Annotated[Path, typer.Argument(metavar="OUT.svs", help="The slide to write.")],
    size: Annotated[int, typer.Option(help="Width and height, pixels.")] = 8192,
    seed: Annotated[int, typer.Option(help="Another seed, another slide.")] = 1,
    tumour: Annotated[bool, typer.Option("--tumour", help="With a tumour.")] = False,
    pen: Annotated[bool, typer.Option("--pen", help="With a pen stroke.")] = False,
    blur: Annotated[bool, typer.Option("--blur", help="With an area out of focus.")] = False,
    mpp: Annotated[float, typer.Option(help="Micrometres per pixel.")] = 0.5,
) -> None:
    """Draw a synthetic H&E slide, and the truth about it as GeoJSON beside it."""
    command = import_module("wsi_ai.cli.demo_slide")
    marks = {"tumour": tumour, "pen": pen, "blur": blur}
    raise typer.Exit(command.draw(out, size, seed, mpp, marks))


_models = typer.Typer(no_args_is_help=True, help="Look after models.")
app.add_typer(_models, name="models")


@_models.command()
def verify(
    model: Annotated[Path, typer.Argument(help="Folder with model.toml, or NAME[@VERSION].")],
    key: Annotated[
        Path | None, typer.Option(help="Public key (PEM) that must have signed it, or a folder.")
    ] = None,
) -> None:
    """Hold every runtime and precision here to the model's golden scores; with --key, and where
    the site asks for it, the model's files to their signature first.

    Exit status: 0 all that run are accepted; 1 one is refused, or none runs; 2 the model is wrong.
    """
    raise typer.Exit(import_module("wsi_ai.cli.models").check(model, key))


@_models.command()
def golden(
    model: Annotated[Path, typer.Argument(help="Folder with model.toml.")],
    slides: Annotated[list[Path], typer.Argument(metavar="SLIDE...", help="To take tiles from.")],
    count: Annotated[int, typer.Option(min=2, max=256, help="How many tiles.")] = 16,
) -> None:
    """Store tiles of slides, and their fp32 scores, with a model: the author's job, once."""
    raise typer.Exit(import_module("wsi_ai.cli.models").golden(model, slides, count))


@_models.command()
def optimize(
    model: Annotated[Path, typer.Argument(help="Folder with model.toml.")],
    calibrate: Annotated[
        list[Path],
        typer.Option(metavar="SLIDE", help="Real slides of its kind; say it once for each."),
    ],
    precision: Annotated[Literal["int8"], typer.Option(help="Of the weights to make.")] = "int8",
) -> None:
    """Quantise a model's ONNX weights, and keep them beside the others if no golden flag changes.

    Exit status: 0 kept, for wsi-ai run --precision int8; 1 refused, nothing was changed; 2 the
    model or a slide is wrong.
    """
    raise typer.Exit(import_module("wsi_ai.cli.models").optimize(model, calibrate))


model_store.add_to(_models)
delivery.add_to(app)
