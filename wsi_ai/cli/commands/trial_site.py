"""Commands of a trial at one site, and of who holds its keys.  Declarations only."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from wsi_ai.cli.commands.options import Mpp, OverrideMpp, takes
from wsi_ai.cli.output import extra
from wsi_ai.core.quiet import QUIET_S

Folder = Annotated[Path, typer.Option("--trial", metavar="FOLDER", help="As trial join made it.")]
TrustedKeys = Annotated[
    list[Path], typer.Option("--trusted-keys", help="Public keys (PEM) that sign the protocol.")
]
Signed = Annotated[Path, typer.Argument(metavar="PROTOCOL.dsse", help="The signed protocol.")]

key_app = typer.Typer(no_args_is_help=True, help="Keys that open a site's sealed flags.")


def protocol_new(
    out: Annotated[Path, typer.Argument(metavar="PROTOCOL.toml", help="Not there yet.")],
    answers: Annotated[
        list[str] | None,
        typer.Option("--answer", metavar="FIELD=VALUE", help="In place of a question."),
    ] = None,
    example: Annotated[bool, typer.Option("--example", help="Ask nothing: an example.")] = False,
    model: Annotated[Path | None, typer.Option(help="Folder of the model that will judge.")] = None,
    policy: Annotated[Path | None, typer.Option(help="In place of the model's own.")] = None,
    keys: Annotated[
        Path | None, typer.Option(help="Folder with each site's ODS.pub and ODS.key.")
    ] = None,
) -> None:
    """Ask fourteen questions and write a draft with comments, which trial protocol check takes."""
    with extra("trial"):
        from wsi_ai.cli import trial_draft
    made_of = trial_draft.MadeOf(model, policy, keys)
    raise typer.Exit(trial_draft.new_protocol(out, answers or [], made_of, example=example))


def join(
    protocol: Signed,
    trusted_keys: TrustedKeys,
    site: Annotated[str, typer.Option(metavar="ODS", help="Which site of the protocol this is.")],
    key: Annotated[Path, typer.Option(help="The site's private key (PEM, NIST P-256).")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Of this trial; it is made.")],
) -> None:
    """Make a site's folder of a trial, where the signature holds and the key is the site's."""
    with extra("trial"):
        from wsi_ai.cli import trial_site
    raise typer.Exit(trial_site.join(protocol, trusted_keys, site, key, out))


@dataclass(frozen=True, slots=True)
class TrialRunArguments:
    """Of ``wsi-ai trial run``."""

    cases: Annotated[
        Path | None, typer.Option(help="Whose slides they are: .csv, .json or .toml.")
    ] = None
    model: Annotated[
        Path | None, typer.Option(help="Its folder, or NAME@VERSION; default: the protocol's.")
    ] = None
    policy: Annotated[Path | None, typer.Option(help="In place of the model's own.")] = None
    device: Annotated[str, typer.Option(help="As of wsi-ai run.")] = "auto"
    mpp: Mpp = None
    override_mpp: OverrideMpp = False
    rescan: Annotated[
        bool, typer.Option("--rescan", help="The slides are new scans of glasses known before.")
    ] = False
    quiet_s: Annotated[
        float,
        typer.Option(min=0, max=3600, help="In folders, a file is judged once it is left alone."),
    ] = QUIET_S
    trusted_keys: Annotated[
        Path | None, typer.Option(help="Run only models signed by this key, or one of this folder.")
    ] = None
    send: Annotated[list[str] | None, typer.Option(hidden=True)] = None


@takes(TrialRunArguments)
def run(
    slides: Annotated[
        list[Path],
        typer.Argument(
            metavar="SLIDES...", help="Slides; folders of them; a .csv or .txt that lists them."
        ),
    ],
    folder: Folder,
    arguments: TrialRunArguments,
) -> None:
    """Seal a flag of every slide.  Nothing says what a flag is, and nothing else is written.

    Exit status: 0 all are sealed; 1 some are not, they are named; 2 the command, the model or the
    trial's folder is wrong.
    """
    with extra("trial"):
        from wsi_ai.app import RunOptions
        from wsi_ai.cli import trial_site
    options = RunOptions(
        mpp=arguments.mpp,
        override_mpp=arguments.override_mpp,
        policy=arguments.policy,
        device=arguments.device,
        cases=arguments.cases,
        rescan=arguments.rescan,
        trusted_keys=arguments.trusted_keys,
    )
    asked = trial_site.SilentRun(arguments.model, arguments.quiet_s, options)
    if arguments.send:
        raise typer.Exit(trial_site.refuse_to_send())
    raise typer.Exit(trial_site.run(slides, folder, asked))


def reference_lock(
    reference: Annotated[Path, typer.Argument(metavar="REFERENCE.csv")],
    folder: Folder,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="Though more are missing than is allowed.")
    ] = False,
    reason: Annotated[str | None, typer.Option(help="Of a correction; both are reported.")] = None,
) -> None:
    """From now on it is this reference.  Prints what the region needs: a digest and counts."""
    with extra("trial"):
        from wsi_ai.cli import trial_site
    raise typer.Exit(trial_site.lock_reference(reference, folder, reason, incomplete=incomplete))


@key_app.command("new")
def key_new(
    out: Annotated[Path, typer.Argument(metavar="ODS.key", help="A file that is not there yet.")],
) -> None:
    """Make a site's pair of keys; prints the public half, for the protocol's unseal_public."""
    with extra("trial"):
        from wsi_ai.cli import trial_site
    raise typer.Exit(trial_site.new_key(out))


@key_app.command("release")
def key_release(
    lock: Annotated[Path, typer.Argument(metavar="LOCK.json", help="Of reference lock.")],
    protocol: Annotated[Path, typer.Option(metavar="PROTOCOL.dsse", help="The signed protocol.")],
    trusted_keys: TrustedKeys,
    sites: Annotated[Path, typer.Option(help="Folder of the sites' public keys, *.pub.")],
    unseal_keys: Annotated[Path, typer.Option(help="Folder that key new wrote to, *.key.")],
    key: Annotated[Path, typer.Option(help="The region's private key (PEM).")],
) -> None:
    """The key that opens a site's flags, for one lock.  A second lock of them is refused."""
    with extra("trial"):
        from wsi_ai.cli import trial_site
    places = trial_site.RegionPlaces(trusted_keys, sites, unseal_keys, key)
    raise typer.Exit(trial_site.release_key(lock, protocol, places))


def analyse(
    folder: Folder,
    unseal: Annotated[Path, typer.Option(metavar="RELEASE", help="Of trial key release.")],
    patients: Annotated[
        Path | None, typer.Option(help="Their characteristics, patients.csv, for subgroups.")
    ] = None,
) -> None:
    """Open the flags and hold them to the reference: results.json and cases.csv, for the site.

    Exit status: 0 done; 1 done, and the result is unblinded or incomplete; 2 something was changed
    or does not belong to this trial.
    """
    with extra("trial"):
        from wsi_ai.cli import trial_site
    raise typer.Exit(trial_site.analyse(folder, unseal, patients))


def event(
    what: Annotated[str, typer.Argument(metavar="TEXT", help="In a few words; no patient.")],
    folder: Folder,
    on: Annotated[str, typer.Option(metavar="DATE", help="When it was; default: today.")] = "",
    harm: Annotated[bool, typer.Option("--harm", help="Somebody was harmed, or could be.")] = False,
) -> None:
    """Write down what happened: new firmware of a scanner, an incident, a stop."""
    with extra("trial"):
        from wsi_ai.cli import trial_site
    raise typer.Exit(trial_site.add_event(folder, what, on, harm=harm))


def add_to(trial_app: typer.Typer, protocol_app: typer.Typer, reference_app: typer.Typer) -> None:
    """Make these commands of ``wsi-ai trial``."""
    for command in (join, run, analyse, event):
        trial_app.command(command.__name__)(command)
    protocol_app.command("new")(protocol_new)
    reference_app.command("lock")(reference_lock)
    trial_app.add_typer(key_app, name="key")
