"""``wsi-ai audit``."""

from pathlib import Path

from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.core.wording import counted, verb
from wsi_ai.delivery.audit import AuditBroken, verify


@exit_on_error
def check(path: Path, head: str | None) -> int:
    try:
        found = verify(path, head)
    except AuditBroken as error:
        say(f"BROKEN: {error}")
        return Exit.SOME
    say(f"{counted(found.lines, 'line')} {verb(found.lines, 'holds', 'hold')}; the head is {found}")
    return Exit.OK


@exit_on_error
def head(path: Path) -> int:
    """Of a chain that holds: to be kept elsewhere."""
    try:
        say(str(verify(path)))
    except AuditBroken as error:
        say(f"BROKEN: {error}")
        return Exit.SOME
    return Exit.OK
