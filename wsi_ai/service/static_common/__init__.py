"""Files that every page of the service loads, at ``/static/common/NAME``."""

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
CHECKED = {"cache-control": "no-cache"}
ADDRESS = "/static/common/{name}"


def file_of(folder: Path, name: str) -> Response:
    """A page's own file, by its name in the folder, which is no path.  404 for what is no such."""
    known = {one.name: one for one in folder.iterdir()}
    kind = _TYPES.get(name.rpartition(".")[2])
    if name not in known or kind is None:
        raise HTTPException(404)
    return Response(known[name].read_bytes(), media_type=kind, headers=CHECKED)


def common_route() -> Route:
    """For the composition: once for all pages."""

    def one_file(request: Request) -> Response:
        return file_of(Path(__file__).parent, request.path_params["name"])

    return Route(ADDRESS, one_file)
