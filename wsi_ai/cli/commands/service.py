"""Commands of a service: what queues jobs, and what runs them.  Declarations only."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from wsi_ai.cli.commands.delivery import AuditFile, Database, Sinks
from wsi_ai.cli.commands.options import finite, takes
from wsi_ai.cli.output import extra

alone = typer.Typer()
queue_app = typer.Typer(no_args_is_help=True, help="Jobs that wait, run, or died.")


@dataclass(frozen=True, slots=True)
class WorkArguments:
    """Of ``wsi-ai work``."""

    device: Annotated[
        str, typer.Option(help="auto, cpu, openvino, cuda, cuda:1: as for wsi-ai run.")
    ] = "auto"
    policy: Annotated[
        Path | None, typer.Option(help="Triage policy in TOML, in place of the model's own.")
    ] = None
    mpp: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=100,
            callback=finite,
            help="Micrometres per pixel, where a slide does not say.",
        ),
    ] = None
    quiet_s: Annotated[
        float, typer.Option(min=0, max=3600, help="A file is judged once it is left alone.")
    ] = 5
    patience_minutes: Annotated[
        float,
        typer.Option(
            min=0, max=100_000, callback=finite, help="Until a slide that is not there is given up."
        ),
    ] = 60
    trusted_keys: Annotated[
        Path | None, typer.Option(help="Run only models signed by this key, or one of this folder.")
    ] = None
    audit_file: AuditFile = None


@alone.command()
@takes(WorkArguments)
def work(
    database: Database,
    send: Sinks,
    out: Annotated[Path, typer.Option(help="Where results go; a folder per slide and model.")],
    arguments: WorkArguments,
) -> None:
    """Run the queue's jobs, one after another, until stopped.

    SIGTERM gives the job at hand back to the queue: what was inferred is kept.  Killed, its job is
    another worker's after a minute.
    """
    with extra("service"):
        from wsi_ai.cli import work

    raise typer.Exit(work.run(database, send, out, arguments))


@dataclass(frozen=True, slots=True)
class ListenArguments:
    """Of ``wsi-ai listen``."""

    network: Annotated[str | None, typer.Option(help="The trust's network.")] = None
    issuer: Annotated[str | None, typer.Option(help="Who issues accessions and slide ids.")] = None
    host: Annotated[str, typer.Option()] = "127.0.0.1"
    port: Annotated[int, typer.Option(min=0, max=65535)] = 2575
    cert: Annotated[Path | None, typer.Option(help="Our certificate (PEM).")] = None
    key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None
    ca: Annotated[
        Path | None, typer.Option(help="Whose certificates peers have to show (PEM).")
    ] = None
    peer: Annotated[
        list[str] | None,
        typer.Option(help="A name in a peer's certificate; several at once. Left out: all."),
    ] = None
    trusted_keys: Annotated[
        Path | None, typer.Option(help="Queue only for models signed by this key.")
    ] = None
    audit_file: AuditFile = None


@alone.command()
@takes(ListenArguments)
def listen(
    database: Database,
    trust: Annotated[str, typer.Option(help="ODS code of the trust whose images are announced.")],
    model: Annotated[list[Path], typer.Option(help="Folder, or NAME[@VERSION]; several at once.")],
    slides: Annotated[
        str,
        typer.Option(
            metavar="PLACE",
            help="Where a slide is, from what the notice says: /scans/{accession}/{slide_id}*.svs,"
            " dicomweb://host/studies/{study_uid}/series/{series_uid}.",
        ),
    ],
    arguments: ListenArguments,
) -> None:
    """Listen for notices that images are there or are withdrawn: HL7 over MLLP, IHE LAB-104.

    An image that is there is queued; one that is withdrawn takes its flags back.
    """
    with extra("service"):
        from wsi_ai.cli import listen

    raise typer.Exit(listen.run(database, (trust, model, slides), arguments))


@dataclass(frozen=True, slots=True)
class SectraArguments:
    """Of ``wsi-ai sectra-app``."""

    sink: Annotated[
        str | None, typer.Option(help="The PACS's name among the sinks, where there are several.")
    ] = None
    network: Annotated[str | None, typer.Option(help="The trust's network.")] = None
    stain: Annotated[
        list[str] | None,
        typer.Option(
            help="Queue only images of this stain, as the PACS names it; several at once."
        ),
    ] = None
    host: Annotated[str, typer.Option()] = "127.0.0.1"
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8700
    url: Annotated[
        str | None, typer.Option(help="Our address as the PACS reaches it, behind a proxy.")
    ] = None
    cert: Annotated[Path | None, typer.Option(help="Our certificate (PEM).")] = None
    key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None
    ca: Annotated[
        Path | None, typer.Option(help="Whose certificate the PACS has to show (PEM).")
    ] = None
    secret: Annotated[
        str | None,
        typer.Option(help="file:PATH or env:NAME: the last part of the address to register."),
    ] = None
    trusted_keys: Annotated[
        Path | None, typer.Option(help="Queue only for models signed by this key.")
    ] = None


@alone.command("sectra-app")
@takes(SectraArguments)
def sectra_app(
    database: Database,
    send: Sinks,
    trust: Annotated[str, typer.Option(help="ODS code of the trust whose images are announced.")],
    model: Annotated[list[Path], typer.Option(help="Folder, or NAME[@VERSION]; several at once.")],
    arguments: SectraArguments,
) -> None:
    """Be an application of a Sectra PACS: images that it announces, or a person asks for, are
    queued; wsi-ai work fetches and judges them, and the sink shows what it finds."""
    with extra("service"):
        from wsi_ai.cli import sectra_app

    raise typer.Exit(sectra_app.run(database, send, (trust, model), arguments))


@queue_app.command("list")
def queue_list(
    database: Database,
    state: Annotated[
        list[str] | None, typer.Option(help="waiting, running, done, dead or cancelled.")
    ] = None,
) -> None:
    """A line for each job that waits, runs or died; names no slide.  Exit status 1 if any died."""
    with extra("service"):
        from wsi_ai.cli import queue

    raise typer.Exit(queue.list_jobs(database, state or []))


def add_to(app: typer.Typer) -> None:
    """Make these commands of ``wsi-ai``."""
    app.add_typer(queue_app, name="queue")
    app.registered_commands += alone.registered_commands
