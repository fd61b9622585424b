"""No body that is larger than anything that is asked here."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wsi_ai.service.api.problems import problem

MOST_BYTES = 1 << 17


class Limited:
    """413, before more than that was read."""

    def __init__(self, app: ASGIApp, most_bytes: int = MOST_BYTES) -> None:
        self._app, self._most = app, most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdigit() and len(declared) < 19 and int(declared) > self._most:
            await problem(413, "larger than anything that is asked here")(scope, receive, send)
            return
        body = await _read(receive, self._most)
        if body is None:
            return  # the caller left before the end
        if len(body) > self._most:
            await problem(413, "larger than anything that is asked here")(scope, receive, send)
            return
        await self._app(scope, _again(body, receive), send)


async def _read(receive: Receive, most: int) -> bytes | None:
    """No further than is to be known."""
    body = bytearray()
    while len(body) <= most:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once, and then whatever comes."""
    given = False

    async def receiving() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving
