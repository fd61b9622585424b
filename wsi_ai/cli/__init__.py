"""``wsi-ai``: commands for people.  A command's own imports happen when it is called."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from wsi_ai.cli import service
from wsi_ai.cli.commands import access, bench, database, delivery, viewing
from wsi_ai.cli.commands import models as model_store
from wsi_ai.cli.commands import trial as trials
from wsi_ai.cli.commands.options import (
    DrawArguments,
    EmbedArguments,
    ImageChoice,
    Mpp,
    NewThreshold,
    OverrideMpp,
    RunArguments,
    takes,
)
from wsi_ai.cli.loading import without_collecting
from wsi_ai.cli.output import say
from wsi_ai.core.parent import end_with_parent

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
    end_with_parent()
    app()


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        say(f"wsi-ai {version('wsi-ai')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None: ...


@app.command()
@takes(RunArguments)
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
    arguments: RunArguments,
) -> None:
    """Slides in; a heatmap, a picture and a flag each out.

    Exit status: 0 all assessed and sent; 1 some not assessed, the others are complete; 2 the
    command, a model, the policy or the device is wrong, nothing ran; 3 all assessed, a flag waits
    or was held back or refused; 4 some not judged here.
    """
    with without_collecting():
        from wsi_ai.cli.run import run

    raise typer.Exit(run(slides, model, out, arguments))


@app.command()
@takes(EmbedArguments)
def embed(
    slides: Annotated[
        list[Path],
        typer.Argument(
            metavar="SLIDES...", help="Slides; folders of them; a .csv or .txt that lists them."
        ),
    ],
    model: Annotated[
        list[Path],
        typer.Option(
            help="Folder with the model.toml of an encoder, or NAME[@VERSION]; several at once."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Where results go; a folder per slide and model.")],
    arguments: EmbedArguments,
) -> None:
    """A vector of features for each tile, as Zarr, and a picture of them; no flag.

    Exit status: 0 every slide was embedded; 1 at least one was not; 2 the command or the model is
    wrong.
    """
    with without_collecting():
        from wsi_ai.cli.embed import embed

    raise typer.Exit(embed(slides, model, out, arguments))


@app.command()
def compare_readers(
    slide: Annotated[Path, typer.Argument(metavar="SLIDE", help="A slide file.")],
    model: Annotated[Path, typer.Option(help="Folder with model.toml and weights.")],
    readers: Annotated[
        tuple[str, str], typer.Option(help="Two readers; auto is what the content chooses.")
    ] = ("auto", "openslide"),
    mpp: Mpp = None,
    override_mpp: OverrideMpp = False,
    image: ImageChoice = "",
) -> None:
    """Read one plan through two readers: do the pixels differ, and does the flag?

    Exit status: 0 the flag is the same; 1 it is not; 2 the slide cannot be compared.
    """
    from wsi_ai.app import RunOptions
    from wsi_ai.cli.compare_readers import compare

    options = RunOptions(mpp, override_mpp=override_mpp, image=image)
    raise typer.Exit(compare(slide, model, readers, options))


@app.command()
def rescore(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Where the results are.")],
    threshold: NewThreshold = None,
    policy: Annotated[
        Path | None, typer.Option(help="Triage policy in TOML, in place of each slide's own.")
    ] = None,
) -> None:
    """Judge kept scores by another threshold or policy, and say what would change.  Nothing is
    inferred, written or sent.

    Exit status: 0 no level would change; 1 some would, or cannot be told; 2 the command or the
    policy is wrong.
    """
    from wsi_ai.cli.rescore import show_changes

    raise typer.Exit(show_changes(out, threshold, policy))


@app.command()
def timeline(
    run: Annotated[Path, typer.Argument(metavar="OUT", help="Of a run; or OUT/runs/….json.")],
    to: Annotated[
        Path | None, typer.Option(help="The picture; by default beside the run's record.")
    ] = None,
) -> None:
    """Draw the last run's stages over time, as a PNG."""
    from wsi_ai.cli.timeline import timeline

    raise typer.Exit(timeline(run, to))


@app.command()
def index(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of a run's results.")],
) -> None:
    """Make OUT/index.html and OUT/contact-sheet.html anew, from the flags that lie there.

    Exit status: 0 done; 1 there should be an answer that cannot be read; 2 OUT is no such folder.
    """
    from wsi_ai.cli.index import index

    raise typer.Exit(index(out))


@app.command()
@takes(DrawArguments)
def demo_slide(
    out: Annotated[Path, typer.Argument(metavar="OUT.svs", help="The slide to write.")],
    arguments: DrawArguments,
) -> None:
    """Draw a synthetic H&E slide, and the truth about it as GeoJSON beside it."""
    from wsi_ai.cli.demo_slide import draw

    raise typer.Exit(draw(out, arguments))


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
    from wsi_ai.cli import model_checks

    raise typer.Exit(model_checks.check(model, key))


@_models.command()
def golden(
    model: Annotated[Path, typer.Argument(help="Folder with model.toml.")],
    slides: Annotated[list[Path], typer.Argument(metavar="SLIDE...", help="To take tiles from.")],
    count: Annotated[int, typer.Option(min=2, max=256, help="How many tiles.")] = 16,
) -> None:
    """Store tiles of slides, and their fp32 scores, with a model: the author's job, once."""
    from wsi_ai.cli import model_checks

    raise typer.Exit(model_checks.golden(model, slides, count))


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
    from wsi_ai.cli import model_checks

    raise typer.Exit(model_checks.optimize(model, calibrate))


model_store.add_to(_models)
delivery.add_to(app)
service.add_to(app)
database.add_to(app)
access.add_to(app)
viewing.add_to(app)
trials.add_to(app)
bench.add_to(app)
