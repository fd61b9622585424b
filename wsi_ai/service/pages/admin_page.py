"""``/admin``: who may come in, what is connected, and what people did."""

import contextlib
from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response

from wsi_ai.core.software import software
from wsi_ai.core.timing import DAY_S
from wsi_ai.service import workers
from wsi_ai.service.access import acts, rights, tokens
from wsi_ai.service.access.acts import Wanted
from wsi_ai.service.access.rights import check_may_administer
from wsi_ai.service.access.tokens import Token
from wsi_ai.service.access.who import REGION, Right, Role, Scope, Who
from wsi_ai.service.pages import admin_figures
from wsi_ai.service.pages.parts import PageParts, back, form
from wsi_ai.service.pages.rendering import html_page
from wsi_ai.service.worklist.band import concerns, facts

_MOST_DAYS = 3650
_ACTS = 50


def admin(parts: PageParts, request: Request, who: Who) -> Response:
    return _shown(parts, who, dict(request.query_params))


def make_token(parts: PageParts, request: Request, who: Who) -> Response:
    """The page with the token in it, this once."""
    given = form(request)
    right = _right(given)
    check_may_administer(who, right.scope)
    now, name = parts.clock(), given.get("name", "").strip()
    until = now + _days(given.get("days", "")) * DAY_S
    secret = tokens.make(parts.engine, who, name, until, now)
    rights.grant(parts.engine, who, f"token:{name}", right, now)
    return _shown(parts, who, {}, secret)


def revoke_token(parts: PageParts, request: Request, who: Who) -> Response:
    tokens.revoke(parts.engine, who, form(request).get("name", ""), parts.clock())
    return back("/admin")


def grant(parts: PageParts, request: Request, who: Who) -> Response:
    given = form(request)
    rights.grant(parts.engine, who, given.get("to", "").strip(), _right(given), parts.clock())
    return back("/admin")


def withdraw(parts: PageParts, request: Request, who: Who) -> Response:
    given = form(request)
    rights.withdraw(parts.engine, who, given.get("to", ""), _right(given), parts.clock())
    return back("/admin")


def _shown(
    parts: PageParts, who: Who, asked: Mapping[str, str], secret: str | None = None
) -> Response:
    now, engine = parts.clock(), parts.engine
    found = facts(engine, now)
    whole = who.may(Role.ADMIN, None)
    wanted = _wanted(asked)
    done = acts.search(engine, who, wanted, _ACTS)
    return html_page(
        "admin.html",
        who,
        tab="admin",
        signs_out=parts.signs_out,
        now=now,
        secret=secret,
        whole=whole,
        tokens=_tokens(tokens.listed(engine), who, now),
        rights=rights.listed(engine, who),
        roles=list(Role),
        scopes=sorted(map(str, who.scopes(Role.ADMIN))),
        senders=[one for one in found.senders if concerns(found, who, Role.ADMIN, one)],
        sinks=admin_figures.sinks(engine, now) if whole else [],
        rooms=admin_figures.rooms(engine, parts.folders) if whole else [],
        workers=workers.up(engine, now),
        jobs={},
        software=software(),
        models=admin_figures.models(engine, who),
        acts=done,
        asked={name: asked.get(name, "") for name in ("who", "what")},
        older=done[-1].n if len(done) == _ACTS else None,
    )


def _tokens(
    made: Sequence[tuple[Token, frozenset[Right]]], who: Who, now: float
) -> list[tuple[Token, frozenset[Right], bool]]:
    """Those that have a right that they administer, or none; and whether each opens anything."""
    scopes = who.scopes(Role.ADMIN)
    return [
        (token, held, token.holds(now))
        for token, held in made
        if REGION in scopes or {right.scope for right in held} & scopes
    ]


def _right(given: Mapping[str, str]) -> Right:
    """Raises ValueError."""
    with contextlib.suppress(ValueError):
        return Right(Role(given.get("role", "")), Scope.of(given.get("scope", "").strip()))
    raise ValueError("a right is a role, and a scope: trust:CODE, network:NAME or region")


def _days(text: str) -> int:
    """Raises ValueError."""
    if not (text.isascii() and text.isdigit() and 0 < int(text[:5]) <= _MOST_DAYS):
        raise ValueError(f"a token holds for a number of days from 1 to {_MOST_DAYS}")
    return int(text)


def _wanted(asked: Mapping[str, str]) -> Wanted:
    """Raises ValueError."""
    before = asked.get("before", "")
    if before and not (before.isascii() and before.isdigit() and len(before) < 16):
        raise ValueError("before: the number of an act")
    return Wanted(
        who=asked.get("who") or None,
        what=asked.get("what") or None,
        before=int(before) if before else None,
    )
