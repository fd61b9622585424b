"""``wsi-ai embed``."""

import logging
import sys
from pathlib import Path

from wsi_ai.app import RunOptions
from wsi_ai.cards import Precision
from wsi_ai.cli.progress import progress_for
from wsi_ai.cli.saying import OK, SOME, say, told
from wsi_ai.embed import embed_slides
from wsi_ai.embedded import Embedded
from wsi_ai.flags import STATEMENT

__all__ = ["Precision", "RunOptions", "embed"]

_INTERRUPTED = 130


@told
def embed(
    slides: list[Path], model: Path, out: Path, options: RunOptions, *, hdf5: bool, verbose: bool
) -> int:
    """Embed, tell, and return the exit status."""
    level = logging.DEBUG if verbose else logging.ERROR
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
    done = total = 0
    try:
        with progress_for(sys.stderr, "tiles", len(slides)) as progress:
            for outcome in embed_slides(slides, model, out, options, progress, hdf5=hdf5):
                say(_line(outcome), sys.stdout)
                total, done = total + 1, done + (outcome.tiles is not None)
    except KeyboardInterrupt:
        say("wsi-ai: stopped; the same command goes on from here", sys.stderr)
        return _INTERRUPTED
    say(f"{done} of {total} slides embedded. An embedding run has no flag. {STATEMENT}", sys.stdout)
    return OK if done == total else SOME


def _line(outcome: Embedded) -> str:
    if outcome.tiles is None:
        return f"{outcome.slide}: NOT EMBEDDED: {outcome.reason}"
    if not outcome.fresh:
        return f"{outcome.slide}: {outcome.folder}/  done before (--force runs it anew)"
    names = sorted(path.name for path in outcome.folder.iterdir()) if outcome.folder else []
    return f"{outcome.slide}: {outcome.tiles} tiles\n  {outcome.folder}/  {'  '.join(names)}"
