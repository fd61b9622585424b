"""``wsi-ai rescore``."""

import sys
from pathlib import Path

from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.core.flags import STATEMENT, Level
from wsi_ai.run.rescore import Rescored, rescore
from wsi_ai.triage.policy import load_policy


@exit_on_error
def show_changes(out: Path, threshold: float | None, policy: Path | None) -> int:
    """Print what would change, and return the exit status."""
    chosen = load_policy(policy) if policy else None
    found = list(rescore(out, chosen, threshold))
    changing = [one for one in found if one.changes or one.before is None]
    for one in changing:
        say(f"{one.folder.relative_to(out)}: {_words(one)}: {one.reason}")
    count, lower = len(changing), sum(one.lowers for one in found)
    say(f"{count} of {len(found)} would change, {lower} to a lower level. {STATEMENT}", sys.stdout)
    if count:
        say("Nothing was written or sent; wsi-ai run with this policy does it, and infers nothing")
    if lower:
        say("A lower level than was sent is listed there, and sent with --amend only")
    return Exit.SOME if count else Exit.OK


def _words(one: Rescored) -> str:
    return f"{_level(one.before)} → {_level(one.after)}"


def _level(level: Level | None) -> str:
    return level.value.replace("_", " ").upper() if level else "unknown"
