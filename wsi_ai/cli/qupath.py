"""``wsi-ai qupath``."""

import sys
from pathlib import Path

from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.errors import InputError, OutputError
from wsi_ai.results.listing import result_folders
from wsi_ai.results.qupath import tiles_folder, write_script, write_tiles


@exit_on_error
def write(out: Path, *, tiles: bool) -> int:
    """Exit status 1 where the tiles of some results could not be written."""
    if not out.is_dir():
        raise InputError(f"there is no such folder: {out}")
    say(str(write_script(out)))
    if not tiles:
        return Exit.OK
    failed = 0
    for results in result_folders(out):
        if not (results / "heatmap.ome.zarr").exists():
            continue
        to = tiles_folder(out, results)
        try:
            say(f"{to}: {write_tiles(results, to)} tiles")
        except OutputError as error:
            say(f"wsi-ai: {results}: {error}", sys.stderr)
            failed += 1
    return Exit.SOME if failed else Exit.OK
