"""What the pages for contributors say of the house is so."""

import ast
import functools
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from tests.conftest import ROOT
from wsi_ai.cli import app

PACKAGE = ROOT / "wsi_ai"
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
ROOMS = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


def block_with(first_line: str) -> str:
    """The text block of CONTRIBUTING that begins so."""
    found = re.search(rf"^```\n({re.escape(first_line)}\n.*?)^```", CONTRIBUTING, re.M | re.S)
    assert found is not None
    return found[1]


def tree() -> dict[str, str]:
    """What the tree says of each room."""
    rows = re.findall(r"^  (\w+)/ +(.+)$", block_with("wsi_ai/"), re.MULTILINE)
    return dict(rows)


def test_the_tree_shows_every_room_and_no_other() -> None:
    assert tree().keys() == ROOMS


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_calls_itself_what_the_tree_calls_it(room: str) -> None:
    module = ast.parse((PACKAGE / room / "__init__.py").read_text("utf-8"))
    said = " ".join((ast.get_docstring(module) or "").split()).lower()
    first_clause = re.split(r"[;:]", tree()[room].lower())[0]
    assert first_clause in said


def test_the_rule_shown_is_the_contract_that_is_checked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    shown = [line.split() for line in block_with("cli").splitlines()]
    assert shown == [re.sub(r"[()]", "", layer).split(" | ") for layer in layers]


def test_the_types_at_the_doors_are_where_the_journey_says() -> None:
    page = (ROOT / "docs" / "journey.md").read_text("utf-8")
    doors = re.findall(r"\[`(\w+)`\]\(\.\./([^)]+)\)", page)
    assert len(doors) >= 15
    for name, path in doors:
        assert re.search(rf"^class {name}\b", (ROOT / path).read_text("utf-8"), re.M), (name, path)


def test_the_hazard_log_names_tests_that_exist() -> None:
    page = (ROOT / "docs" / "hazard-log.md").read_text("utf-8")
    named = re.findall(r"`((?:tests/)?[\w/]*test_\w+\.py)`", page)
    assert len(named) >= 20
    assert [name for name in named if not _place(name).exists()] == []


def test_the_hazard_log_s_rows_are_in_order_and_each_is_held_by_something() -> None:
    page = (ROOT / "docs" / "hazard-log.md").read_text("utf-8")
    rows = re.findall(r"^\| H(\d+) \|(.+)$", page, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1))
    held = [(row, row.rsplit(" | ", 1)[-1]) for _, row in rows if "outside the software" not in row]
    assert [row for row, tests in held if not re.search(r"`(tests/|test_)\w+", tests)] == []


def _texts_of(node: ast.AST) -> str | None:
    """A text of the code, with a mark in the place of what is put into it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_texts_of(part) or "\0" for part in node.values)
    return None


@functools.cache
def program_texts() -> tuple[str, ...]:
    trees = (ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py"))
    texts = {_texts_of(node) for tree in trees for node in ast.walk(tree)}
    return tuple(text for text in texts if text)


def is_said(message: str) -> bool:
    """Whether one text of the program has the message's parts, in their order."""
    parts = [re.escape(part.strip()) for part in message.split("…") if part.strip()]
    wanted = re.compile(".*".join(parts), re.DOTALL)
    return any(wanted.search(text) for text in program_texts())


def test_every_message_of_the_page_on_trouble_is_one_of_the_program() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    named = re.findall(r"^\| `([^|]+)` \|", page, re.MULTILINE)
    assert len(named) >= 40
    assert [message for message in named if not is_said(message)] == []
    assert not is_said("a message … that nobody ever wrote")


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_files_that_a_page_names_are_there(page: Path) -> None:
    """But for those that it asks the reader to write."""
    text = page.read_text("utf-8")
    own = set(re.findall(r"^\*\*`([^`]+)`\*\*", text, re.MULTILINE))
    named = set(re.findall(r"`((?:tests|wsi_ai|benchmarks|configs)/[\w./-]+)`", text))
    assert [name for name in sorted(named - own) if not (ROOT / name).exists()] == []


def commands_of(page: Path) -> Iterator[list[str]]:
    """Each ``wsi-ai …`` of the page, in blocks and in running text, up to what a shell adds."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    for found in re.findall(r"(?:^|[`/ =])wsi-ai ([a-z][^`\n]*)", text, re.MULTILINE):
        words = re.split(r"\s+(?:#|\||&&|>)|\s\s+#", found)[0].split()
        yield [word.strip("'\",.;:)([]") for word in words]


def command_named(words: Sequence[str]) -> tuple[Any, list[str]] | None:
    """The command that the words begin with, and what follows; ``None`` where they are prose."""
    command: Any = typer.main.get_command(app)
    left = list(words)
    while isinstance(command, TyperGroup):
        if not left or left[0] not in command.commands:
            return None
        command = command.commands[left.pop(0)]
    return command, left


def unknown_options(page: Path) -> Iterator[str]:
    for words in commands_of(page):
        if (found := command_named(words)) is None:
            continue
        command, left = found
        known = {opt for param in command.params for opt in (*param.opts, *param.secondary_opts)}
        given = {word.partition("=")[0] for word in left if word.startswith("--")}
        yield from (f"{command.name} {option}" for option in sorted(given - known - {"--help"}))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_have_the_options_that_it_gives_them(page: Path) -> None:
    assert list(unknown_options(page)) == []


def test_an_option_that_is_not_there_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Give `wsi-ai flags list --everything`, or\n\n    wsi-ai run a.svs --modle m\n")
    assert list(unknown_options(page)) == ["list --everything", "run --modle"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    """To files, and to headings in them."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" in link:
            continue
        name, _, heading = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if heading:
            assert heading in headings(target), link


def test_each_word_of_the_glossary_has_a_place_of_its_own_to_link_to() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    rows = re.findall(r"^\| .*\*\*.*$", page, re.MULTILINE)
    assert len(rows) >= 90
    assert [row for row in rows if not row.startswith('| <a id="')] == []
    places = re.findall(r'<a id="([^"]+)"></a>', page)
    assert sorted(places) == sorted(set(places))


def headings(page: Path) -> set[str]:
    """As GitHub names them in addresses, and the places that the page names itself."""
    text = page.read_text("utf-8")
    kept = (re.sub(r"[^\w\- ]", "", line.lower()) for line in re.findall(r"^#+ (.+)$", text, re.M))
    named = re.findall(r'<a id="([^"]+)"></a>', text)
    return {*named, *(line.strip().replace(" ", "-") for line in kept)}


def _place(name: str) -> Path:
    """Files without a folder are in ``tests/delivery``."""
    return ROOT / name if "/" in name else ROOT / "tests" / "delivery" / name
