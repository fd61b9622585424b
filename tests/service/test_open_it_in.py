"""The commands of docs/open-it-in.md work as they stand there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
from typer.testing import CliRunner

from tests.conftest import ROOT
from tests.service.viewer.parts import analysed, write_jpeg_slide
from wsi_ai.cli import app

PAGE = (ROOT / "docs" / "open-it-in.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("open")
    slide = write_jpeg_slide(folder / "slide.tif").rename(folder / "slide.svs")
    analysed(slide, folder / "results")
    return folder


def test_each_command_of_the_page_works(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    assert len(lines) == 5
    for line in lines:
        words = shlex.split(line)[1:]
        if words[0] == "view":
            assert status_of_what_opens(words, here) == 200
        else:
            done = CliRunner().invoke(app, words)
            lacks_napari = words[0] == "open-in-napari" and "wsi-ai[napari]" in done.output
            assert done.exit_code == 0 or lacks_napari, (line, done.output)


def status_of_what_opens(words: list[str], here: Path) -> int:
    """Start the command, open the address that it prints, and stop it."""
    command = [sys.executable, "-m", "wsi_ai", *words]
    with subprocess.Popen(command, cwd=here, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        said, address = running.stdout.readline().split()
        assert said == "open"
        with urlopen(address) as answer:
            status: int = answer.status
        running.terminate()
        assert running.wait(30) == 0
    return status


def test_the_python_of_the_page_reads_the_scores(here: Path) -> None:
    (results,) = (here / "results").glob("*/*/heatmap.ome.zarr")
    (code,) = blocks("python")
    found: dict[str, object] = {}
    place = "results/SLIDE/MODEL/heatmap.ome.zarr"
    exec(code.replace(place, str(results)), found)
    assert found["scores"].shape == (1, 10, 10)  # type: ignore[attr-defined]
