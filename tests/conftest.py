"""Real slides come from ../shared; sample slides are drawn once a session, for all its workers."""

import fcntl
import json
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, replace
from pathlib import Path

import pytest
from hypothesis import settings

from tests.depth import NIGHTLY
from wsi_ai.demo import SampleSpec, write_sample_slide
from wsi_ai.demo.atlases import Atlases, make_atlases

ROOT = Path(__file__).resolve().parent.parent
DEMO_MODEL = ROOT / "models" / "demo-tumour"
settings.register_profile("untimed", deadline=None)  # other work on the machine fails no test
settings.load_profile("untimed")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("slow") and not NIGHTLY:
        pytest.skip("every night: WSI_AI_SLOW=1 runs it")


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
    path, told = own / "sample.svs", own / "progress.json"
    with _locked(own):
        if not told.exists():
            rows = list[tuple[int, int]]()
            atlases = atlases_of(folder, spec)
            write_sample_slide(path, spec, progress=lambda *at: rows.append(at), atlases=atlases)
            told.write_text(json.dumps(rows))
    return path


def atlases_of(folder: Path, spec: SampleSpec) -> Atlases:
    """Those of its seed and scale, made once: they take longer than a small slide's own blocks."""
    own = folder / f"atlases-{spec.seed}-{spec.mpp}"
    kept = own / "pickled"
    with _locked(own):
        if not kept.exists():
            kept.write_bytes(pickle.dumps(make_atlases(replace(spec, tumour=True), workers=2)))
        made: Atlases = pickle.loads(kept.read_bytes())
        return made


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Made where it is not there; one process at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def samples_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "samples"


@pytest.fixture(scope="session")
def sample(samples_folder: Path) -> Callable[..., Path]:
    """Draws a sample slide, each spec once.  A seed that another test has drawn costs least."""

    def draw(**wanted: object) -> Path:
        return draw_once(samples_folder, SampleSpec(**wanted))  # type: ignore[arg-type]

    return draw
