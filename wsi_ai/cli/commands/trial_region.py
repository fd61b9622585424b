"""Commands of a trial about bundles, and what sites say together.  Declarations only."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wsi_ai.cli.commands.options import takes
from wsi_ai.cli.commands.trial_site import Folder, TrustedKeys
from wsi_ai.cli.output import extra


class Audience(StrEnum):
    """Who may read a bundle."""

    OPEN = "open"
    CONTROLLED = "controlled"


Without = Annotated[
    list[str] | None,
    typer.Option(metavar="ODS", help="A site that dropped out; the second round is the last."),
]
sum_app = typer.Typer(no_args_is_help=True, help="Sums over sites of which nobody sees a part.")
Pooled = Annotated[Path, typer.Argument(metavar="POOLED", help="The folder that trial pool made.")]


def bundle(
    trial: Folder,
    audience: Annotated[
        Audience,
        typer.Option(help="open: small numbers hidden; controlled: exact, for the region alone."),
    ] = Audience.OPEN,
    out: Annotated[
        Path | None, typer.Option(metavar="BUNDLE.dsse", help="A file that is not there yet.")
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Print what an open bundle shows; nothing leaves.")
    ] = False,
) -> None:
    """What leaves this site: one signed document.

    Exit status: 0 it is made, or printed; 2 the protocol does not allow it.
    """
    with extra("trial"):
        from wsi_ai.cli import trial_region
    if preview:
        raise typer.Exit(trial_region.preview_bundle(trial))
    if out is None:
        raise typer.BadParameter("give --out BUNDLE.dsse, or --preview")
    raise typer.Exit(trial_region.bundle(trial, audience.value, out))


@dataclass(frozen=True, slots=True)
class PoolArguments:
    """Of ``wsi-ai trial pool``."""

    unseal_key: Annotated[
        Path | None, typer.Option(help="The region's private key of sharing.region_public.")
    ] = None
    released: Annotated[
        Path | None,
        typer.Option(help="As key release wrote it: the reference of each site that was locked."),
    ] = None


@takes(PoolArguments)
def pool(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLES", help="As sites sent them.")],
    protocol: Annotated[Path, typer.Option(metavar="PROTOCOL.dsse", help="The signed protocol.")],
    trusted_keys: TrustedKeys,
    sites: Annotated[Path, typer.Option(metavar="FOLDER", help="The sites' public keys, *.pub.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Of the pool; kept private.")],
    arguments: PoolArguments,
) -> None:
    """Put sites' bundles together, and name those that are left out.

    Exit status: 0 all are pooled; 1 some are left out; 2 none is left, or a key is wrong.
    """
    with extra("trial"):
        from wsi_ai.cli import trial_region
    secret, released = arguments.unseal_key, arguments.released
    places = trial_region.PoolPlaces(protocol, trusted_keys, sites, secret, released)
    raise typer.Exit(trial_region.pool(bundles, places, out))


def report(
    pooled: Pooled,
    html: Annotated[Path, typer.Option("--html", metavar="REPORT.html", help="The report.")],
    reading_list: Annotated[
        Path | None, typer.Option("--list", metavar="LIST.toml", help="To say what waits change.")
    ] = None,
    typed: Annotated[
        Path | None, typer.Option(metavar="ITEMS.toml", help="What only a person can say.")
    ] = None,
) -> None:
    """One page of HTML that needs nothing else, on a screen and on paper.

    Exit status: 0; 1 a bundle was left out, or flags were read early: the report says so first.
    """
    with extra("trial"):
        from wsi_ai.cli import trial_region
    raise typer.Exit(trial_region.write_report(pooled, html, reading_list, typed))


@sum_app.command("part")
def sum_part(
    trial: Folder,
    key: Annotated[Path, typer.Option(help="This site's private key of sum_public.")],
    out: Annotated[Path, typer.Option(metavar="PART.dsse", help="A file that is not there yet.")],
    without: Without = None,
) -> None:
    """This site's part of the sum: noise to everybody, but for the sum of all."""
    with extra("trial"):
        from wsi_ai.cli import trial_region
    raise typer.Exit(trial_region.sum_part(trial, key, without or [], out))


@sum_app.command("add")
def sum_add(
    parts: Annotated[list[Path], typer.Argument(metavar="PARTS", help="As sites sent them.")],
    protocol: Annotated[Path, typer.Option(metavar="PROTOCOL.dsse", help="The signed protocol.")],
    trusted_keys: TrustedKeys,
    sites: Annotated[Path, typer.Option(metavar="FOLDER", help="The sites' public keys, *.pub.")],
    out: Annotated[Path, typer.Option(metavar="TOTALS.json", help="Small numbers are hidden.")],
    without: Without = None,
) -> None:
    """The sum over all sites; a part that is missing, or of another round, is refused."""
    with extra("trial"):
        from wsi_ai.cli import trial_region
    places = trial_region.PoolPlaces(protocol, trusted_keys, sites, None)
    raise typer.Exit(trial_region.sum_add(parts, places, without or [], out))


def tutorial(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or empty one.")],
    model: Annotated[
        Path, typer.Option(help="The model that runs over the slides that are drawn.")
    ] = Path("models/demo-tumour"),
) -> None:
    """A made-up trial of 17 sites, from the protocol to the pooled report, in about a minute.

    The slides of one site are drawn and really run; the others' sealed records are drawn.
    """
    with extra("trial"):
        from wsi_ai.cli import trial_region
    raise typer.Exit(trial_region.tutorial(folder, model))


def add_to(trial_app: typer.Typer) -> None:
    """Make these commands of ``wsi-ai trial``."""
    for command in (bundle, pool, report, tutorial):
        trial_app.command(command.__name__)(command)
    trial_app.add_typer(sum_app, name="sum")
