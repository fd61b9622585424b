"""``wsi-ai timeline``."""

from pathlib import Path

from wsi_ai.cli.output import Exit, exit_on_error
from wsi_ai.results.timeline import write_timeline
from wsi_ai.run.run_record import load, newest


@exit_on_error
def timeline(run: Path, to: Path | None) -> int:
    """Draw the run whose record ``run`` is, or the last one in the folder ``run``."""
    path = newest(run) if run.is_dir() else run
    picture = to or path.with_suffix(".png")
    write_timeline(picture, load(path))
    print(picture)
    return Exit.OK
