"""Commands that open slides and results.  Declarations only."""

from pathlib import Path
from typing import Annotated

import typer

from wsi_ai.cli.commands.options import ImageChoice, Mpp
from wsi_ai.cli.output import extra

Slides = Annotated[
    list[Path] | None,
    typer.Option(
        help="Slides, or a folder of them, where they are neither beside OUT nor in this folder."
    ),
]
Results = Annotated[Path, typer.Argument(metavar="OUT", help="The folder of results of a run.")]
alone = typer.Typer()


@alone.command("view")
def view(
    places: Annotated[
        list[Path],
        typer.Argument(metavar="OUT|SLIDE...", help="Results of a run; slides; folders of them."),
    ],
    slides: Slides = None,
    port: Annotated[
        int, typer.Option(min=1024, max=65535, help="The next free one where it is in use.")
    ] = 8642,
    label: Annotated[
        bool, typer.Option("--label", help="Show label and macro image, which may name a person.")
    ] = False,
    mpp: Mpp = None,
    image: ImageChoice = "",
) -> None:
    """Look at slides, and the results on them, in a browser on this machine.

    It prints an address that opens once, in one browser; Ctrl-C ends it.
    """
    with extra("view"):
        from wsi_ai.cli import view as command
    options = command.ViewOptions(port, mpp, image, with_label=label)
    raise typer.Exit(command.view(places, slides or [], options))


@alone.command("qupath")
def qupath(
    out: Results,
    tiles: Annotated[
        bool, typer.Option("--tiles", help="Write each tile's scores, too, as detections.")
    ] = False,
) -> None:
    """Write wsi_ai.groovy into OUT: run in QuPath, it lays the results on the open slide."""
    from wsi_ai.cli.qupath import write

    raise typer.Exit(write(out, tiles=tiles))


@alone.command("open-in-napari")
def open_in_napari(out: Results, slides: Slides = None) -> None:
    """Open a slide of OUT and its heatmaps in napari, each where it belongs."""
    from wsi_ai.cli.napari import show

    raise typer.Exit(show(out, slides or []))


def add_to(app: typer.Typer) -> None:
    app.registered_commands += alone.registered_commands
