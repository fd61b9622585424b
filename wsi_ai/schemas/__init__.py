"""The JSON Schemas (draft 2020-12) of what people write by hand and what others read."""

import json
from functools import cache
from importlib.resources import files
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
