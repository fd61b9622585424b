"""``wsi-ai audit``."""

from pathlib import Path

from wsi_ai.cli.output import Exit, exit_on_error
from wsi_ai.delivery.audit import AuditBroken, verify


@exit_on_error
def check(path: Path, head: str | None) -> int:
    try:
        found = verify(path)
    except AuditBroken as error:
        print(f"BROKEN: {error}")
        return Exit.SOME
    if head is not None and head != found.sha256:
        print("BROKEN: the chain holds, but does not end where it did")
        return Exit.SOME
    print(f"{found.lines} lines hold; the head is {found.sha256}")
    return Exit.OK
