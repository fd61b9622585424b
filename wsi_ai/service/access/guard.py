"""What every request has to show before a page or the API sees it: that it comes to our name, and
that a web page which writes is ours."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from wsi_ai.service.access.headers import OVER_TLS, with_headers
from wsi_ai.service.access.loopback import refuse
from wsi_ai.service.access.site import Site

_READING = ("GET", "HEAD", "OPTIONS")
_PROBED = frozenset({"/healthz", "/readyz", "/metrics"})
"""By programs that know our address only; none of them names anything of a person."""


class Guarded:
    """In front of the whole app, sockets among it.

    Who has a cookie is a browser, and a browser says from which page it writes: only from ours.
    Another origin is refused whatever else it shows; programs have no cookie, and send none.
    """

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._site = site
        self._always = OVER_TLS if site.is_secure else {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif self._is_ours(scope, Headers(scope=scope)):
            await self._app(scope, receive, with_headers(send, self._always))
        else:
            await refuse(scope, receive, send)

    def _is_ours(self, scope: Scope, headers: Headers) -> bool:
        reads = scope["type"] == "http" and scope["method"] in _READING
        if reads and scope["path"] in _PROBED:
            return True
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or hosts[0].lower() not in self._site.hosts:
            return False
        if reads:
            return True  # CORS is nobody's here: another page never sees an answer
        if not origins:
            return "cookie" not in headers
        return origins == [self._site.origin]
