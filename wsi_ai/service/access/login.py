"""``/login``, ``/login/start``, ``/login/callback``, ``/logout``: from a browser to a session."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from sqlalchemy import Engine
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from wsi_ai.errors import OutputError
from wsi_ai.service.access import login_page, sessions
from wsi_ai.service.access.access_door import SESSION, cookie_of, session_of
from wsi_ai.service.access.logging_in import Login, begun, come_back
from wsi_ai.service.access.names import new_secret
from wsi_ai.service.access.provider import LoginFailed
from wsi_ai.service.access.site import Site

log = logging.getLogger(__name__)

CALLBACK = "/login/callback"
_ATTEMPT = "wsi-ai-login"
_ATTEMPT_S = 600
_HOME = "/"
_PATH = re.compile(r"/(?![/\\])[!-~]{0,500}")
"""Of this site: not ``//host``, nor what a browser takes for that."""
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
_PARAMETER = re.compile(r"[!-~]{1,4000}")


@dataclass(frozen=True, slots=True)
class LoginRoutes:
    """What the routes need; ``login`` is ``None`` where only programs come in."""

    engine: Engine
    clock: Callable[[], float]
    site: Site
    login: Login | None

    def page(self, request: Request) -> Response:
        """GET /login: a click, and no redirect: whoever logged out is not logged in again."""
        wanted = path_here(request.query_params.get("next", _HOME))
        start = f"/login/start?next={quote(wanted, safe='')}"
        return login_page.entry(start if self.login else None)

    def style(self, request: Request) -> Response:
        return Response(login_page.STYLE, media_type="text/css")

    def start(self, request: Request) -> Response:
        """GET /login/start: to the provider, with a secret for this one login."""
        if self.login is None:
            return login_page.entry(None, status=404)
        wanted = path_here(request.query_params.get("next", _HOME))
        secret = self._secret(request) or new_secret()
        try:
            answer = RedirectResponse(self.login.address(begun(secret, wanted)), 303)
        except LoginFailed as error:
            return self._failed(error)
        self._set(answer, _ATTEMPT, secret, _ATTEMPT_S)
        return answer

    def callback(self, request: Request) -> Response:
        """GET /login/callback: back from the provider.  A session begins with a secret that is
        new, whatever the browser had."""
        if self.login is None:
            return login_page.entry(None, status=404)
        try:
            state, code = self._answer(request)
            attempt = come_back(self._secret(request), state)
            person = self.login.person(attempt, code)
            session = sessions.begin(self.engine, person, self.clock())
        except LoginFailed as error:
            return self._failed(error)
        except OutputError as error:
            log.error("nobody can log in: %s", error)  # noqa: TRY400
            return login_page.entry("/login/start", "The database is away. Try again soon.", 503)
        answer = RedirectResponse(path_here(attempt.wanted), 303)
        self._set(answer, SESSION, session, None)
        return answer

    def leave(self, request: Request) -> Response:
        """POST /logout: the session is over here, for whoever else has its secret too."""
        secret = session_of(request, self.site)
        if secret is not None:
            try:
                sessions.end(self.engine, secret, self.clock())
            except OutputError as error:
                log.error("a session cannot be ended: %s", error)  # noqa: TRY400
                return login_page.entry(None, "The database is away: you are not logged out.", 503)
        answer = login_page.left(self._end_session())
        self._forget(answer, SESSION)
        answer.headers["clear-site-data"] = '"cache"'
        return answer

    def _secret(self, request: Request) -> str:
        """Of logins in this browser; nothing where it has none, or what is none of ours."""
        found = cookie_of(request, self._name(_ATTEMPT)) or ""
        return found if _SECRET.fullmatch(found) else ""

    def _answer(self, request: Request) -> tuple[str, str]:
        """State and code.  Raises LoginFailed where another provider answers, or nobody came in."""
        given = {name: request.query_params.getlist(name) for name in ("state", "code", "iss")}
        if any(len(values) > 1 for values in given.values()):
            raise LoginFailed("the login provider's answer is not clear")
        state, code, issuer = (next(iter(values), "") for values in given.values())
        if issuer not in ("", self.login.provider.settings.issuer if self.login else ""):
            raise LoginFailed("another provider answered than was asked")
        if not (_PARAMETER.fullmatch(code) and _PARAMETER.fullmatch(state)):
            raise LoginFailed("the login provider let nobody in")
        return state, code

    def _end_session(self) -> str | None:
        if self.login is None:
            return None
        try:
            place = self.login.provider.metadata().end_session_endpoint
        except LoginFailed:
            return None
        more = urlencode({"client_id": self.login.provider.settings.client_id})
        return f"{place}{'&' if '?' in place else '?'}{more}" if place else None

    def _failed(self, error: LoginFailed) -> Response:
        log.warning("nobody was logged in: %s", error)
        return login_page.entry("/login/start", f"{error}. Try again.", 403)

    def _name(self, name: str) -> str:
        return self.site.cookie(name)

    def _set(self, answer: Response, name: str, value: str, seconds: int | None) -> None:
        answer.set_cookie(
            self._name(name), value, max_age=seconds, path="/", secure=self.site.is_secure,
            httponly=True, samesite="lax",
        )  # fmt: skip

    def _forget(self, answer: Response, name: str) -> None:
        answer.delete_cookie(
            self._name(name), path="/", secure=self.site.is_secure, httponly=True, samesite="lax"
        )


def path_here(text: str) -> str:
    """Where to go after logging in: a page of this site; the first one for anything else."""
    return text if _PATH.fullmatch(text) else _HOME


def login_address(request: Request) -> str:
    """Of somebody who is not known at a page: it leads back there."""
    query = f"?{request.url.query}" if request.url.query else ""
    wanted = path_here(request.url.path + query)
    return "/login" if wanted == _HOME else f"/login?next={quote(wanted, safe='')}"


def access_routes(routes: LoginRoutes) -> list[Route]:
    return [
        Route("/login", routes.page),
        Route("/login/login.css", routes.style),
        Route("/login/start", routes.start),
        Route(CALLBACK, routes.callback),
        Route("/logout", routes.leave, methods=["POST"]),
    ]
