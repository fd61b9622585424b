"""The ASGI app: the page, tiles, scores and regions.

``viewer(shelf, may_see)`` is mounted by a service with its own rights; every answer is relative to
where it is mounted.  It asks for no other origin and lets none ask (no CORS).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wsi_ai.core.flags import STATEMENT
from wsi_ai.errors import SlideError, first_line
from wsi_ai.results.written import FINDINGS, OBJECTS
from wsi_ai.service.static_common import CHECKED, file_of
from wsi_ai.service.viewer import other_viewers, regions
from wsi_ai.service.viewer.page import viewer_page
from wsi_ai.service.viewer.runs import Results
from wsi_ai.service.viewer.shelf import OpenEntry, Shelf
from wsi_ai.service.viewer.tiles import Picture
from wsi_ai.slides.associated import LABEL_AND_MACRO, associated_image

MaySee = Callable[[Request, str | None], bool]
"""Whether whoever asks may see a slide, or, with ``None``, the list of them."""

_RULES_OF_OPENSEADRAGON = "'sha256-9xTiqzfwFaL2SGb1rmr8gysEwVVjIvqWAgmZgqFqpEE='"
"""It adds one style of its own, known by its digest, and no other may be added."""
CSP = (
    f"default-src 'none'; script-src 'self'; style-src 'self' {_RULES_OF_OPENSEADRAGON};"
    " img-src 'self' data: blob:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
_STATIC = Path(__file__).with_name("static")
_KEPT = {"cache-control": "private, max-age=31536000, immutable"}
_ASKED_ANEW = {"cache-control": "no-store"}


def everybody(_: Request, __: str | None) -> bool:
    """For a shelf that whoever reaches it may see."""
    return True


def viewer(shelf: Shelf, may_see: MaySee = everybody, *, with_label: bool = False) -> Starlette:
    """``with_label``: the slide's label and macro image, which name people, may be looked at."""
    rooms = _Rooms(shelf, may_see, with_label=with_label)
    slide = "/slides/{slide}"
    score = "/results/{result}/{map:int}/{channel:int}/{level:int}/{col:int}_{row:int}.png"
    routes = [
        Route("/", _page),
        Route("/static/{name}", _static),
        Route("/slides", rooms.slides),
        Route(slide, rooms.info),
        Route(slide + "/tiles/{key}/{level:int}/{col:int}_{row:int}", rooms.tile),
        Route(slide + score, rooms.scores),
        Route(slide + "/results/{result}/regions", rooms.regions),
        Route(slide + "/results/{result}/objects", rooms.objects),
        Route(slide + "/associated/{name}", rooms.associated),
        *other_viewers.routes(rooms.open),
    ]
    return Starlette(routes=routes, middleware=[Middleware(_Headers)])


class _Rooms:
    """What is behind the addresses."""

    def __init__(self, shelf: Shelf, may_see: MaySee, *, with_label: bool) -> None:
        self._shelf, self._may_see, self._with_label = shelf, may_see, with_label

    @contextmanager
    def open(self, request: Request) -> Iterator[OpenEntry]:
        """The slide that is asked for.  404 where there is none, or none for this person; 409 with
        the reason where it does not open."""
        slide = request.path_params["slide"]
        if slide not in self._shelf.entries or not self._may_see(request, slide):
            raise HTTPException(404, "no such slide")
        try:
            with self._shelf.opened(slide) as entry:
                yield entry
        except SlideError as error:
            raise HTTPException(409, first_line(error)) from None

    def slides(self, request: Request) -> Response:
        if not self._may_see(request, None):
            raise HTTPException(404)
        listed = [
            {"id": name, "name": entry.name, "there": entry.path is not None}
            for name, entry in self._shelf.entries.items()
            if self._may_see(request, name)
        ]
        return JSONResponse({"slides": listed, "statement": STATEMENT}, headers=_ASKED_ANEW)

    def info(self, request: Request) -> Response:
        name = self._shelf.entries.get(request.path_params["slide"])
        with self.open(request) as entry:
            found = _info(entry) | {"name": name.name if name else ""}
            found["associated"] = list(LABEL_AND_MACRO) if self._with_label else []
            return JSONResponse(found, headers=_ASKED_ANEW)

    def tile(self, request: Request) -> Response:
        asked = request.path_params
        with self.open(request) as entry:
            if asked["key"] != entry.key:
                raise HTTPException(410, "the slide's file changed; load the page anew")
            return sent(picture_at(entry, asked["level"], asked["col"], asked["row"]))

    def scores(self, request: Request) -> Response:
        asked = request.path_params
        with self.open(request) as entry:
            maps = _result(entry, request).maps
            try:
                scores = maps[asked["map"]]
                png = scores.png(asked["channel"], asked["level"], asked["col"], asked["row"])
            except LookupError:
                raise HTTPException(404) from None
            except (OSError, ValueError, RuntimeError):  # of zarr and its codecs
                raise HTTPException(409, "this part of the map cannot be read") from None
        return Response(png, media_type="image/png", headers=_ASKED_ANEW)

    def regions(self, request: Request) -> Response:
        with self.open(request) as entry:
            path = _result(entry, request).folder / FINDINGS
            return _file(lambda: regions.regions_json(path), "application/json")

    def objects(self, request: Request) -> Response:
        with self.open(request) as entry:
            result = _result(entry, request)
            kind = result.flag["result"]["finding"]["code"] if result.flag else ""
            path = result.folder / OBJECTS
            return _file(lambda: regions.objects_bytes(path, kind), "application/octet-stream")

    def associated(self, request: Request) -> Response:
        name = request.path_params["name"]
        if not self._with_label or name not in LABEL_AND_MACRO:
            raise HTTPException(
                404, "not shown: it may name a person; wsi-ai view --label shows it"
            )
        with self.open(request) as entry:
            png = associated_image(entry.path, name)
        if png is None:
            raise HTTPException(404, "the slide has none")
        return Response(png, media_type="image/png", headers=_ASKED_ANEW)


def picture_at(entry: OpenEntry, level: int, col: int, row: int) -> Picture:
    """404 where there is no such tile."""
    if not 0 <= level < len(entry.levels):
        raise HTTPException(404)
    grid = entry.levels[level]
    if not (0 <= col * grid.tile.width < grid.size.width):
        raise HTTPException(404)
    if not (0 <= row * grid.tile.height < grid.size.height):
        raise HTTPException(404)
    return grid.picture(col, row)


def sent(picture: Picture) -> Response:
    """404 with a hatched picture where it cannot be read; that is asked for again."""
    status, headers = (200, _KEPT) if picture.readable else (404, _ASKED_ANEW)
    return Response(picture.content, status, headers, picture.media_type)


def _info(entry: OpenEntry) -> dict[str, Any]:
    info = entry.info
    return {
        "key": entry.key,
        "width": info.size.width,
        "height": info.size.height,
        "um_per_px": [info.spacing.x_um, info.spacing.y_um] if info.spacing else None,
        "vendor": info.vendor,
        "scanner": info.scanner,
        "sha256": info.fingerprint,
        "icc_profile": info.icc_profile is not None,
        "levels": [
            {
                "downsample": level.downsample,
                "width": level.size.width,
                "height": level.size.height,
                "tile": [level.tile.width, level.tile.height],
            }
            for level in entry.levels
        ],
        "results": [one.as_json() for one in entry.read_results()],
    }


def _result(entry: OpenEntry, request: Request) -> Results:
    """410 where they are not those that the page was given."""
    try:
        return entry.results(request.path_params["result"])
    except LookupError:
        raise HTTPException(410, "the results changed; load the page anew") from None


def _file(made: Callable[[], bytes], media_type: str) -> Response:
    try:
        return Response(made(), media_type=media_type, headers=_ASKED_ANEW)
    except FileNotFoundError:
        raise HTTPException(404, "there are none") from None
    except (OSError, ValueError):
        raise HTTPException(409, "the file of results cannot be read") from None


def _page(_: Request) -> Response:
    return Response(viewer_page(), media_type="text/html", headers=CHECKED)


def _static(request: Request) -> Response:
    return file_of(_STATIC, request.path_params["name"])


class _Headers:
    """On every answer: where the page may load from, and who may load it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *own]
            await send(message)

        await self._app(scope, receive, with_headers)
