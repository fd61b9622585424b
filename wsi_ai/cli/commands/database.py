"""Commands about the service's database.  Declarations only."""

from pathlib import Path
from typing import Annotated

import typer

from wsi_ai.cli.commands.delivery import Database
from wsi_ai.cli.output import extra

Url = Annotated[str, typer.Argument(metavar="DATABASE", help="A path (SQLite), or postgresql://…")]
database_app = typer.Typer(
    no_args_is_help=True, help="Upgrade, back up and restore the service's database."
)


@database_app.command("upgrade")
def upgrade(database: Database) -> None:
    """Change the tables of an older version into this one's.  First stop every wsi-ai process, and
    make a backup."""
    with extra("service"):
        from wsi_ai.cli import service_database as command

    raise typer.Exit(command.upgrade(database))


@database_app.command("check")
def check(database: Database) -> None:
    """Say of which version the tables are.  Exit status 2 where this program cannot work with
    them."""
    with extra("service"):
        from wsi_ai.cli import service_database as command

    raise typer.Exit(command.check(database))


@database_app.command("backup")
def backup(
    database: Database,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file (SQLite).")],
) -> None:
    """Keep everything of one moment in a file; the service may go on meanwhile."""
    with extra("service"):
        from wsi_ai.cli import service_database as command

    raise typer.Exit(command.make_backup(database, file))


@database_app.command("restore")
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="As backup made it.")],
    database: Database,
) -> None:
    """Put a backup into a new, empty database, of either kind."""
    with extra("service"):
        from wsi_ai.cli import service_database as command

    raise typer.Exit(command.restore(file, database))


def add_to(app: typer.Typer) -> None:
    app.add_typer(database_app, name="database")
