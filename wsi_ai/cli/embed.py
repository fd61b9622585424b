"""``wsi-ai embed``."""

import sys
from pathlib import Path

from wsi_ai.app import Embedded, RunOptions, find_slides
from wsi_ai.cli.commands.options import EmbedArguments
from wsi_ai.cli.found import say_found
from wsi_ai.cli.output import (
    Exit,
    exit_on_error,
    gravest,
    log_to,
    run_logs,
    say,
    terminated_as_interrupted,
)
from wsi_ai.cli.progress import progress_for
from wsi_ai.core.cards import Precision
from wsi_ai.core.flags import STATEMENT
from wsi_ai.core.wording import counted
from wsi_ai.run.embed_slides import embed_slides
from wsi_ai.run.process import prepare_process
from wsi_ai.slides.places import ReaderIo


@exit_on_error
def embed(places: list[Path], models: list[Path], out: Path, arguments: EmbedArguments) -> int:
    """Embed, print, and return the exit status."""
    prepare_process()
    log_to(run_logs(arguments))
    found = find_slides(places, out)
    say_found(found, places)
    slides = found.slides
    options = RunOptions(
        mpp_of=found.mpp,
        extent=arguments.extent(),
        batch_size=arguments.batch_size,
        threads=arguments.threads,
        mpp=arguments.mpp,
        device=arguments.device,
        cluster=arguments.cluster,
        force=arguments.force,
        override_mpp=arguments.override_mpp,
        image=arguments.image,
        reader=arguments.reader,
        reader_io=ReaderIo(arguments.reader_io),
        precision=Precision(arguments.precision),
    )
    done = total = 0
    statuses = list[Exit]()
    with (
        terminated_as_interrupted(),
        progress_for(sys.stderr, "tiles", len(slides)) as progress,
    ):
        for outcome in embed_slides(slides, models, out, options, progress, hdf5=arguments.h5):
            for line in _lines(outcome, several=len(models) > 1):
                say(line)
            total, done = total + 1, done + (outcome.tiles is not None)
            statuses += _status(outcome)
    what = counted(total, "slide") if len(models) == 1 else f"{total} slides and models"
    say(f"{done} of {what} embedded. An embedding run has no flag. {STATEMENT}", sys.stdout)
    return gravest(statuses)


def _status(outcome: Embedded) -> list[Exit]:
    if not outcome.judged:
        return [Exit.NOT_JUDGED]
    return [Exit.SOME] if outcome.tiles is None else []


def _lines(outcome: Embedded, *, several: bool) -> list[str]:
    name = f"{outcome.slide} [{outcome.model}]" if several else str(outcome.slide)
    if outcome.tiles is None:
        return [f"{name}: NOT EMBEDDED: {outcome.reason}"]
    if not outcome.fresh:
        return [f"{name}: {outcome.folder}/  done before (--force runs it anew)"]
    names = sorted(path.name for path in outcome.folder.iterdir()) if outcome.folder else []
    return [f"{name}: {counted(outcome.tiles, 'tile')}", f"  {outcome.folder}/  {'  '.join(names)}"]
