"""The JSON Schemas of what people write and others read (draft 2020-12)."""

import json
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match


@cache
def validator(name: str) -> Draft202012Validator:
    """The validator of ``schemas/<name>.schema.json``."""
    text = files(__package__).joinpath(f"{name}.schema.json").read_text("utf-8")
    return Draft202012Validator(json.loads(text))


def complaint(name: str, instance: Any) -> str | None:
    """What is wrong first, as ``field: what it should be``; ``None`` where nothing is."""
    return _message(validator(name), instance)


def complaint_of(schema: Mapping[str, Any], instance: Any) -> str | None:
    """The same by a part of a schema that refers to nothing outside itself."""
    return _message(Draft202012Validator(schema), instance)


def _message(by: Draft202012Validator, instance: Any) -> str | None:
    error = best_match(by.iter_errors(instance))
    if error is None:
        return None
    field = ".".join([str(part) for part in error.absolute_path] + _named_by(error))
    told = "there is no such field" if error.validator == "additionalProperties" else error.message
    return f"{field}: {told}" if field else str(error.message)


def _named_by(error: ValidationError) -> list[str]:
    """The field that is missing, or that should not be there: the path ends above it."""
    there = set(error.instance) if isinstance(error.instance, dict) else set()
    if error.validator == "required":
        return [name for name in error.validator_value if name not in there][:1]
    if error.validator == "additionalProperties" and error.validator_value is False:
        return sorted(there - set(error.schema.get("properties", ())))[:1]
    return []


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
