"""The house's own rules bite, and its documents are true."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    code = "from importlinter.cli import lint_imports_command as c; c(['--no-cache'])"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("triage", "import torch", "Only the gpu package"),
        ("cli/run", "import onnxruntime", "Only the gpu package"),
        ("values", "import zarr", "The vocabulary needs numpy"),
        ("planning", "from wsi_ai.app import run_slides", "Data runs one way"),
        ("planning", "from wsi_ai.tissue import find_tissue", "Data runs one way"),
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


def readme_blocks(language: str) -> list[str]:
    text = (ROOT / "README.md").read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_commands_and_the_python_of_the_readme_work(tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(ROOT / "models")
    commands = [line for block in readme_blocks("bash") for line in block.splitlines() if line]
    assert len(commands) >= 2
    for line in commands:
        name, *words = line.split()
        assert name == "wsi-ai"
        subprocess.run([sys.executable, "-m", "wsi_ai", *words], cwd=tmp_path, check=True)
    (snippet,) = readme_blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", snippet], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert "slide.svs expedite" in done.stdout


PAGES = ["README.md", "CONTRIBUTING.md", "models/demo-tumour/README.md"]
PAGES += [f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("name", PAGES)
def test_links_to_files_lead_somewhere(name: str) -> None:
    page = ROOT / name
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text("utf-8"))
    assert all((page.parent / link).exists() for link in links), links
