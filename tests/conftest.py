"""Real slides come from ../shared; sample slides are drawn once a session, for all its workers."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import astuple
from pathlib import Path

import pytest
from hypothesis import settings

from wsi_ai.demo import SampleSpec, write_sample_slide

ROOT = Path(__file__).resolve().parent.parent
DEMO_MODEL = ROOT / "models" / "demo-tumour"
settings.register_profile("untimed", deadline=None)  # other work on the machine fails no test
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def own_data_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keys and models of the tests lie nowhere else."""
    before = os.environ.get("XDG_DATA_HOME")
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("data-home"))
    yield
    os.environ.pop("XDG_DATA_HOME")
    if before is not None:
        os.environ["XDG_DATA_HOME"] = before


@pytest.fixture(scope="session", autouse=True)
def no_measured_choice() -> Iterator[None]:
    """``--device auto`` is the rule's in tests, for nothing can be kept there."""
    before = os.environ.get("WSI_AI_CHOICES")
    os.environ["WSI_AI_CHOICES"] = "/dev/null/choices"
    yield
    os.environ.pop("WSI_AI_CHOICES")
    if before is not None:
        os.environ["WSI_AI_CHOICES"] = before


def find_shared() -> Path | None:
    """The folder of real slides: beside the project, or beside where it was cloned from."""
    for place in (ROOT.parent / "shared", Path.cwd().parent / "shared"):
        if (place / "data").is_dir():
            return place
    return None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    shared = find_shared()
    if shared is None:
        pytest.skip("no ../shared/data beside the project: real slides are not at hand")
    return shared / "data"


@pytest.fixture(scope="session")
def cmu(shared_data: Path) -> Path:
    return shared_data / "slides" / "cmu-1-small-region.svs"


def draw_once(folder: Path, spec: SampleSpec) -> Path:
    """The slide of a spec, its truth, and as ``progress.json`` what was told while it was drawn.

    Of the workers that share the folder the first draws, and the others wait.
    """
    own = folder / "-".join(map(str, astuple(spec)))
    own.mkdir(parents=True, exist_ok=True)
    path, told = own / "sample.svs", own / "progress.json"
    with (own / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            rows = list[tuple[int, int]]()
            write_sample_slide(path, spec, progress=lambda *at: rows.append(at))
            told.write_text(json.dumps(rows))
    return path


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Draws a sample slide, each spec once."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "samples"

    def draw(**wanted: object) -> Path:
        return draw_once(folder, SampleSpec(**wanted))  # type: ignore[arg-type]

    return draw
