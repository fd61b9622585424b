"""``wsi-ai compare-readers``."""

import logging
import sys
from pathlib import Path

from wsi_ai.app import RunOptions
from wsi_ai.cli.output import Exit, exit_on_error, log_to, say
from wsi_ai.core.logs import LogSettings
from wsi_ai.core.wording import counted
from wsi_ai.run.compare_readers import compare_readers


@exit_on_error
def compare(slide: Path, model: Path, readers: tuple[str, str], options: RunOptions) -> int:
    """Compare, print, and return the exit status."""
    log_to(LogSettings(logging.ERROR))  # not a line for every tile that is left out
    one, other = (None if name == "auto" else name for name in readers)
    found = compare_readers(slide, model, (one, other), options)
    levels = [flag.level.value.replace("_", " ") for flag in found.flags]
    both, tiles = " and ".join(found.readers), counted(found.tiles, "tile")
    say(f"{both}: {tiles}, {found.unmatched} unmatched")
    say(f"  pixels: differ by {found.max_difference} at most, PSNR {found.psnr_db:.1f} dB")
    say(f"  flag: {levels[0]} and {levels[1]}")
    if found.same_flag:
        return Exit.OK
    say("wsi-ai: the readers disagree on the flag; report this slide", sys.stderr)
    return Exit.SOME
