"""The JSON Schemas (draft 2020-12) of what people write by hand and what others read."""

import json
import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match


@cache
def validator(name: str) -> Draft202012Validator:
    """The validator of ``schemas/<name>.schema.json``."""
    text = files(__package__).joinpath(f"{name}.schema.json").read_text("utf-8")
    return Draft202012Validator(json.loads(text))


def complaint(name: str, instance: Any) -> str | None:
    """What is wrong first, as ``field: what it should be``; ``None`` where nothing is."""
    error = best_match(validator(name).iter_errors(instance))
    if error is None:
        return None
    field = ".".join(str(part) for part in error.absolute_path)
    return f"{field}: {error.message}" if field else str(error.message)


def load_toml(path: Path, name: str, what: str, error: type[Exception]) -> dict[str, Any]:
    """The table of a file that satisfies ``schemas/<name>.schema.json``.

    Raises ``error``, which names the file and the field; ``what`` is what people call such a file.
    """
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise error(f"no {what}: {path}: {problem.strerror}") from None
    return parse_toml(content, name, str(path), error)


def parse_toml(content: bytes, name: str, named: str, error: type[Exception]) -> dict[str, Any]:
    """The same of a file's content; ``named`` is how errors name the file."""
    try:
        table = tomllib.loads(content.decode())
    except ValueError as problem:  # TOML or UTF-8
        raise error(f"{named} is not valid TOML: {problem}") from None
    if wrong := complaint(name, table):
        raise error(f"{named}: {wrong}")
    return table
