"""Who may come to a server on this machine: who has the address that was printed, and nobody's
web page.

Any page in a browser may call 127.0.0.1, under another name too (DNS rebinding), and other people
may share the machine.
"""

import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOOPBACK = "127.0.0.1"
_FROM_HERE = ("same-origin", "none")
_REFUSED = "Refused. Open the address that wsi-ai view printed; it opens once, in one browser.\n"


class Guard:
    """Lets through what comes with the cookie that the printed address gave, or over the address
    for other viewers, to this host's own name, and from no other origin."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._hosts = {f"{_LOOPBACK}:{port}", f"localhost:{port}"}
        self._cookie = f"wsi-ai-view-{port}"
        self._token: str | None = secrets.token_urlsafe(24)
        self._session, self._key = secrets.token_urlsafe(32), secrets.token_urlsafe(24)
        self.address = f"http://{_LOOPBACK}:{port}/?token={self._token}"
        self.for_other_viewers = f"http://{_LOOPBACK}:{port}{self._prefix}"

    @property
    def _prefix(self) -> str:
        return f"/open/{self._key}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        if scope["method"] not in ("GET", "HEAD") or not self._is_from_here(headers):
            await PlainTextResponse(_REFUSED, 403)(scope, receive, send)
        elif self._has_cookie(headers):
            await self._app(scope, receive, send)
        elif self._spends_token(scope):
            await self._app(scope, receive, self._with_cookie(send))
        elif self._has_key(scope):
            await self._app({**scope, "root_path": self._prefix}, receive, send)
        else:
            await PlainTextResponse(_REFUSED, 403)(scope, receive, send)

    def _is_from_here(self, headers: Headers) -> bool:
        """By the names that a browser puts down, and no page can change."""
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        return (
            len(hosts) == 1
            and hosts[0] in self._hosts
            and all(origin == f"http://{hosts[0]}" for origin in origins)
            and headers.get("sec-fetch-site", "none") in _FROM_HERE
        )

    def _has_cookie(self, headers: Headers) -> bool:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return False
        return found is not None and _same(found.value, self._session)

    def _spends_token(self, scope: Scope) -> bool:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        if scope["path"] != "/" or self._token is None or len(given) != 1:
            return False
        if not _same(given[0], self._token):
            return False
        self._token = None
        return True

    def _has_key(self, scope: Scope) -> bool:
        key = scope["path"].removeprefix("/open/").partition("/")[0]
        return scope["path"].startswith("/open/") and _same(key, self._key)

    def _with_cookie(self, send: Send) -> Send:
        line = f"{self._cookie}={self._session}; Path=/; HttpOnly; SameSite=Strict"

        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"set-cookie", line.encode())]
            await send(message)

        return with_cookie


def _same(given: str, own: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), own.encode())
