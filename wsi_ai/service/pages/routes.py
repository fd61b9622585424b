"""Where the pages are."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from wsi_ai.service.access.who import Role
from wsi_ai.service.pages import admin_page, queue_page, worklist_page
from wsi_ai.service.pages.parts import Answer, PageParts, asked
from wsi_ai.service.static_common import file_of

_STATIC = Path(__file__).with_name("static")


def page_routes(parts: PageParts) -> list[BaseRoute]:
    """For the composition, beside ``common_route`` and the socket.  The app is behind a guard,
    which looks where a form comes from."""

    def get(path: str, answer: Answer, role: Role | None = None) -> Route:
        return Route(path, asked(parts, answer, role))

    def post(path: str, answer: Answer, role: Role | None = None) -> Route:
        return Route(path, asked(parts, answer, role), methods=["POST"])

    return [
        get("/", worklist_page.worklist),
        get("/worklist/changes", worklist_page.changes),
        post("/worklist/acknowledgements", worklist_page.acknowledgement, Role.ACKNOWLEDGE),
        post("/worklist/models", worklist_page.one_more_model, Role.SUBMIT),
        get("/worklist/head", worklist_page.head),
        get("/queue", queue_page.queue),
        post("/queue/again", queue_page.again, Role.OPERATE),
        post("/queue/drain", queue_page.drain, Role.OPERATE),
        get("/admin", admin_page.admin, Role.ADMIN),
        post("/admin/tokens", admin_page.make_token, Role.ADMIN),
        post("/admin/tokens/revoke", admin_page.revoke_token, Role.ADMIN),
        post("/admin/rights", admin_page.grant, Role.ADMIN),
        post("/admin/rights/withdraw", admin_page.withdraw, Role.ADMIN),
        Route("/static/pages/{name}", _static),
    ]


def _static(request: Request) -> Response:
    return file_of(_STATIC, request.path_params["name"])
