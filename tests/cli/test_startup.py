"""What a command loads before it has anything to show: time that a person waits.

Measured by ``benchmarks/startup.py``; here only which libraries may be in the way.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models_for_tests import red_network, write_model
from tests.stand_in_runs import write_slide

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
OPEN = 'name = "open"\n[rule]\ntiles = 1\n[quality]\nfocus_min = 0\npen_max = 1\ncast_max = 1\n'
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
RUN = f"""
import os, sys, time
from pathlib import Path

def end():
    {LOADED}
    sys.stdout.flush()
    os._exit(0)

class Watch:
    def started(self, slide): pass
    def beside(self): return self
    def planned(self, tiles, done):  # the first tiles are read, the runtime waits for them
        if until == "first batch":
            end()
    def passed(self, done):
        latest = time.monotonic() + 30
        while done > 1 and time.monotonic() < latest and not wanted <= set(sys.modules):
            time.sleep(0.01)
        if done > 1:
            end()

import wsi_ai.cli.run
from wsi_ai.run.options import RunOptions
from wsi_ai.run.run_slides import run_slides
until, wanted = sys.argv[1], set(sys.argv[1].split())
slide, model, out, policy = map(Path, sys.argv[2:])
options = RunOptions(policy=policy, batch_size=1)
list(run_slides([slide], [model], out, options, watch=Watch()))
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


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A slide of nine tiles, a model, where results go, and a policy that lets it pass."""
    slide = write_slide(tmp_path / "s.tif", 192)
    model = write_model(tmp_path / "red", red_network(side=64), side=64, mpp=0.5)
    (tmp_path / "p.toml").write_text(OPEN)
    return [str(place) for place in (slide, model, tmp_path / "out", tmp_path / "p.toml")]


def test_up_to_its_first_batch_a_run_loads_only_what_reads_and_infers(words: list[str]) -> None:
    loaded = loaded_by(RUN, "first batch", *words)
    assert "onnxruntime" in loaded
    assert not loaded & (WRITING | OTHER_SLIDES | OTHER_RUNS | ON_A_TERMINAL)


def test_what_writes_is_loaded_while_the_first_slide_is_inferred(words: list[str]) -> None:
    """Not at its end, which may be hours and an upgrade later."""
    assert loaded_by(RUN, " ".join(WRITING), *words) >= WRITING
