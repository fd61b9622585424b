"""For other viewers: IIIF Image API 3.0 at level 0 (https://iiif.io/api/image/3.0/) and Deep Zoom.

Both ask for levels that halve, so tiles are decoded, shrunk and encoded anew.
"""

import math
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from wsi_ai.core.geometry import Box, Size
from wsi_ai.service.viewer.pyramid import render
from wsi_ai.service.viewer.shelf import OpenEntry
from wsi_ai.service.viewer.tiles import encoded

Open = Callable[[Request], AbstractContextManager[OpenEntry]]
_TILE_PX = 512
_MOST_PX = 1024
_NUMBERS = re.compile(r"\d{1,9}(,\d{1,9}){3}")
_SIZE = re.compile(r"\d{1,9},\d{0,9}")
_DEEP_ZOOM = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" Format="jpg" Overlap="0"'
    ' TileSize="{tile}"><Size Width="{width}" Height="{height}"/></Image>\n'
)


def routes(opened: Open) -> list[Route]:
    """Under ``/slides/{slide}``."""

    def information(request: Request) -> Response:
        with opened(request) as entry:
            return JSONResponse(_information(request, entry.info.size))

    def region(request: Request) -> Response:
        asked = request.path_params
        with opened(request) as entry:
            box = _region(asked["region"], entry.info.size)
            return _jpeg(entry, box, _size(asked["size"], box))

    def deep_zoom(request: Request) -> Response:
        with opened(request) as entry:
            size = entry.info.size
        text = _DEEP_ZOOM.format(tile=_TILE_PX, width=size.width, height=size.height)
        return Response(text, media_type="application/xml")

    def deep_zoom_tile(request: Request) -> Response:
        asked = request.path_params
        with opened(request) as entry:
            place = asked["level"], asked["col"], asked["row"]
            return _jpeg(entry, *_deep_zoom_box(entry.info.size, *place))

    slide = "/slides/{slide}"
    return [
        Route(slide + "/iiif/info.json", information),
        Route(slide + "/iiif/{region}/{size}/0/default.jpg", region),
        Route(slide + "/deepzoom.dzi", deep_zoom),
        Route(slide + "/deepzoom_files/{level:int}/{col:int}_{row:int}.jpg", deep_zoom_tile),
    ]


def _information(request: Request, size: Size) -> dict[str, Any]:
    factors = _factors(size)
    return {
        "@context": "http://iiif.io/api/image/3/context.json",
        "id": str(request.url.replace(query="")).removesuffix("/info.json"),
        "type": "ImageService3",
        "protocol": "http://iiif.io/api/image",
        "profile": "level0",
        "width": size.width,
        "height": size.height,
        "maxWidth": _MOST_PX,
        "maxHeight": _MOST_PX,
        "sizes": [
            {"width": -(-size.width // factor), "height": -(-size.height // factor)}
            for factor in reversed(factors)
            if max(size.width, size.height) <= _MOST_PX * factor
        ],
        "tiles": [{"width": _TILE_PX, "height": _TILE_PX, "scaleFactors": factors}],
    }


def _factors(size: Size) -> list[int]:
    """Powers of two, until the whole slide is one tile."""
    most = max(1.0, max(size.width, size.height) / _TILE_PX)
    return [2**k for k in range(math.ceil(math.log2(most)) + 1)]


def _region(text: str, slide: Size) -> Box:
    """``full`` or ``x,y,w,h``, cut off at the slide's edge.  400 for others."""
    if text == "full":
        return Box(0, 0, slide.width, slide.height)
    if not _NUMBERS.fullmatch(text):
        raise HTTPException(400, "the region is full or x,y,w,h")
    x, y, width, height = map(int, text.split(","))
    width, height = min(width, slide.width - x), min(height, slide.height - y)
    if width < 1 or height < 1:
        raise HTTPException(400, "the region lies outside the slide")
    return Box(x, y, width, height)


def _size(text: str, box: Box) -> Size:
    """``max``, ``w,h`` or ``w,``: nothing larger than the region, or than ``maxWidth``."""
    if text == "max":
        factor = max(1.0, max(box.width, box.height) / _MOST_PX)
        size = Size(max(1, int(box.width / factor)), max(1, int(box.height / factor)))
    elif _SIZE.fullmatch(text):
        width, _, height = text.partition(",")
        scaled = max(1, round(box.height * int(width) / box.width))
        size = Size(int(width), int(height) if height else scaled)
    else:
        raise HTTPException(400, "the size is max, w,h or w,")
    fits = 0 < size.width <= box.width and 0 < size.height <= box.height
    if not fits or max(size.width, size.height) > _MOST_PX:
        raise HTTPException(400, "nothing is sent larger than it is, or than maxWidth")
    return size


def _deep_zoom_box(slide: Size, level: int, col: int, row: int) -> Sequence[Any]:
    """The part of the slide, and the size that it is sent in.  404 where there is no such tile."""
    top = math.ceil(math.log2(max(slide.width, slide.height, 1)))
    if not 0 <= level <= top:
        raise HTTPException(404)
    factor = 2 ** (top - level)
    x, y, side = col * _TILE_PX * factor, row * _TILE_PX * factor, _TILE_PX * factor
    width, height = min(side, slide.width - x), min(side, slide.height - y)
    if width < 1 or height < 1:
        raise HTTPException(404)
    return Box(x, y, width, height), Size(-(-width // factor), -(-height // factor))


def _jpeg(entry: OpenEntry, box: Box, size: Size) -> Response:
    return Response(encoded(render(entry.levels, box, size)), media_type="image/jpeg")
