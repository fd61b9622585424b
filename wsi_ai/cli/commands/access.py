"""Commands about who may do what, and what people did.  Declarations only."""

from typing import Annotated

import typer

from wsi_ai.cli.commands.delivery import Database, Since
from wsi_ai.cli.commands.options import finite
from wsi_ai.cli.output import extra

To = Annotated[
    str,
    typer.Argument(metavar="TO", help="subject:ID, token:NAME, or claim:NAME=VALUE of a login."),
]
Roles = Annotated[
    list[str],
    typer.Argument(
        metavar="ROLE...", help="submit, read, acknowledge, annotate, operate or admin."
    ),
]
InScope = Annotated[
    str, typer.Option("--scope", metavar="SCOPE", help="trust:CODE, network:NAME or region.")
]

tokens_app = typer.Typer(no_args_is_help=True, help="Tokens of programs, and of the first admin.")
rights_app = typer.Typer(no_args_is_help=True, help="Who may do what, and where.")
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


@tokens_app.command("make")
def tokens_make(
    database: Database,
    name: Annotated[
        str, typer.Option(help="What the program is called; never used for a second token.")
    ] = "admin",
    right: Annotated[
        list[str] | None,
        typer.Option("--right", metavar="ROLE@SCOPE", help="submit@trust:RXX; several at once."),
    ] = None,
    days: Annotated[
        float, typer.Option(min=0.001, max=3660, callback=finite, help="Until it ends.")
    ] = 90,
    admin: Annotated[
        bool, typer.Option("--admin", help="Every right, in the whole region: the first one.")
    ] = False,
) -> None:
    """Print a new token, once: nobody can read it again."""
    with extra("service"):
        from wsi_ai.cli import tokens
    given = [*(right or []), *(tokens.administrator() if admin else [])]
    raise typer.Exit(tokens.make(database, name, days, given))


@tokens_app.command("list")
def tokens_list(database: Database) -> None:
    """A line a token: name, until when, rights."""
    with extra("service"):
        from wsi_ai.cli import tokens
    raise typer.Exit(tokens.list_tokens(database))


@tokens_app.command("revoke")
def tokens_revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As tokens list shows it.")],
    database: Database,
) -> None:
    """End a token now; open connections of it are closed within seconds."""
    with extra("service"):
        from wsi_ai.cli import tokens
    raise typer.Exit(tokens.revoke(database, name))


@rights_app.command("grant")
def rights_grant(to: To, roles: Roles, scope: InScope, database: Database) -> None:
    """Give rights to a person, a program, or everybody with a claim."""
    with extra("service"):
        from wsi_ai.cli import rights
    raise typer.Exit(rights.grant(database, to, roles, scope))


@rights_app.command("withdraw")
def rights_withdraw(to: To, roles: Roles, scope: InScope, database: Database) -> None:
    """Take them back, from the next request on."""
    with extra("service"):
        from wsi_ai.cli import rights
    raise typer.Exit(rights.withdraw(database, to, roles, scope))


@rights_app.command("list")
def rights_list(database: Database) -> None:
    """A line a right: who, what, where, since when, by whom."""
    with extra("service"):
        from wsi_ai.cli import rights
    raise typer.Exit(rights.list_rights(database))


def add_to(app: typer.Typer) -> None:
    """Make these commands of ``wsi-ai``."""
    app.add_typer(tokens_app, name="tokens")
    app.add_typer(rights_app, name="rights")
    app.add_typer(acts_app, name="acts")
