"""What the pages are made of, and of whom they ask it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl

from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from wsi_ai.delivery.outbox.outbox import Clock
from wsi_ai.delivery.receiver.body import body_within
from wsi_ai.errors import InputError, OutputError
from wsi_ai.service.access.door import Door, NotKnown
from wsi_ai.service.access.headers import UNLESS_SET
from wsi_ai.service.access.login import login_address
from wsi_ai.service.access.rights import NotAllowed
from wsi_ai.service.access.who import Role, Who
from wsi_ai.service.pages.rendering import html_page
from wsi_ai.service.queue import Queue
from wsi_ai.service.worklist.counting import Counts

_MOST_BYTES, _MOST_FIELDS = 1 << 16, 32


@dataclass(frozen=True, slots=True)
class PageParts:
    engine: Engine
    door: Door
    clock: Clock
    queue: Queue
    models: Callable[[], Sequence[str]] = tuple
    """That a person may ask for; those that were run already are known."""
    looking: Callable[[Sequence[str]], Mapping[str, int]] = field(default=lambda slides: {})
    """How many people look at each of these slides now."""
    counts: Counts = field(init=False)
    folders: Mapping[str, Path] = field(default_factory=dict)
    """Places on the disk that this service writes to, by what they are for."""
    signs_out: bool = False
    """Whether people log in, and so can log out."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "counts", Counts(self.engine))


Answer = Callable[[PageParts, Request, Who], Response]
Endpoint = Callable[[Request], Awaitable[Response]]


def asked(parts: PageParts, answer: Answer, role: Role | None = None) -> Endpoint:
    """The endpoint: who asks is known, may do something of this kind somewhere, and a mistake of
    theirs is a page that says so."""

    async def endpoint(request: Request) -> Response:
        try:
            who = await run_in_threadpool(parts.door.who, request)
            if request.method == "POST":
                await _read_form(request)
            if role is not None and not who.may_somewhere(role):
                raise HTTPException(404)
            return await run_in_threadpool(answer, parts, request, who)
        except NotKnown:
            return _unknown(request)
        except (NotAllowed, InputError, ValueError) as error:
            status = 403 if isinstance(error, NotAllowed) else 422
            return html_page("problem.html", who, status, why=str(error), tab="")
        except OutputError as error:
            return Response(f"The database is away: {error}\n", 503, {"retry-after": "5"})

    return endpoint


def form(request: Request) -> Mapping[str, str]:
    """The fields of a form that came; the last of each name."""
    found: Mapping[str, str] = request.state.form
    return found


async def _read_form(request: Request) -> None:
    """As our own pages send it, and no more of it than they do.  Raises ValueError."""
    body = await body_within(request, _MOST_BYTES)
    if body is None:
        raise HTTPException(413)
    try:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise ValueError("not a form of these pages") from None
    if any("\0" in value for value in fields.values()):
        raise ValueError("a text has signs that no text has")
    request.state.form = fields


def back(to: str) -> RedirectResponse:
    """After a form: a page of ours, asked for anew."""
    return RedirectResponse(to, 303, headers=dict(UNLESS_SET))


def _unknown(request: Request) -> Response:
    wants_page = "text/html" in request.headers.get("accept", "")
    if request.method == "GET" and wants_page:
        return back(login_address(request))
    return Response("Log in first.\n", 401, headers=dict(UNLESS_SET))
