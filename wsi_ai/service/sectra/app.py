"""What a Sectra PACS calls: registration, notices of images, and what a person asks for."""

import hmac
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from wsi_ai.core.attempt import error_of
from wsi_ai.delivery.receiver.body import body_within
from wsi_ai.delivery.sinks.sectra_api import API_VERSION, SOFTWARE_HEADER, VERSION_HEADER
from wsi_ai.errors import DeliveryError, OutputError
from wsi_ai.schemas.reading import Unreadable, from_json
from wsi_ai.service.sectra.application import Application, NotTaken

log = logging.getLogger(__name__)

_MOST_BYTES = 1 << 20
_OK, _NO_SUCH, _BAD, _FAULT, _BEHIND, _LATER = 200, 404, 400, 500, 502, 503

Handle = Callable[[Mapping[str, Any]], Any]


def sectra_app(application: Application, secret: str = "") -> Starlette:
    """The ASGI app.  With a secret, it is the last part of the address that is registered."""
    edge = _Edge(application, secret)
    under = "/{secret}" if secret else ""
    calls = (("", edge.register, "GET"), ("", edge.invoke, "POST"), ("/info", edge.info, "GET"),
             ("/imagenotification", edge.notify, "POST"))  # fmt: skip
    routes = [
        Route(f"{under}{path}{end}" or "/", called, methods=[method])
        for path, called, method in calls
        for end in ("", "/")
    ]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False  # behind a proxy a redirect leads elsewhere
    return app


@dataclass(frozen=True, slots=True)
class _Edge:
    application: Application
    secret: str

    async def register(self, request: Request) -> Response:
        return self._described(request, self.application.registration())

    async def info(self, request: Request) -> Response:
        found = {"apiVersion": API_VERSION, "softwareVersion": _own_version()}
        return self._described(request, found)

    async def invoke(self, request: Request) -> Response:
        return await self._handled(request, self.application.invoked)

    async def notify(self, request: Request) -> Response:
        return await self._handled(request, self.application.notified)

    def _described(self, request: Request, content: Any) -> Response:
        return _answer(content) if self._is_known(request) else _refused(_NO_SUCH, "no such place")

    def _is_known(self, request: Request) -> bool:
        found = str(request.path_params.get("secret", ""))
        return hmac.compare_digest(found.encode(), self.secret.encode())

    async def _handled(self, request: Request, handle: Handle) -> Response:
        if not self._is_known(request):
            return _refused(_NO_SUCH, "no such place")
        body = await body_within(request, _MOST_BYTES)
        answers = list[Any]()
        error = await run_in_threadpool(error_of, lambda: answers.append(handle(_call(body))))
        return _answer(answers[0]) if error is None else _failed(error)


def _call(body: bytes | None) -> Mapping[str, Any]:
    """Raises NotTaken."""
    if body is None:
        raise NotTaken("a call is no longer than 1 MB")
    try:
        found = from_json(body)
    except Unreadable:
        raise NotTaken("a call is in JSON") from None
    if not isinstance(found, dict):
        raise NotTaken("a call is an object")
    return found


def _failed(error: Exception) -> Response:
    match error:
        case NotTaken():
            return _refused(_BAD, str(error))
        case DeliveryError():
            return _refused(_BEHIND, f"the PACS, asked in turn: {error}")
        case OutputError():
            log.error("a call could not be kept: %s", error)
            return _refused(_LATER, "it could not be kept; call again")
        case _:
            log.debug("a call", exc_info=error)
            return _refused(_FAULT, "a mistake of ours")


def _refused(status: int, why: str) -> Response:
    log.warning("a call is refused: %s", why)
    return _answer({"message": why}, status)


@cache
def _own_version() -> str:
    """Looked up once: it stands in a file."""
    return version("wsi-ai")


def _answer(content: Any, status: int = _OK) -> Response:
    versions = {VERSION_HEADER: API_VERSION, SOFTWARE_HEADER: _own_version()}
    return JSONResponse(content, status, headers=versions)
