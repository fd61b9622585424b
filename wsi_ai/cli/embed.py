"""``wsi-ai embed``."""

import logging
import sys
from pathlib import Path

from wsi_ai.app import Embedded, RunOptions
from wsi_ai.cli.commands.options import EmbedArguments
from wsi_ai.cli.output import OK, SOME, exit_on_error, log_from, say
from wsi_ai.cli.progress import progress_for
from wsi_ai.core.cards import Precision
from wsi_ai.core.flags import STATEMENT
from wsi_ai.core.memory import return_large_blocks
from wsi_ai.run.embed_slides import embed_slides

_INTERRUPTED = 130


@exit_on_error
def embed(
    slides: list[Path],
    models: list[Path],
    out: Path,
    said: EmbedArguments,
) -> int:
    """Embed, tell, and return the exit status."""
    return_large_blocks()
    log_from(logging.DEBUG if said.verbose else logging.ERROR)
    options = RunOptions(
        mpp=said.mpp,
        device=said.device,
        force=said.force,
        reader=said.reader,
        precision=Precision(said.precision),
    )
    done = total = 0
    try:
        with progress_for(sys.stderr, "tiles", len(slides)) as progress:
            for outcome in embed_slides(slides, models, out, options, progress, hdf5=said.h5):
                say(_line(outcome, several=len(models) > 1), sys.stdout)
                total, done = total + 1, done + (outcome.tiles is not None)
    except KeyboardInterrupt:
        say("wsi-ai: stopped; the same command goes on from here", sys.stderr)
        return _INTERRUPTED
    what = "slides" if len(models) == 1 else "slides and models"
    say(f"{done} of {total} {what} embedded. An embedding run has no flag. {STATEMENT}", sys.stdout)
    return OK if done == total else SOME


def _line(outcome: Embedded, *, several: bool) -> str:
    name = f"{outcome.slide} [{outcome.model}]" if several else str(outcome.slide)
    if outcome.tiles is None:
        return f"{name}: NOT EMBEDDED: {outcome.reason}"
    if not outcome.fresh:
        return f"{name}: {outcome.folder}/  done before (--force runs it anew)"
    names = sorted(path.name for path in outcome.folder.iterdir()) if outcome.folder else []
    return f"{name}: {outcome.tiles} tiles\n  {outcome.folder}/  {'  '.join(names)}"
