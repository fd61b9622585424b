"""A card's fields as a person types them: ``input.mpp=0.5``."""

import copy
from collections.abc import Mapping
from typing import Any

from wsi_ai import schemas
from wsi_ai.errors import ModelError

_SCHEMA = "model-card-1"


def typed(field: str, text: str) -> Any:
    """``text`` as what the card's schema wants there: numbers, or lists with commas.

    Raises ModelError where there is no such field, or where it cannot be this.
    """
    kind = _kind(field)
    value = _as(field, kind, text.strip())
    if wrong := schemas.complaint_of(kind, value):
        raise ModelError(f"{field}: {wrong}")
    return value


def with_fields(table: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """The table with fields set, by dotted name; those of a class of the same name too:
    ``output.roles.tumour``."""
    made = copy.deepcopy(dict(table))
    for field, value in said.items():
        *path, last = field.split(".")
        part = made
        for name in path:
            part = part.setdefault(name, {})
        part[last] = value
    return made


def _kind(field: str) -> Mapping[str, Any]:
    """The part of the schema that is about a field."""
    schema: Any = schemas.validator(_SCHEMA).schema
    found = schema
    for name in field.split("."):
        parts = found.get("properties", {})
        other = found.get("additionalProperties", False)
        found = parts.get(name) or (other if isinstance(other, dict) else None)
        if found is None:
            raise ModelError(f"a model card has no field {field}")
        if "$ref" in found:
            aim = schema["$defs"][found["$ref"].rpartition("/")[2]]
            found = {**aim, **{k: v for k, v in found.items() if k != "$ref"}}
    kind: Mapping[str, Any] = found
    return kind


def _as(field: str, kind: Mapping[str, Any], text: str) -> Any:
    types = kind.get("type", "string")
    if "array" in types:
        return [_as(field, kind["items"], part.strip()) for part in text.split(",") if part.strip()]
    if types == "object":
        raise ModelError(f"{field} is a table; set the fields in it one by one")
    try:
        if types == "integer":
            return int(text)
        return float(text) if types == "number" else text
    except ValueError:
        raise ModelError(f"{field}: {text!r} is no {types}") from None
