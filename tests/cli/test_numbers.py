"""Every number on every command line: none that is none."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from wsi_ai.cli import app


def numbers(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Options that take a number with a fraction, and how they are reached."""
    for name, part in getattr(command, "commands", {}).items():
        yield from numbers(part, (*words, name))
    for option in command.params:
        if hasattr(option, "type_descriptor") and option.type_descriptor.annotation is float:
            yield (*words, option.opts[0])


NUMBERS = sorted(numbers(typer.main.get_command(app)))


def test_there_are_some() -> None:
    assert len(NUMBERS) >= 8


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("words", NUMBERS, ids=" ".join)
def test_no_option_takes_a_number_that_is_none(words: tuple[str, ...], number: str) -> None:
    *command, option = words
    done = CliRunner().invoke(app, [*command, f"{option}={number}"])
    assert done.exit_code == 2
    assert "Invalid value" in done.output
