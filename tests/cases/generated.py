"""Runs the generators of ../shared/cases/reading on a copy of them.

python -m tests.cases.generated FOLDER
"""

import os
import runpy
import sys
import warnings
from pathlib import Path

_LARGE = "n=12000"
"""Of a chunk of 412 MiB; one of 71 MiB is refused for the same reason, and is made in a second."""


def generate(folder: Path) -> None:
    """``folder`` is a copy of ``reading``; each case's inputs come to lie beside its generator."""
    for script in sorted(folder.glob("*/gen.py")):
        script.write_text(script.read_text("utf-8").replace(_LARGE, "n=5000"), "utf-8")
        here = Path.cwd()
        sys.modules.pop("lib", None)  # what one script changes in it is not for the next
        runpy.run_path(str(script))
        os.chdir(here)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    generate(Path(sys.argv[1]))
