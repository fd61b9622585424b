"""``wsi-ai index``."""

from pathlib import Path

from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.results.pages.index import INDEX, write_index
from wsi_ai.results.published import local_results, results_place
from wsi_ai.slides.places import as_written


@exit_on_error
def index(out: Path) -> int:
    """Make the pages of ``out`` anew; ``SOME`` where there should be an answer and is none."""
    folder = local_results(out)
    entries = write_index(folder)
    if folder != out:
        results_place(out).published.publish_pages(folder)
    say(as_written(out / INDEX))
    broken = sum(entry.broken for entry in entries)
    if broken:
        say(f"wsi-ai: {broken} of {len(entries)} have no answer that can be read: see the page")
    return Exit.SOME if broken else Exit.OK
