"""``wsi-ai compare-readers``."""

import logging
import sys
from pathlib import Path

from wsi_ai.app import RunOptions
from wsi_ai.cli.output import log_from
from wsi_ai.errors import WsiAiError
from wsi_ai.run.compare_readers import compare_readers

_SAME, _OTHER_FLAG, _USAGE = 0, 1, 2


def compare(slide: Path, model: Path, readers: tuple[str, str], mpp: float | None) -> int:
    """Compare, tell, and return the exit status."""
    log_from(logging.ERROR)  # not a line for every tile that is left out
    one, other = (None if name == "auto" else name for name in readers)
    try:
        found = compare_readers(slide, model, (one, other), RunOptions(mpp))
    except WsiAiError as error:
        print(f"wsi-ai: {error}", file=sys.stderr)
        return _USAGE
    levels = [flag.level.value.replace("_", " ") for flag in found.flags]
    print(f"{' and '.join(found.readers)}: {found.tiles} tiles, {found.unmatched} unmatched")
    print(f"  pixels: differ by {found.max_difference} at most, PSNR {found.psnr_db:.1f} dB")
    print(f"  flag: {levels[0]} and {levels[1]}")
    if found.same_flag:
        return _SAME
    print("wsi-ai: the readers disagree on the flag; report this slide", file=sys.stderr)
    return _OTHER_FLAG
