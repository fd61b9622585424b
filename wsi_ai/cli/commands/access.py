"""Commands about who may do what, and what people did.  Declarations only."""

from typing import Annotated

import typer

from wsi_ai.cli.commands.delivery import Database, Since
from wsi_ai.cli.output import extra

acts_app = typer.Typer(no_args_is_help=True, help="What people did, in a chain of hashes.")


@acts_app.command("list")
def acts_list(
    database: Database,
    who: Annotated[
        str | None, typer.Option(help="Only of this one: subject:…, token:…, account:….")
    ] = None,
    what: Annotated[str | None, typer.Option(help="Only this: token made, …")] = None,
    since: Since = None,
) -> None:
    """A line an act: number, time, who, what, ids, trust.  It names no case."""
    with extra("service"):
        from wsi_ai.cli import acts
    raise typer.Exit(acts.list_acts(database, who, what, since))


@acts_app.command("check")
def acts_check(
    database: Database,
    head: Annotated[
        str | None,
        typer.Option(metavar="LINES:SHA256", help="A head that it had once, kept elsewhere."),
    ] = None,
) -> None:
    """Walk the chain of hashes.  Exit status 1 where it does not hold, or never had that head."""
    with extra("service"):
        from wsi_ai.cli import acts
    raise typer.Exit(acts.check(database, head))


def add_to(app: typer.Typer) -> None:
    """Make these commands of ``wsi-ai``."""
    app.add_typer(acts_app, name="acts")
