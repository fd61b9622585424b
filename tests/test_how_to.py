"""The pages "how to add a …" work as they stand: a stranger who follows them gets what they say.

Each page's files are written into an empty folder, and its commands run there.  Two are replaced:
``pip install`` would ask the network, so the entry points of the page's ``pyproject.toml`` are
written beside its modules, as an installed package's are; the sample slide is drawn once for all
pages.  What Python runs, runs in forks of one process that has other libraries loaded already.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.conftest import ROOT

INSTALL = "python -m pip install ."
DRAW = "wsi-ai demo-slide sample.svs --tumour --size 1024"
Follow = Callable[[str, Path], str]
MOST_LINES = 40
PLUG_INS = ("reader", "sink", "runtime")
IN_THE_TREE = ("rule", "model-task")


def blocks(page: str, language: str = r"\w+") -> list[tuple[str, str]]:
    """The file that each code block is, as the words before it name it in bold, and its text."""
    text = (ROOT / "docs" / f"how-to-add-a-{page}.md").read_text("utf-8")
    found = re.findall(rf"^(.*?)^```({language})\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [(_named(before), block) for before, _, block in found]


def _named(before: str) -> str:
    names = re.findall(r"^\*\*`([^`]+)`\*\*", before, re.MULTILINE)
    return names[-1] if names else ""


def write_files(page: str, folder: Path) -> None:
    for name, text in blocks(page):
        if name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, "utf-8")


def install(folder: Path) -> None:
    """What pip leaves for ``importlib.metadata`` to find."""
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    about = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir()
    named = f"Name: {project['name']}\nVersion: {project['version']}\n"
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\n{named}")
    lines = list[str]()
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")


def commands(page: str) -> Iterator[str]:
    for _, block in blocks(page, "bash"):
        yield from (line for line in block.splitlines() if line)


class Warm:
    """See ``warm_python``."""

    def __init__(self) -> None:
        script = str(ROOT / "tests" / "warm_python.py")
        self._process = subprocess.Popen(
            [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, words: Sequence[str], folder: Path) -> str:
        """What it printed."""
        asked = {"words": words, "folder": str(folder), "paths": [str(folder), str(ROOT)]}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        status = self._process.stdout.readline().strip()
        printed = (folder / "printed").read_text("utf-8")
        assert status == "0", (words, printed)
        return printed

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    warm = Warm()
    yield warm
    warm.close()


def words_of(command: str, folder: Path) -> list[str] | None:
    """What Python is given; ``None`` for a command that is another program's."""
    name, *words = shlex.split(command.replace("$PWD", str(folder)))
    if name == "python":
        return words
    return ["-m", "wsi_ai", *words] if name == "wsi-ai" else None


@pytest.fixture
def follow(sample: Callable[..., Path], warm: Warm) -> Follow:
    """Runs a page's commands in a folder; gives what they printed."""

    def by_page(page: str, folder: Path) -> str:
        printed = ""
        for command in commands(page):
            words = words_of(command, folder)
            if command == INSTALL:
                install(folder)
            elif command == DRAW:
                (folder / "sample.svs").symlink_to(sample(size_px=1024, tumour=True))
            elif words is None:
                subprocess.run(["sh", "-c", command], cwd=folder, check=True)
            else:
                printed += warm.run(words, folder)
        return printed

    return by_page


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """An empty folder beside the checkout."""
    (tmp_path / "wsi_ai").symlink_to(ROOT)
    folder = tmp_path / "own"
    folder.mkdir()
    return folder


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A checkout of one's own."""
    folder = tmp_path / "copy"
    for name in ("wsi_ai", "models", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "tests/__init__.py", "tests/conftest.py", "tests/depth.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def flag_in(folder: Path) -> dict[str, object]:
    (path,) = (folder / "results").glob("*/*/flag.json")
    result: dict[str, object] = json.loads(path.read_text("utf-8"))["result"]
    return result


def record_in(folder: Path) -> dict[str, dict[str, object]]:
    (path,) = (folder / "results").glob("*/*/run.json")
    record: dict[str, dict[str, object]] = json.loads(path.read_text("utf-8"))
    return record


@pytest.mark.parametrize("page", PLUG_INS + IN_THE_TREE)
def test_no_example_of_a_page_is_longer_than_it_says(page: str) -> None:
    longest = max(len(text.splitlines()) for _, text in blocks(page))
    assert longest < MOST_LINES


def test_the_page_on_readers_adds_one(beside: Path, follow: Follow) -> None:
    write_files("reader", beside)
    printed = follow("reader", beside)
    assert "5 passed, 1 skipped" in printed
    assert record_in(beside)["slide"]["reader"] == "npy"
    assert flag_in(beside)["level"] == "expedite"


def test_the_page_on_sinks_adds_one(beside: Path, follow: Follow) -> None:
    write_files("sink", beside)
    printed = follow("sink", beside)
    assert "5 passed" in printed
    lines = (beside / "flags.jsonl").read_text("utf-8").splitlines()
    sent = [json.loads(line)["data"] for line in lines]
    assert [flag["revision"] for flag in sent] == list(range(1, len(sent) + 1))
    assert sent[-1]["result"]["level"] == flag_in(beside)["level"] == "expedite"


def test_the_page_on_runtimes_adds_one(beside: Path, follow: Follow) -> None:
    write_files("runtime", beside)
    printed = follow("runtime", beside)
    assert "12 passed" in printed
    assert re.search(r"opencv .*ok", printed), printed
    assert flag_in(beside)["level"] == "expedite"


def patched(page: str, folder: Path) -> None:
    (change,) = (text for _, text in blocks(page, "diff"))
    subprocess.run(
        ["git", "apply", "--unidiff-zero"], cwd=folder, input=change, text=True, check=True
    )
    write_files(page, folder)


def test_the_page_on_rules_adds_one(copy: Path, follow: Follow) -> None:
    patched("rule", copy)
    printed = follow("rule", copy)
    assert "1 passed" in printed
    assert "the largest region that looks like tumour" in str(flag_in(copy)["explanation"])


def test_the_page_on_model_tasks_adds_one(copy: Path, follow: Follow) -> None:
    patched("model-task", copy)
    printed = follow("model-task", copy)
    assert "1 passed" in printed
    assert "tile-ordinal" in (copy / "docs" / "model-card.md").read_text("utf-8")
    assert flag_in(copy)["level"] == "expedite"
