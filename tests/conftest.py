"""Real slides come from ../shared; sample slides are drawn once a session."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from wsi_ai.demo import SampleSpec, write_sample_slide

ROOT = Path(__file__).resolve().parent.parent
DEMO_MODEL = ROOT / "models" / "demo-tumour"
settings.register_profile("untimed", deadline=None)  # other work on the machine fails no test
settings.load_profile("untimed")


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


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Draws a sample slide, each spec once."""
    folder, drawn = tmp_path_factory.mktemp("samples"), dict[SampleSpec, Path]()

    def draw(**wanted: object) -> Path:
        spec = SampleSpec(**wanted)  # type: ignore[arg-type]
        if spec not in drawn:
            drawn[spec] = folder / f"sample{len(drawn)}.svs"
            write_sample_slide(drawn[spec], spec)
        return drawn[spec]

    return draw
