"""Commands about trials.  Declarations only."""

from pathlib import Path
from typing import Annotated

import typer

from wsi_ai.cli.commands import trial_region, trial_site
from wsi_ai.cli.output import extra

ProtocolFile = Annotated[Path, typer.Argument(metavar="PROTOCOL.toml")]
Signed = Annotated[
    Path, typer.Argument(metavar="PROTOCOL.dsse", help="As trial protocol sign made it.")
]
TrustedKeys = Annotated[
    list[Path], typer.Option("--trusted-keys", help="Public keys (PEM) that may have signed it.")
]

trial_app = typer.Typer(no_args_is_help=True, help="What a model is worth, and what a queue gains.")
protocol_app = typer.Typer(no_args_is_help=True, help="What is asked, before the first slide.")
reference_app = typer.Typer(no_args_is_help=True, help="What each case really was.")
trial_app.add_typer(protocol_app, name="protocol")
trial_app.add_typer(reference_app, name="reference")


@protocol_app.command("check")
def protocol_check(protocol: ProtocolFile) -> None:
    """Number of cases needed, looks, and what a statistician would say.

    Exit status: 0 it can be signed; 1 it can, and a size is too small; 2 it makes no sense.
    """
    with extra("trial"):
        from wsi_ai.cli import trial
    raise typer.Exit(trial.check_protocol(protocol))


@protocol_app.command("sign")
def protocol_sign(
    protocol: ProtocolFile,
    key: Annotated[Path, typer.Option(help="Private key (PEM, NIST P-256).")],
    out: Annotated[Path, typer.Option(help="The signed protocol; a file that is not there yet.")],
) -> None:
    """From now on it is this protocol, or another trial."""
    with extra("trial"):
        from wsi_ai.cli import trial
    raise typer.Exit(trial.sign_protocol(protocol, key, out))


@protocol_app.command("diff")
def protocol_diff(protocol: ProtocolFile, signed: Signed, trusted_keys: TrustedKeys) -> None:
    """Which fields are not as they were signed.  Exit status 1 if there are some."""
    with extra("trial"):
        from wsi_ai.cli import trial
    raise typer.Exit(trial.compare_protocols(protocol, signed, trusted_keys))


@reference_app.command("check")
def reference_check(
    reference: Annotated[Path, typer.Argument(metavar="REFERENCE.csv")],
    protocol: Annotated[
        Path | None, typer.Option(help="The trial's protocol, PROTOCOL.toml.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--trial", metavar="FOLDER", help="Or a site's folder of it.")
    ] = None,
) -> None:
    """Number of cases with and without a reference, and rows that contradict each other.

    Exit status: 0 it can be locked; 1 it cannot yet; 2 it is no reference of this trial.
    """
    with extra("trial"):
        from wsi_ai.cli import trial
    raise typer.Exit(trial.check_reference(reference, protocol, folder))


@trial_app.command("simulate")
def simulate(
    reading_list: Annotated[
        Path, typer.Argument(metavar="LIST.toml", help="Readers, hours, cases, accuracy of flags.")
    ],
    pooled: Annotated[
        Path | None,
        typer.Option(metavar="POOLED", help="Draw the accuracy of flags from this pool instead."),
    ] = None,
) -> None:
    """How long cases wait with and without flags: who gains, and who pays."""
    with extra("trial"):
        from wsi_ai.cli import trial
    raise typer.Exit(trial.simulate(reading_list, pooled))


def add_to(app: typer.Typer) -> None:
    """Make these commands of ``wsi-ai``."""
    trial_site.add_to(trial_app, protocol_app, reference_app)
    trial_region.add_to(trial_app)
    app.add_typer(trial_app, name="trial")
