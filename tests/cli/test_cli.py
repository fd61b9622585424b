"""What a person types, sees and gets wrong."""

import subprocess
import sys
from pathlib import Path

import openslide
import pytest
from typer.testing import CliRunner, Result

from tests.models_for_tests import red_network, write_model
from wsi_ai.cli import app
from wsi_ai.core.flags import STATEMENT


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "red", red_network(), mpp=1.0)


def wsi_ai(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys; sys.argv = ['wsi-ai', '--help']\n"
        "from wsi_ai.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'zarr', 'cv2', 'torch', 'onnxruntime', 'matplotlib', 'openslide'}\n"
        "heavy |= {'sqlalchemy', 'pydantic', 'httpcore', 'fastapi', 'uvicorn', 'cryptography'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "demo-slide" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_importing_the_package_loads_nothing_and_adds_no_log_handler() -> None:
    code = (
        "import sys, logging; import wsi_ai\n"
        "heavy = {'numpy', 'zarr', 'torch', 'onnxruntime'} & set(sys.modules)\n"
        "print(sorted(heavy), logging.getLogger().handlers, logging.getLogger('wsi_ai').handlers)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] [] []\n"


def test_a_run_tells_level_reason_and_where_the_files_are(
    cmu: Path, model: Path, tmp_path: Path
) -> None:
    done = wsi_ai("run", cmu, "--model", model, "--out", tmp_path)
    assert done.exit_code == 0
    assert f"{cmu}: EXPEDITE: " in done.stdout
    assert "overlay.png" in done.stdout
    assert STATEMENT in done.stdout
    assert "tiles" in done.stderr
    again = wsi_ai("run", cmu, "--model", model, "--out", tmp_path)
    assert again.exit_code == 0
    assert "done before, nothing to do" in again.stdout


def test_all_damaged_slides_in_one_command_exit_1_and_tell_each_reason(
    shared_data: Path, model: Path, tmp_path: Path
) -> None:
    slides = sorted((shared_data / "damaged").iterdir())
    done = wsi_ai("run", *slides, "--model", model, "--out", tmp_path)
    assert done.exit_code == 1
    for slide in slides:
        assert f"{slide}: " in done.stdout
    assert len(list(tmp_path.glob("*/*/flag.json"))) == len(slides)
    assert not list(tmp_path.rglob(".*"))
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--mpp", "0"], "mpp"),
        (["--policy", "nowhere.toml"], "no policy: nowhere.toml"),
        (["--model", "nowhere"], "no model card: "),
        (["--device", "abacus"], "nothing installed runs onnx models on device 'abacus'"),
        (["--speed", "9"], "No such option"),
    ],
)
def test_a_wrong_command_exits_2_and_says_what_is_wrong(
    cmu: Path, model: Path, tmp_path: Path, words: list[str], told: str
) -> None:
    done = wsi_ai("run", cmu, "--model", model, "--out", tmp_path, *words)
    assert done.exit_code == 2
    assert told in done.stderr
    assert "Traceback" not in done.output


@pytest.mark.slow
def test_demo_slide_writes_a_slide_and_its_truth(tmp_path: Path) -> None:
    path = tmp_path / "new" / "s.svs"
    done = wsi_ai("demo-slide", path, "--size", 1024, "--mpp", 0.25)
    assert done.exit_code == 0
    assert openslide.OpenSlide(path).properties["openslide.mpp-x"] == "0.25"
    assert path.with_suffix(".geojson").is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["x.tif"], "is an .svs file"),
        (["x.svs", "--size", "10"], "1024 to 200000 px"),
        (["/proc/x.svs"], "cannot be written"),
    ],
)
def test_demo_slide_refuses_what_it_cannot_draw(words: list[str], told: str) -> None:
    done = wsi_ai("demo-slide", *words)
    assert done.exit_code == 2
    assert told in done.stderr


@pytest.mark.parametrize(
    ("missing", "device", "extra"),
    [("onnxruntime", "cpu", "cpu"), ("openvino", "openvino", "openvino")],
)
def test_a_library_that_is_not_installed_is_told_with_what_installs_it(
    cmu: Path, model: Path, tmp_path: Path, missing: str, device: str, extra: str
) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from wsi_ai.cli import main; main()"
    words = ["run", cmu, "--model", model, "--out", tmp_path, "--device", device]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 2
    told = f"{missing} is not installed; install it with: pip install 'wsi-ai[{extra}]'"
    assert done.stderr.splitlines()[-1] == f"wsi-ai: {told}"
    assert done.stdout == ""
