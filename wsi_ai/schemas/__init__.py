"""The JSON Schemas of what people write and others read (draft 2020-12)."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import extend

from wsi_ai.schemas.reading import (
    SETTINGS_BYTES,
    Unreadable,
    content_of,
    from_toml,
)

_LONGEST_MESSAGE = 400


def _is_integer(_: Any, value: Any) -> bool:
    """2.0 is none: nobody counts in it, and 1e308 would be one too."""
    return isinstance(value, int) and not isinstance(value, bool)


_TYPES = Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer)
_Validator = extend(Draft202012Validator, type_checker=_TYPES)


@cache
def validator(name: str) -> Any:
    """The validator of ``schemas/<name>.schema.json``."""
    text = files(__package__).joinpath(f"{name}.schema.json").read_text("utf-8")
    return _Validator(json.loads(text))


def complaint(name: str, instance: Any) -> str | None:
    """What is wrong first, as ``field: what it should be``; ``None`` where nothing is."""
    return _message(validator(name), instance)


def complaint_of(schema: Mapping[str, Any], instance: Any) -> str | None:
    """The same by a part of a schema that refers to nothing outside itself."""
    return _message(_Validator(schema), instance)


def _message(by: Any, instance: Any) -> str | None:
    error = best_match(by.iter_errors(instance))
    if error is None:
        return None
    field = ".".join([str(part) for part in error.absolute_path] + _named_by(error))
    told = "there is no such field" if error.validator == "additionalProperties" else error.message
    if len(told) > _LONGEST_MESSAGE:
        told = f"not as it should be ({error.validator})"
    return f"{field}: {told}" if field else told


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
    return parse_toml(_content(path, what, error, SETTINGS_BYTES), name, str(path), error)


def parse_toml(content: bytes, name: str, named: str, error: type[Exception]) -> dict[str, Any]:
    """The same of a file's content; ``named`` is how errors name the file."""
    try:
        table = from_toml(content)
    except Unreadable as problem:
        raise error(f"{named} {problem}") from None
    if wrong := complaint(name, table):
        raise error(f"{named}: {wrong}")
    return table


def _content(path: Path, what: str, error: type[Exception], most_bytes: int) -> bytes:
    try:
        return content_of(path, most_bytes)
    except OSError as problem:
        raise error(f"no {what}: {path}: {problem.strerror}") from None
    except Unreadable as problem:
        raise error(f"{path} {problem}") from None
