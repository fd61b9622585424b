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
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from wsi_ai.service.access.headers import with_headers

HOST = "127.0.0.1"
_FROM_HERE = ("same-origin", "none")
_READING = ("GET", "HEAD")
_OPEN = frozenset({"/healthz", "/readyz"})
_SIGNED = "/flags"
PERSON = "wsi_ai.person"
_FORBIDDEN = 4403
_REFUSED = "Refused. Open the address that wsi-ai printed; it opens once, in one browser.\n"


class Loopback:
    """A token in the printed address, which is spent once, against a cookie."""

    def __init__(self, port: int, name: str) -> None:
        self._hosts = {f"{HOST}:{port}", f"localhost:{port}"}
        self._cookie = f"{name}-{port}"
        self._token: str | None = secrets.token_urlsafe(24)
        self._session = secrets.token_urlsafe(32)
        self.address = f"http://{HOST}:{port}/?token={self._token}"

    def is_from_here(self, headers: Headers) -> bool:
        """By the names that a browser puts down, and no page can change."""
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        return (
            len(hosts) == 1
            and hosts[0] in self._hosts
            and all(origin == f"http://{hosts[0]}" for origin in origins)
            and headers.get("sec-fetch-site", "none") in _FROM_HERE
        )

    def has_cookie(self, headers: Headers) -> bool:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return False
        return found is not None and same(found.value, self._session)

    def spends_token(self, scope: Scope) -> bool:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        if scope["path"] != "/" or self._token is None or len(given) != 1:
            return False
        if not same(given[0], self._token):
            return False
        self._token = None
        return True

    def with_cookie(self, send: Send) -> Send:
        line = f"{self._cookie}={self._session}; Path=/; HttpOnly; SameSite=Strict"
        return with_headers(send, always={"set-cookie": line})


class OnePersonGuard:
    """For one person on this machine, who may write.  Only what comes from their browser is marked
    as theirs (``PERSON``); a program has a token of its own, or signs what it sends, and is looked
    at by whoever answers it."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._loopback = Loopback(port, "wsi-ai")
        self.address = self._loopback.address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not self._loopback.is_from_here(headers) or not self._may_write(scope, headers):
            await refuse(scope, receive, send)
        elif _is_a_programs(scope, headers):
            await self._app(scope, receive, with_headers(send))
        elif self._loopback.has_cookie(headers):
            await self._app({**scope, PERSON: True}, receive, with_headers(send))
        elif scope["type"] == "http" and self._loopback.spends_token(scope):
            sending = self._loopback.with_cookie(with_headers(send))
            await self._app({**scope, PERSON: True}, receive, sending)
        else:
            await refuse(scope, receive, send)

    def _may_write(self, scope: Scope, headers: Headers) -> bool:
        """A browser says where a page is that writes or opens a socket."""
        reads = scope["type"] == "http" and scope["method"] in _READING
        return reads or "origin" in headers or _is_a_programs(scope, headers)


def _is_a_programs(scope: Scope, headers: Headers) -> bool:
    if "authorization" in headers or scope["path"] in _OPEN:
        return True
    return scope["path"] == _SIGNED and "webhook-signature" in headers


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await WebSocketClose(_FORBIDDEN)(scope, receive, send)
    else:
        await PlainTextResponse(_REFUSED, 403)(scope, receive, send)


def same(given: str, own: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), own.encode())
