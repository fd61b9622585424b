"""Commands of a service: what queues jobs, and what runs them.  Declarations only."""

from pathlib import Path
from typing import Annotated

import typer

from wsi_ai.cli.commands.delivery import Database, Sinks
from wsi_ai.cli.commands.options import finite, takes
from wsi_ai.cli.output import extra
from wsi_ai.cli.serve_arguments import AllArguments, ServeArguments
from wsi_ai.cli.service_arguments import (
    ListenArguments,
    SectraArguments,
    WatchArguments,
    WorkArguments,
)

alone = typer.Typer()
routing_app = typer.Typer(no_args_is_help=True, help="Which model judges which slide.")
queue_app = typer.Typer(no_args_is_help=True, help="Jobs that wait, run, or died.")
watched_app = typer.Typer(no_args_is_help=True, help="Files in watched folders.")
workers_app = typer.Typer(no_args_is_help=True, help="Who runs the queue's jobs.")


@alone.command()
@takes(AllArguments, "more")
@takes(ServeArguments)
def serve(database: Database, arguments: ServeArguments, more: AllArguments) -> None:
    """Serve the worklist, slides with their results, and the API, until stopped.

    On this machine alone it is for one person, who opens the address that it prints.  For others it
    needs TLS, or a proxy that has it, and --access.
    """
    with extra("service"):
        from wsi_ai.cli import serve as pages
        from wsi_ai.cli import serve_all
    run = serve_all.run if more.all_roles else pages.run
    raise typer.Exit(run(database, arguments, more))


@alone.command()
@takes(WorkArguments)
def work(
    database: Database,
    send: Sinks,
    out: Annotated[Path, typer.Option(help="Where results go; a folder per slide and model.")],
    arguments: WorkArguments,
) -> None:
    """Run the queue's jobs on one device until stopped: while one infers, the next is opened.

    SIGTERM gives the jobs at hand back to the queue: what was inferred is kept.  Killed, its jobs
    are another worker's after a minute.
    """
    with extra("service"):
        from wsi_ai.cli import work

    raise typer.Exit(work.run(database, send, out, arguments))


@alone.command()
@takes(WatchArguments)
def watch(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDERS...",
            help="That scanners write to; or archives, as dicomweb://HOST/BASE.",
        ),
    ],
    database: Database,
    trust: Annotated[str, typer.Option(help="ODS code of the trust whose slides come there.")],
    arguments: WatchArguments,
) -> None:
    """Queue each slide that comes into a folder, once it is whole; by looking, also on a share.

    A folder that is gone, or is another one than before, raises an alarm, and nothing is forgotten.
    """
    with extra("service"):
        from wsi_ai.cli import watch as command

    raise typer.Exit(command.run(folders, database, trust, arguments))


@watched_app.command("list")
def watched_list(database: Database) -> None:
    """What came into watched folders and is no job yet, with the reason.  Names files.

    Exit status 1 if a folder is gone, a file was refused, or no rule has a model for one.
    """
    with extra("service"):
        from wsi_ai.cli import watch as command

    raise typer.Exit(command.list_watched(database))


@alone.command()
@takes(ListenArguments)
def listen(
    database: Database,
    trust: Annotated[str, typer.Option(help="ODS code of the trust whose images are announced.")],
    slides: Annotated[
        str,
        typer.Option(
            metavar="PLACE",
            help="Where a slide is, from what the notice says: /scans/{accession}/{slide_id}*.svs,"
            " dicomweb://host/studies/{study_uid}/series/{series_uid}.",
        ),
    ],
    arguments: ListenArguments,
    model: Annotated[
        list[Path] | None, typer.Option(help="Folder, or NAME[@VERSION]; several at once.")
    ] = None,
) -> None:
    """Listen for notices that images are there or are withdrawn: HL7 over MLLP, IHE LAB-104.

    An image that is there is queued; one that is withdrawn takes its flags back.
    """
    with extra("service"):
        from wsi_ai.cli import listen

    raise typer.Exit(listen.run(database, (trust, model or [], slides), arguments))


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
        from wsi_ai.cli import sectra_app as application

    raise typer.Exit(application.run(database, send, (trust, model), arguments))


@queue_app.command("list")
def queue_list(
    database: Database,
    state: Annotated[
        list[str] | None, typer.Option(help="waiting, running, done, dead, cancelled or unrouted.")
    ] = None,
) -> None:
    """A line for each job that waits, runs or died; names no slide.  Exit status 1 if any died."""
    with extra("service"):
        from wsi_ai.cli import queue

    raise typer.Exit(queue.list_jobs(database, state or []))


@queue_app.command("again")
def queue_again(
    job: Annotated[str, typer.Argument(metavar="JOB_ID", help="As queue list names it.")],
    database: Database,
) -> None:
    """Run a job that is over once more: one that died, after what it died of is mended."""
    with extra("service"):
        from wsi_ai.cli import queue

    raise typer.Exit(queue.again(database, job))


@queue_app.command("priority")
def queue_priority(
    job: Annotated[str, typer.Argument(metavar="JOB_ID", help="As queue list names it.")],
    priority: Annotated[str, typer.Argument(help="urgent, routine or batch.")],
    database: Database,
) -> None:
    """Let a job that waits or runs go first, or later."""
    with extra("service"):
        from wsi_ai.cli import queue

    raise typer.Exit(queue.set_priority(database, job, priority))


@queue_app.command("cancel")
def queue_cancel(
    job: Annotated[str, typer.Argument(metavar="JOB_ID", help="As queue list names it.")],
    database: Database,
) -> None:
    """Run a job no further; what was said of its slide stays."""
    with extra("service"):
        from wsi_ai.cli import queue

    raise typer.Exit(queue.cancel(database, job))


@queue_app.command("purge")
def queue_purge(
    database: Database,
    older_than_days: Annotated[
        float, typer.Option(min=1, callback=finite, help="Made so long ago.")
    ] = 90,
) -> None:
    """Forget whose slides old jobs were that are over; by a timer, as outbox purge."""
    with extra("service"):
        from wsi_ai.cli import queue

    raise typer.Exit(queue.forget(database, older_than_days))


@routing_app.command("check")
def routing_check(
    routing: Annotated[Path, typer.Option(help="The rules: a routing.toml.")],
    slides: Annotated[
        list[Path] | None, typer.Argument(metavar="SLIDES...", help="Slides, or folders of them.")
    ] = None,
    cases: Annotated[
        Path | None, typer.Option(help="What is known of them, as for wsi-ai run.")
    ] = None,
    fact: Annotated[
        list[str] | None, typer.Option(help="What else is known: stain=H&E; several at once.")
    ] = None,
) -> None:
    """Say for each slide which rule takes it, and why the others do not.

    Exit status: 0 every slide has a model; 1 one has none; 2 the rules or a model are wrong.
    """
    with extra("service"):
        from wsi_ai.cli import routing as command

    try:
        given = command.facts_given(fact or [])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    raise typer.Exit(command.check(routing, slides or [], cases, given))


@routing_app.command("apply")
def routing_apply(
    database: Database,
    routing: Annotated[Path, typer.Option(help="The rules: a routing.toml.")],
) -> None:
    """Queue slides that had no model, where a rule takes them now.

    Exit status: 0 none is left without; 1 some are; 2 the rules or a model are wrong.
    """
    with extra("service"):
        from wsi_ai.cli import routing as command

    raise typer.Exit(command.apply(database, routing))


@workers_app.command("list")
def workers_list(database: Database) -> None:
    """A line for each worker.  Exit status 1 if any is gone, or there is none."""
    with extra("service"):
        from wsi_ai.cli import workers

    raise typer.Exit(workers.list_workers(database))


@workers_app.command("drain")
def workers_drain(
    worker: Annotated[str, typer.Argument(metavar="WORKER_ID", help="As workers list names it.")],
    database: Database,
) -> None:
    """Ask a worker to claim nothing more, to give back what it has, and to end."""
    with extra("service"):
        from wsi_ai.cli import workers

    raise typer.Exit(workers.drain(database, worker))


@workers_app.command("forget")
def workers_forget(
    worker: Annotated[str, typer.Argument(metavar="WORKER_ID", help="As workers list names it.")],
    database: Database,
) -> None:
    """One that is gone will not come back: lists say no longer that they may be incomplete."""
    with extra("service"):
        from wsi_ai.cli import workers

    raise typer.Exit(workers.forget(database, worker))


def add_to(app: typer.Typer) -> None:
    """Make these commands of ``wsi-ai``."""
    app.add_typer(routing_app, name="routing")
    app.add_typer(queue_app, name="queue")
    app.add_typer(workers_app, name="workers")
    app.add_typer(watched_app, name="watched")
    app.registered_commands += alone.registered_commands
