"""``wsi-ai bench scale``."""

import sys
from collections.abc import Sequence
from pathlib import Path

from wsi_ai.bench.compare import check_alike
from wsi_ai.bench.laws import describe_laws
from wsi_ai.bench.scale import Sweep, run_sweep
from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.results.folder import make_folder


@exit_on_error
def scale(sweep: Sweep, more: Sequence[str], out: Path) -> int:
    """Measure, and say the laws."""
    make_folder(out)
    benches = run_sweep(sweep, more, out, lambda words: say(words, sys.stderr))
    check_alike(benches)
    for line in describe_laws(benches):
        say(line)
    say(f"results: {out}; draw them with: wsi-ai bench plot {out}/*.json")
    return Exit.OK
