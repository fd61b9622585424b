"""Commands about flags that are on their way, or have arrived.  Declarations only."""

from pathlib import Path
from typing import Annotated

import typer

from wsi_ai.cli.output import service

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
EventId = Annotated[str, typer.Argument(metavar="EVENT_ID")]
FlagId = Annotated[str, typer.Argument(metavar="FLAG_ID")]
Since = Annotated[str | None, typer.Option(help="Only what was made since: 2026-11-24T08:00Z.")]

outbox = typer.Typer(no_args_is_help=True, help="Flags on their way: list, mend, deliver.")
flags = typer.Typer(no_args_is_help=True, help="What is said of each slide now; take a flag back.")
audit = typer.Typer(no_args_is_help=True, help="The record of decisions and deliveries.")
alone = typer.Typer()


def _do(module: str, name: str, *words: object) -> None:
    raise typer.Exit(getattr(service(f"wsi_ai.cli.{module}"), name)(*words))


@outbox.command("init")
def outbox_init(database: Database, audit_file: AuditFile = None) -> None:
    """Make an outbox; one that is there stays as it is."""
    _do("outbox", "init", database, audit_file)


@outbox.command("check")
def outbox_check(database: Database) -> None:
    """Verify all that is in it.  Exit status 1 if anything is not what was written."""
    _do("outbox", "check", database)


@outbox.command("adopt")
def outbox_adopt(
    sink: Annotated[str, typer.Argument(metavar="SINK", help="As outbox list names it.")],
    database: Database,
    send: Sinks,
    audit_file: AuditFile = None,
) -> None:
    """Give what waits for a sink that is no longer set up to those that take its trust."""
    _do("outbox", "adopt", database, sink, send, audit_file)


@outbox.command("backup")
def outbox_backup(to: Annotated[Path, typer.Argument(metavar="FILE")], database: Database) -> None:
    """Copy an SQLite outbox, while it is in use or not."""
    _do("outbox", "backup", database, to)


@outbox.command("list")
def outbox_list(
    database: Database,
    state: Annotated[
        list[str] | None, typer.Option(help="pending, inflight, delivered, dead or skipped.")
    ] = None,
    since: Since = None,
) -> None:
    """One line a delivery.  Exit status 1 if some are not delivered and need to be."""
    _do("outbox", "list_lines", database, state or [], since)


@outbox.command("show")
def outbox_show(event: EventId, database: Database) -> None:
    """What is sent, as it is sent.  It names the slide."""
    _do("outbox", "show", database, event)


@outbox.command("replay")
def outbox_replay(
    event: EventId,
    database: Database,
    force: Annotated[bool, typer.Option(help="Even if a newer revision took its place.")] = False,
    audit_file: AuditFile = None,
) -> None:
    """Send again: the same bytes under the same id."""
    _do("outbox", "replay_old" if force else "replay", database, event, audit_file)


@outbox.command("skip")
def outbox_skip(event: EventId, database: Database, audit_file: AuditFile = None) -> None:
    """Never send what of this event is not delivered."""
    _do("outbox", "skip", database, event, audit_file)


@outbox.command("purge")
def outbox_purge(
    database: Database,
    older_than_days: Annotated[float, typer.Option(min=1, help="Made so long ago.")] = 90,
    audit_file: AuditFile = None,
) -> None:
    """Forget the content of old events that are settled; what is purged cannot be taken back."""
    _do("outbox", "purge", database, older_than_days, audit_file)


@outbox.command("drain")
def outbox_drain(
    database: Database,
    send: Sinks,
    since: Since = None,
    seconds: Annotated[float, typer.Option(help="Give up after so long.")] = 60,
    audit_file: AuditFile = None,
) -> None:
    """Deliver now all that waits, pauses or not.  Exit status 1 if some is left."""
    _do("outbox", "drain", database, send, since, seconds, audit_file)


@outbox.command("reconcile")
def outbox_reconcile(
    database: Database,
    send: Sinks,
    resend: Annotated[bool, typer.Option(help="Send again what the receiver lost.")] = False,
) -> None:
    """Read back what each receiver holds.  Exit status 1 if it is not what was sent."""
    _do("outbox", "resend_lost" if resend else "reconcile", database, send)


@flags.command("list")
def flags_list(database: Database) -> None:
    """One line a flag: what holds now."""
    _do("flags", "list_flags", database)


@flags.command("show")
def flags_show(flag: FlagId, database: Database) -> None:
    """The newest revision.  It names the slide."""
    _do("flags", "show", database, flag)


@flags.command("retract")
def flags_retract(
    flag: FlagId,
    database: Database,
    reason: Annotated[str, typer.Option(help="slide_misidentified, slide_rescanned, …")],
    audit_file: AuditFile = None,
) -> None:
    """Take a flag back wherever it went; the relay delivers that."""
    _do("flags", "retract", database, flag, reason, audit_file)


@alone.command("recall")
def recall(
    database: Database,
    model: Annotated[str, typer.Option(help="The model's name.")],
    version: Annotated[str, typer.Option(help="Its version.")],
    audit_file: AuditFile = None,
) -> None:
    """Take back every flag that a model raised; the model need not be installed."""
    _do("flags", "recall", database, model, version, audit_file)


@alone.command("relay")
def relay(
    database: Database,
    send: Sinks,
    alarm_minutes: Annotated[
        float, typer.Option(min=0.1, help="After how long an undelivered urgent flag is told.")
    ] = 15,
    audit_file: AuditFile = None,
) -> None:
    """Deliver until stopped.  Several may share one outbox."""
    _do("relay", "run", database, send, alarm_minutes, audit_file)


@alone.command("receive")
def receive(
    key: Annotated[
        list[str],
        typer.Option(help="file:PATH or env:NAME of a whsec_ or whpk_ key; several in rotation."),
    ],
    store: Annotated[Path, typer.Option(help="Where what arrives is kept (SQLite).")],
    bearer: Annotated[
        str | None, typer.Option(help="file:PATH or env:NAME of the token to ask for.")
    ] = None,
    host: Annotated[str, typer.Option()] = "127.0.0.1",
    port: Annotated[int, typer.Option()] = 8600,
) -> None:
    """The reference receiver: POST /flags, GET /worklist."""
    _do("receive", "serve", key, store, bearer, (host, port))


@audit.command("verify")
def audit_verify(
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    head: Annotated[str | None, typer.Option(help="The last line's hash, kept elsewhere.")] = None,
) -> None:
    """Walk the chain of hashes.  Exit status 1 where it does not hold."""
    _do("audit", "check", file, head)


def add_to(app: typer.Typer) -> None:
    """Make these commands of ``wsi-ai``."""
    app.add_typer(outbox, name="outbox")
    app.add_typer(flags, name="flags")
    app.add_typer(audit, name="audit")
    app.registered_commands += alone.registered_commands
