"""Commands about flags that are on their way, or have arrived.  Declarations only."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from wsi_ai.cli.commands.options import LogFile, LogFormat, finite, takes
from wsi_ai.cli.output import extra, service_logs

Database = Annotated[
    str, typer.Option("--outbox", metavar="DB", help="A file (SQLite) or a postgresql:// URL.")
]
AuditFile = Annotated[
    Path | None,
    typer.Option("--audit", help="The audit's file; by default beside an SQLite outbox."),
]
Sinks = Annotated[
    list[str],
    typer.Option("--send", metavar="TOML|URL|TRUST=URL", help="Where flags go; several at once."),
]
OptionalSinks = Annotated[
    list[str] | None,
    typer.Option("--send", metavar="TOML|URL|TRUST=URL", help="Deliver it now, there."),
]
EventId = Annotated[str, typer.Argument(metavar="EVENT_ID")]
FlagId = Annotated[
    str, typer.Argument(metavar="FLAG_ID", help="Or how it begins, as flags list shows it.")
]
Since = Annotated[str | None, typer.Option(help="Only what was made since: 2026-11-24T08:00Z.")]

outbox_app = typer.Typer(no_args_is_help=True, help="Flags on their way: list, mend, deliver.")
flags_app = typer.Typer(no_args_is_help=True, help="The flags as they hold now; take one back.")
sinks_app = typer.Typer(no_args_is_help=True, help="The systems that flags go to.")
export_app = typer.Typer(no_args_is_help=True, help="What other programs read, as files.")
audit_app = typer.Typer(no_args_is_help=True, help="The record of decisions and deliveries.")
alone = typer.Typer()


@outbox_app.command("init")
def outbox_init(database: Database, audit_file: AuditFile = None) -> None:
    """Make an outbox; one that is there stays as it is."""
    with extra("service"):
        from wsi_ai.cli import outbox
    raise typer.Exit(outbox.init(database, audit_file))


@outbox_app.command("check")
def outbox_check(database: Database) -> None:
    """Verify all that is in it.  Exit status 1 if anything is not what was written."""
    with extra("service"):
        from wsi_ai.cli import outbox
    raise typer.Exit(outbox.check(database))


@outbox_app.command("adopt")
def outbox_adopt(
    sink: Annotated[str, typer.Argument(metavar="SINK", help="As outbox list names it.")],
    database: Database,
    send: Sinks,
    audit_file: AuditFile = None,
) -> None:
    """Give what waits for a sink that is no longer set up to those that take its trust."""
    with extra("service"):
        from wsi_ai.cli import outbox
    raise typer.Exit(outbox.adopt(database, sink, send, audit_file))


@outbox_app.command("backup")
def outbox_backup(to: Annotated[Path, typer.Argument(metavar="FILE")], database: Database) -> None:
    """Copy an SQLite outbox, while it is in use or not."""
    with extra("service"):
        from wsi_ai.cli import outbox
    raise typer.Exit(outbox.backup(database, to))


@outbox_app.command("list")
def outbox_list(
    database: Database,
    state: Annotated[
        list[str] | None, typer.Option(help="pending, inflight, delivered, dead or skipped.")
    ] = None,
    since: Since = None,
) -> None:
    """One line a delivery.  Exit status 1 if some are not delivered and need to be."""
    with extra("service"):
        from wsi_ai.cli import outbox
    raise typer.Exit(outbox.list_lines(database, state or [], since))


@outbox_app.command("show")
def outbox_show(event: EventId, database: Database) -> None:
    """What is sent, as it is sent.  It names the slide."""
    with extra("service"):
        from wsi_ai.cli import outbox
    raise typer.Exit(outbox.show(database, event))


@outbox_app.command("replay")
def outbox_replay(
    event: EventId,
    database: Database,
    force: Annotated[bool, typer.Option(help="Even if a newer revision took its place.")] = False,
    audit_file: AuditFile = None,
) -> None:
    """Send again: the same bytes under the same id."""
    with extra("service"):
        from wsi_ai.cli import outbox
    again = outbox.replay_old if force else outbox.replay
    raise typer.Exit(again(database, event, audit_file))


@outbox_app.command("skip")
def outbox_skip(event: EventId, database: Database, audit_file: AuditFile = None) -> None:
    """Never send what of this event is not delivered."""
    with extra("service"):
        from wsi_ai.cli import outbox
    raise typer.Exit(outbox.skip(database, event, audit_file))


@outbox_app.command("purge")
def outbox_purge(
    database: Database,
    older_than_days: Annotated[
        float, typer.Option(min=1, callback=finite, help="Made so long ago.")
    ] = 90,
    audit_file: AuditFile = None,
) -> None:
    """Forget the content of old events that are settled; what is purged cannot be taken back."""
    with extra("service"):
        from wsi_ai.cli import outbox
    raise typer.Exit(outbox.purge(database, older_than_days, audit_file))


@outbox_app.command("drain")
def outbox_drain(
    database: Database,
    send: Sinks,
    since: Since = None,
    seconds: Annotated[float, typer.Option(callback=finite, help="Give up after so long.")] = 60,
    audit_file: AuditFile = None,
) -> None:
    """Deliver now all that waits, pauses or not.  Exit status 1 if some is left."""
    with extra("service"):
        from wsi_ai.cli import outbox
    raise typer.Exit(outbox.drain(database, send, since, seconds, audit_file))


@outbox_app.command("reconcile")
def outbox_reconcile(
    database: Database,
    send: Sinks,
    resend: Annotated[bool, typer.Option(help="Send again what the receiver lost.")] = False,
) -> None:
    """Read back what each receiver holds.  Exit status 1 if it is not what was sent."""
    with extra("service"):
        from wsi_ai.cli import outbox
    compare = outbox.resend_lost if resend else outbox.reconcile
    raise typer.Exit(compare(database, send))


@flags_app.command("list")
def flags_list(
    database: Database,
    slide: Annotated[str, typer.Option(help="Only of this slide, by its id.")] = "",
    accession: Annotated[str, typer.Option(help="Only of this case.")] = "",
) -> None:
    """One line a flag: what holds now, and whether it was delivered.  It names slides and cases.

    Exit status: 0; 1 where --slide or --accession finds none.
    """
    with extra("service"):
        from wsi_ai.cli import flags
    raise typer.Exit(flags.list_flags(database, flags.Wanted(slide, accession)))


@flags_app.command("show")
def flags_show(
    flag: FlagId,
    database: Database,
    name: Annotated[
        str | None,
        typer.Option("--as", metavar="FORMAT", help="cloudevent, fhir, hl7, sectra or sr."),
    ] = None,
) -> None:
    """The newest revision.  It names the slide."""
    with extra("service"):
        from wsi_ai.cli import flags
    raise typer.Exit(flags.show(database, flag, name))


@flags_app.command("retract")
def flags_retract(
    flag: FlagId,
    database: Database,
    reason: Annotated[str, typer.Option(help="slide_misidentified, slide_rescanned, …")],
    send: OptionalSinks = None,
    audit_file: AuditFile = None,
) -> None:
    """Take a flag back wherever it went; with --send deliver that now, else the relay does.

    Exit status: 0 taken back; 1 there was nothing to take back; 2 no such flag; 3 with --send: a
    receiver does not know yet.
    """
    with extra("service"):
        from wsi_ai.cli import flags
    raise typer.Exit(flags.retract(database, flag, reason, send or [], audit_file))


@sinks_app.command("check")
def sinks_check(
    sinks: Annotated[list[str], typer.Argument(metavar="TOML|URL|TRUST=URL...")],
) -> None:
    """Connect to each, log in, and read what it says of itself; send nothing that stays.

    Exit status: 0 all work; 1 one does not; 2 the settings cannot be read.
    """
    with extra("service"):
        from wsi_ai.cli import sinks as looked_at
    raise typer.Exit(looked_at.check(sinks))


@sinks_app.command("test")
def sinks_test(
    sinks: Annotated[list[str], typer.Argument(metavar="TOML|URL|TRUST=URL...")],
) -> None:
    """Send each a signed test event.  It is no flag, and about no slide: receivers show it nobody.

    Exit status: 0 all took it; 1 one did not; 2 the settings cannot be read.
    """
    with extra("service"):
        from wsi_ai.cli import sinks as looked_at
    raise typer.Exit(looked_at.send_test(sinks))


@export_app.command("dicom")
def export_dicom(
    run: Annotated[Path, typer.Argument(metavar="OUT", help="Of a run of DICOM slides.")],
    to: Annotated[Path, typer.Option(help="The folder that the files go to; one below it a flag.")],
    database: Annotated[
        str | None, typer.Option("--outbox", metavar="DB", help="By default OUT/outbox.db.")
    ] = None,
) -> None:
    """Flags as DICOM reports, with the heatmaps and hotspots of runs with --format dicom.

    Exit status: 0 all were written; 1 some were not, or there was none; 2 the command is wrong.
    """
    with extra("dicom"):
        from wsi_ai.cli import export
    raise typer.Exit(export.dicom(run, to, database))


@alone.command("recall")
def recall(
    database: Database,
    model: Annotated[str, typer.Option(help="The model's name.")],
    version: Annotated[str, typer.Option(help="Its version.")],
    audit_file: AuditFile = None,
) -> None:
    """Take back every flag that a model raised; the model need not be installed."""
    with extra("service"):
        from wsi_ai.cli import flags
    raise typer.Exit(flags.recall(database, model, version, audit_file))


@alone.command("relay")
def relay(
    database: Database,
    send: Sinks,
    alarm_minutes: Annotated[
        float,
        typer.Option(
            min=0.1,
            callback=finite,
            help="Minutes until an undelivered urgent flag raises an alarm.",
        ),
    ] = 15,
    audit_file: AuditFile = None,
    log_file: LogFile = None,
    log_format: LogFormat = "text",
) -> None:
    """Deliver until stopped.  Several may share one outbox."""
    with extra("service"):
        from wsi_ai.cli import relay
    logs = service_logs(log_file, log_format)
    raise typer.Exit(relay.run(database, send, alarm_minutes, audit_file, logs))


@dataclass(frozen=True, slots=True)
class ReceiveArguments:
    """Of ``wsi-ai receive``."""

    bearer: Annotated[
        str | None, typer.Option(help="file:PATH or env:NAME of the token to ask for.")
    ] = None
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1"
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8600
    log_file: LogFile = None
    log_format: LogFormat = "text"


@alone.command("receive")
@takes(ReceiveArguments)
def receive(
    key: Annotated[
        list[str],
        typer.Option(help="file:PATH or env:NAME of a whsec_ or whpk_ key; several in rotation."),
    ],
    store: Annotated[
        str, typer.Option(help="Where what arrives is kept: a file (SQLite), or a database's URL.")
    ],
    arguments: ReceiveArguments,
) -> None:
    """The reference receiver: POST /flags, GET /worklist, and / for a browser."""
    with extra("service"):
        from wsi_ai.cli import receive
    logs = service_logs(arguments.log_file, arguments.log_format)
    place = arguments.host, arguments.port
    raise typer.Exit(receive.serve(key, store, arguments.bearer, place, logs))


@audit_app.command("verify")
def audit_verify(
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    head: Annotated[
        str | None,
        typer.Option(metavar="LINES:SHA256", help="A head that it had once, kept elsewhere."),
    ] = None,
) -> None:
    """Walk the chain of hashes.  Exit status 1 where it does not hold, or never had that head."""
    with extra("service"):
        from wsi_ai.cli import audit
    raise typer.Exit(audit.check(file, head))


@audit_app.command("head")
def audit_head(file: Annotated[Path, typer.Argument(metavar="FILE")]) -> None:
    """Print LINES:SHA256, to keep elsewhere; heartbeats take it to every receiver."""
    with extra("service"):
        from wsi_ai.cli import audit
    raise typer.Exit(audit.head(file))


def add_to(app: typer.Typer) -> None:
    """Make these commands of ``wsi-ai``."""
    app.add_typer(outbox_app, name="outbox")
    app.add_typer(flags_app, name="flags")
    app.add_typer(sinks_app, name="sinks")
    app.add_typer(audit_app, name="audit")
    app.add_typer(export_app, name="export")
    app.registered_commands += alone.registered_commands
