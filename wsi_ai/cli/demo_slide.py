"""``wsi-ai demo-slide``."""

import sys
from pathlib import Path

from wsi_ai.cli.commands.options import DrawArguments
from wsi_ai.cli.output import Exit
from wsi_ai.cli.progress import progress_for
from wsi_ai.demo import SampleSpec, write_sample_slide


def draw(out: Path, arguments: DrawArguments) -> int:
    """Draw, print, and return the exit status: 0 done, 2 refused."""
    marks = {"tumour": arguments.tumour, "pen": arguments.pen, "blur": arguments.blur}
    try:
        spec = SampleSpec(arguments.size, arguments.seed, arguments.mpp, **marks)
        out.parent.mkdir(parents=True, exist_ok=True)
        with progress_for(sys.stderr, "rows") as progress:
            progress.started(out)
            progress.planned(arguments.size, 0)
            truth = write_sample_slide(out, spec, progress=lambda done, _: progress.passed(done))
    except ValueError as error:
        print(f"wsi-ai: {error}", file=sys.stderr)
        return Exit.USAGE
    except OSError as error:
        print(f"wsi-ai: {out} cannot be written: {error.strerror}", file=sys.stderr)
        return Exit.USAGE
    side = arguments.size
    print(f"{out}: {side} x {side} px at {arguments.mpp:g} µm/px; the truth is in {truth}")
    return Exit.OK
