"""Who may come to the viewer on this machine: see ``access.loopback``; nobody may write."""

import secrets

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from wsi_ai.service.access.loopback import HOST, Loopback, refuse, same


class Guard:
    """Lets through what comes with the cookie that the printed address gave, or over the address
    for other viewers, to this host's own name, and from no other origin."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._loopback = Loopback(port, "wsi-ai-view")
        self._key = secrets.token_urlsafe(24)
        self.address = self._loopback.address
        self.for_other_viewers = f"http://{HOST}:{port}{self._prefix}"

    @property
    def _prefix(self) -> str:
        return f"/open/{self._key}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers, here = Headers(scope=scope), self._loopback
        if scope["method"] not in ("GET", "HEAD") or not here.is_from_here(headers):
            await refuse(scope, receive, send)
        elif here.has_cookie(headers):
            await self._app(scope, receive, send)
        elif here.spends_token(scope):
            await self._app(scope, receive, here.with_cookie(send))
        elif self._has_key(scope):
            await self._app({**scope, "root_path": self._prefix}, receive, send)
        else:
            await refuse(scope, receive, send)

    def _has_key(self, scope: Scope) -> bool:
        key = scope["path"].removeprefix("/open/").partition("/")[0]
        return scope["path"].startswith("/open/") and same(key, self._key)
