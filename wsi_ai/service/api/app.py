"""The API as an app: mounted last, for it answers every address that nobody else does."""

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from wsi_ai.core.flags import STATEMENT
from wsi_ai.service.api import events, jobs, slides, submissions, workers, worklist
from wsi_ai.service.api.limits import Limited
from wsi_ai.service.api.parts import ApiParts
from wsi_ai.service.api.problems import answer_errors

_TITLE, _VERSION = "wsi_ai", "1"


def api(parts: ApiParts) -> FastAPI:
    """``/v1/…`` and ``/openapi.json``; every error is a problem (RFC 9457).  No page of
    documentation: its scripts would come from elsewhere."""
    app = FastAPI(
        title=_TITLE,
        version=_VERSION,
        description=STATEMENT,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.parts = parts
    app.add_middleware(Limited)
    answer_errors(app)
    for room in (submissions, jobs, events, workers, worklist, slides):
        app.router.routes.extend(room.router.routes)
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """With how callers show who they are."""
    described = get_openapi(
        title=_TITLE, version=_VERSION, description=STATEMENT, routes=app.routes
    )
    components = described.setdefault("components", {})
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    described["security"] = [{"token": []}]
    app.openapi_schema = described
