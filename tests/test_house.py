"""The house's own rules bite, and its documents are true."""

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
import pytest
from typer.testing import CliRunner

from tests.conftest import ROOT
from tests.depth import NIGHTLY
from tests.models_for_tests import constant_network
from wsi_ai.cli import app


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    code = "from importlinter.cli import lint_imports_command as c; c(['--no-cache'])"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("triage/judge", "import torch", "Only inference and the drafts"),
        ("cli/run", "import onnxruntime", "Only inference and the drafts"),
        ("core/values", "import zarr", "Core needs numpy"),
        ("tiles/planning", "from wsi_ai.app import run_slides", "Imports go down only"),
        ("tissue/mask", "from wsi_ai.slides.inputs import find_slides", "Imports go down only"),
        ("trial/evidence/size", "import pathlib", "The trial's statistics open nothing"),
        ("trial/evidence/size", "from wsi_ai.delivery.audit import Audit", "The trial's statis"),
        ("core/cards", "from wsi_ai.core.values import SlideInfo", "No circles inside a wing"),
    ],
)
def test_a_forbidden_import_is_caught(tmp_path: Path, module: str, line: str, broken: str) -> None:
    shutil.copytree(ROOT / "wsi_ai", tmp_path / "wsi_ai")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "wsi_ai" / f"{module}.py").open("a") as file:
        file.write(f"\n{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode != 0
    assert re.search(f"{broken}.* BROKEN", done.stdout)


def test_the_house_as_it_stands_keeps_its_rules() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


DRAW = ["demo-slide", "slide.svs", "--tumour"]


def readme_blocks(language: str) -> list[str]:
    text = (ROOT / "README.md").read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_commands_and_the_python_of_the_readme_work(
    tmp_path: Path, sample: Callable[..., Path]
) -> None:
    """Each day the slide is one that another test has drawn just so."""
    (tmp_path / "models").symlink_to(ROOT / "models")
    commands = [line for block in readme_blocks("bash") for line in block.splitlines() if line]
    assert len(commands) >= 2
    for line in commands:
        name, *words = line.split()
        assert name == "wsi-ai"
        if words == DRAW and not NIGHTLY:
            (tmp_path / DRAW[1]).symlink_to(sample(tumour=True))
        else:
            subprocess.run([sys.executable, "-m", "wsi_ai", *words], cwd=tmp_path, check=True)
    (snippet,) = readme_blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", snippet], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert "slide.svs expedite" in done.stdout


def made_page() -> ModuleType:
    spec = importlib.util.spec_from_file_location("page", ROOT / "docs" / "make_model_card.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_on_model_cards_is_made_from_their_schema() -> None:
    told = "run: python docs/make_model_card.py"
    assert made_page().page() == (ROOT / "docs" / "model-card.md").read_text("utf-8"), told


def fields_of(part: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, field in part.get("properties", {}).items():
        yield name, field
        yield from fields_of(field)


def test_every_field_of_a_model_card_is_described() -> None:
    schema = json.loads((ROOT / "wsi_ai/schemas/model-card-1.schema.json").read_text("utf-8"))
    silent = [name for name, field in fields_of(schema) if "description" not in field]
    assert silent == []


def commands_of(page: str) -> list[str]:
    blocks = re.findall(r"^```bash\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def test_the_commands_of_the_page_on_models_work(
    tmp_path: Path, sample: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a new user would type them; what init leaves to be filled in is filled in by --set."""
    pytest.importorskip("model_signing.signing", reason="model-signing is not installed")
    network = constant_network([2.0, 3.0])
    axes = [network.graph.input[0].type.tensor_type.shape.dim[n] for n in range(1, 4)]
    for axis, length in zip(axes, (3, 64, 64), strict=True):
        axis.dim_value = length
    network.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    (tmp_path / "candidate.onnx").write_bytes(network.SerializeToString())
    (tmp_path / "slide.svs").symlink_to(sample(size_px=2048, seed=5))
    texts = ["operating_point.chosen_for", "operating_point.calibrated_on", "scope.stain"]
    texts += ["scope.organ", "card.intended_use", "card.licence", "card.training_data"]
    texts += ["card.evidence", "card.limitations"]
    page = (ROOT / "docs" / "models.md").read_text("utf-8")
    commands = commands_of(page)
    assert len(commands) >= 10
    monkeypatch.setenv("WSI_AI_MODELS", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    for line in commands:
        name, *words = shlex.split(line)
        if words[:2] == ["models", "init"]:
            words += [word for field in texts for word in ("--set", f"{field}=said")]
        if name == "wsi-ai":
            done = CliRunner().invoke(app, words)
            assert done.exit_code == 0, (line, done.output)
        else:
            subprocess.run([name, *words], check=True, capture_output=True)


PAGES = ["README.md", "CONTRIBUTING.md", "models/demo-tumour/README.md"]
PAGES += [f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("name", PAGES)
def test_links_to_files_lead_somewhere(name: str) -> None:
    page = ROOT / name
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text("utf-8"))
    assert all((page.parent / link).exists() for link in links), links
