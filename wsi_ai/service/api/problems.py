"""Every error as a problem (RFC 9457): what is wrong, without a value that was sent."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from wsi_ai.errors import InputError, OutputError
from wsi_ai.service.access.door import NotKnown
from wsi_ai.service.access.rights import NotAllowed
from wsi_ai.service.worklist.acknowledging import MayNot, NewerRevision, NoSuchLine

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_AGAIN_S = "5"
_MOST_COMPLAINTS = 20
SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}


class NotThere(HTTPException):
    """Also of what is another trust's."""

    def __init__(self, what: str) -> None:
        super().__init__(404, f"there is no such {what}")


def problem(
    status: int,
    detail: str | None = None,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    content |= {"detail": detail} if detail else {}
    return JSONResponse(content | more, status, headers, media_type=MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: what a path may answer beside its own."""
    content = {MEDIA_TYPE: {"schema": SCHEMA}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in (400, 401, 403, 404, 422, 503, *statuses)
    }


def answer_errors(app: FastAPI) -> None:
    """Of every path, also of those that there are not."""
    for kind, answer in _ANSWERS.items():
        app.add_exception_handler(kind, answer)


def _refused(request: Request, error: HTTPException) -> JSONResponse:
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if error.status_code == 405:
        headers["allow"] = ", ".join(_allowed(request))
    plain = error.detail if error.detail != HTTPStatus(error.status_code).phrase else None
    return problem(error.status_code, plain, headers)


def _unclear(request: Request, error: RequestValidationError) -> JSONResponse:
    found = error.errors()
    if any(one["type"] == "json_invalid" for one in found):
        return problem(400, "the body is not JSON")
    return problem(422, "the request is not as it should be", None, errors=_complaints(found))


def _unknown(request: Request, error: NotKnown) -> JSONResponse:
    return problem(401, str(error), {"www-authenticate": 'Bearer realm="wsi_ai"'})


def _away(request: Request, error: OutputError) -> JSONResponse:
    log.error("%s", error)
    return problem(503, "the database is away: try again", {"retry-after": _AGAIN_S})


def _newer(request: Request, error: NewerRevision) -> JSONResponse:
    return problem(409, str(error), revision=error.revision)


def _ours(request: Request, error: Exception) -> JSONResponse:
    return problem(500, "a mistake of ours: see the log")


def _with(status: int) -> Any:
    async def answer(request: Request, error: Exception) -> JSONResponse:
        return problem(status, str(error))

    return answer


def _allowed(request: Request) -> list[str]:
    """By all routes of the path: each of them alone would name its own methods only."""
    found = set[str]()
    for route in request.app.routes:
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            found |= set(getattr(route, "methods", None) or ())
    return sorted(found)


def _complaints(found: Sequence[Any]) -> list[dict[str, str]]:
    return [
        {"at": ".".join(str(part) for part in one["loc"]), "detail": str(one["msg"])}
        for one in found[:_MOST_COMPLAINTS]
    ]


_ANSWERS: Mapping[type[Exception], Any] = {
    HTTPException: _refused,
    RequestValidationError: _unclear,
    NotKnown: _unknown,
    OutputError: _away,
    NewerRevision: _newer,
    NotAllowed: _with(403),
    MayNot: _with(403),
    NoSuchLine: _with(404),
    InputError: _with(422),
    Exception: _ours,
}
