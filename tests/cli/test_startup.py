"""What a command loads before it has anything to show: time that a person waits.

Measured by ``benchmarks/startup.py``; here only which libraries may be in the way.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import DEMO_MODEL

WRITING = {"PIL.ImageDraw", "jinja2", "zarr"}
OTHER_SLIDES = {"openslide", "pydicom"}
OTHER_RUNS = {
    "asyncio",
    "distributed",
    "multiprocessing.context",
    "openvino",
    "sqlalchemy",
    "torch",
    "weasyprint",
    "wsi_ai.run.embed_slides",
}
ON_A_TERMINAL = {"rich"}
ANY_RUN = {"cv2", "jsonschema", "numpy", "onnxruntime", "PIL", "shapely", "tifffile"}

LOADED = "import json, sys; print('loaded', json.dumps(sorted(sys.modules)))"
COMMAND = f"""
import sys
from wsi_ai.cli import main
try:
    main()
except SystemExit:
    pass
{LOADED}
"""
UP_TO_THE_FIRST_BATCH = f"""
import os, sys
from pathlib import Path

class Watch:
    def started(self, slide): pass
    def passed(self, done): pass
    def beside(self): return self
    def planned(self, tiles, done):  # the first tiles are read, the runtime waits for them
        {LOADED}
        sys.stdout.flush()
        os._exit(0)

import wsi_ai.cli.run
from wsi_ai.run.run_slides import run_slides
slide, model, out = map(Path, sys.argv[1:])
list(run_slides([slide], [model], out, watch=Watch()))
"""


def loaded_by(code: str, *words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
    )
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("loaded "))
    return set(json.loads(line.removeprefix("loaded ")))


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["run", "--help"]])
def test_help_loads_nothing_that_a_run_needs(words: list[str]) -> None:
    others = WRITING | OTHER_SLIDES | OTHER_RUNS | ON_A_TERMINAL
    assert not loaded_by(COMMAND, *words) & (ANY_RUN | others)


def test_up_to_its_first_batch_a_run_loads_only_what_reads_and_infers(
    sample: Callable[..., Path], tmp_path: Path
) -> None:
    slide = sample(size_px=1024, tumour=True)
    out = str(tmp_path / "out")
    loaded = loaded_by(UP_TO_THE_FIRST_BATCH, str(slide), str(DEMO_MODEL), out)
    assert "onnxruntime" in loaded
    assert not loaded & (WRITING | OTHER_SLIDES | OTHER_RUNS | ON_A_TERMINAL)
