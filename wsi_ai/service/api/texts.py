"""Texts that the API takes: with patterns, so that no database is asked what it cannot keep."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Any

from fastapi import Path
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from wsi_ai.errors import InputError

_LINE = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$"
Line = Annotated[str, StringConstraints(pattern=_LINE, min_length=1, max_length=200)]
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]")
Trust = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
SlideUri = Annotated[str, StringConstraints(pattern=_LINE, min_length=1, max_length=1000)]
JobId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
FlagId = Annotated[str, Path(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Sid = Annotated[str, Path(pattern=r"^[0-9a-f]{32}([0-9a-f]{32})?$")]
Limit = Annotated[int, Field(ge=1, le=500)]
Next = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_-]{1,400}$", description="As the last page gave it.")
]


def _written(value: object) -> object:
    """A number would be taken for seconds."""
    if not isinstance(value, str) or not _MOMENT.match(value):
        raise ValueError("a time with its zone, as 2026-11-24T08:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_written)]


class Body(BaseModel):
    """Nothing that is not known: a mistyped field would be left out in silence."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


def opaque(where: list[Any]) -> str:
    """Where the next page begins."""
    return urlsafe_b64encode(json.dumps(where).encode()).rstrip(b"=").decode()


def plain(text: str, *kinds: type) -> list[Any]:
    """The same back.  Raises InputError for what no page gave."""
    try:
        found = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, RecursionError):
        found = None
    right = isinstance(found, list) and len(found) == len(kinds)
    if not right or any(type(one) is not kind for one, kind in zip(found, kinds, strict=True)):
        raise InputError("next: no page ends there")
    return list(found)
