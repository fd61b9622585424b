"""``wsi-ai demo-slide``."""

import sys
from pathlib import Path

from wsi_ai.cli.commands.options import DrawArguments
from wsi_ai.cli.progress import progress_for
from wsi_ai.demo import SampleSpec, write_sample_slide


def draw(out: Path, said: DrawArguments) -> int:
    """Draw, tell, and return the exit status: 0 done, 2 refused."""
    marks = {"tumour": said.tumour, "pen": said.pen, "blur": said.blur}
    try:
        spec = SampleSpec(said.size, said.seed, said.mpp, **marks)
        out.parent.mkdir(parents=True, exist_ok=True)
        with progress_for(sys.stderr, "rows") as progress:
            progress.started(out)
            progress.planned(said.size, 0)
            truth = write_sample_slide(out, spec, progress=lambda done, _: progress.passed(done))
    except ValueError as error:
        print(f"wsi-ai: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"wsi-ai: {out} cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    print(f"{out}: {said.size} x {said.size} px at {said.mpp:g} µm/px; the truth is in {truth}")
    return 0
