"""The receiver's HTTP: ``POST /flags``, ``GET /worklist``, ``GET /flags``, ``GET /health``; ``/``
shows the worklist to a browser."""

import hmac
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from wsi_ai.core.timing import timestamp_of
from wsi_ai.delivery.receiver.body import body_within
from wsi_ai.delivery.receiver.completeness import completeness
from wsi_ai.delivery.receiver.inbox import Became, Inbox
from wsi_ai.delivery.receiver.incoming import Beat, Event, Trial, parse
from wsi_ai.delivery.receiver.page import HEADERS, worklist_page
from wsi_ai.delivery.receiver.verify import check_key, is_genuine
from wsi_ai.delivery.succession import as_json
from wsi_ai.errors import OutputError, SinkError

log = logging.getLogger(__name__)
_MOST_BYTES = 1 << 18
_ONCE = "webhook-id", "webhook-timestamp", "webhook-signature", "authorization"
_CONTENT_TYPE = "application/cloudevents+json"


@dataclass(frozen=True, slots=True)
class Access:
    """Who may send here: whoever has a key, and the bearer token where one is asked for."""

    keys: tuple[str, ...]
    bearer: str | None = None

    def __post_init__(self) -> None:
        """Raises SinkError: a receiver that anybody may send to is none."""
        if not self.keys:
            raise SinkError("a receiver needs a key: --key file:PATH")
        try:
            for key in self.keys:
                check_key(key)
        except ValueError as error:
            raise SinkError(str(error)) from None
        token = self.bearer
        if token is not None and not (token.strip() and token.isascii() and token.isprintable()):
            raise SinkError("a bearer token has printable ASCII signs, and at least one")

    def __repr__(self) -> str:
        return f"Access({len(self.keys)} keys)"

    def may_come(self, request: Request) -> bool:
        if self.bearer is None:
            return True
        told = request.headers.get("authorization", "").encode()
        return hmac.compare_digest(told, f"Bearer {self.bearer}".encode())

    def signed(self, request: Request, body: bytes, now: float) -> bool:
        headers = dict(request.headers)
        if any(len(request.headers.getlist(name)) > 1 for name in _ONCE):
            return False  # which one was meant?
        return is_genuine(headers, body, self.keys, now)


class _Ascii(JSONResponse):
    """Whoever looks at it in a terminal sees what is there, and no more."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


def receiver(inbox: Inbox, access: Access, clock: Callable[[], float]) -> FastAPI:
    """The app.  401 for a request that is not genuine or not fresh, 4xx for one that will never be
    right, 409 for another answer than the one that is held, 503 where nothing can be kept now, 200
    once the event is on the disk, whether it was new or not."""
    app = FastAPI(
        title="wsi_ai reference receiver",
        docs_url=None,
        redoc_url=None,
        default_response_class=_Ascii,
    )

    @app.exception_handler(OutputError)
    async def away(_: Request, error: Exception) -> Response:
        log.error("%s", error)
        return JSONResponse({"detail": "the inbox is away"}, 503, {"Retry-After": "5"})

    @app.post("/flags")
    async def take(request: Request) -> Response:
        body = await _body(request)
        if not access.may_come(request) or not access.signed(request, body, clock()):
            log.warning("a request was refused: no known key signed it within five minutes")
            raise HTTPException(401, "not signed by a known key within five minutes")
        return _taken(inbox, _event(request, body), clock())

    @app.get("/worklist")
    def worklist(request: Request) -> dict[str, Any]:
        _known(access, request)
        senders = inbox.senders(clock())
        return {**completeness(senders), "worklist": inbox.worklist(), "senders": senders}

    @app.get("/", response_class=HTMLResponse)
    def page(request: Request) -> HTMLResponse:
        _known(access, request)
        now = timestamp_of(clock())
        told = completeness(inbox.senders(clock()))
        return HTMLResponse(worklist_page(inbox.worklist(), told, now), headers=HEADERS)

    @app.get("/flags")
    def held(request: Request) -> dict[str, Sequence[Any]]:
        _known(access, request)
        return {"flags": inbox.held()}

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "up"}

    return app


def _taken(inbox: Inbox, event: Event | Beat | Trial, at: float) -> Response:
    """What became of an event that is genuine."""
    if isinstance(event, Trial):
        log.info("%s is a test event: nothing is kept", event.event_id)
        return JSONResponse({"event_id": event.event_id, "became": "test"})
    if isinstance(event, Beat):
        inbox.hear(event, at)
        log.info("a sender is alive")
        return JSONResponse({"event_id": event.event_id, "became": "heard"})
    became = inbox.take(event, at)
    log.info("%s arrived: %s", event.event_id, became)
    held = inbox.holds(event.flag["flag_id"])
    told = {"event_id": event.event_id, "became": became, "held": held and as_json(held)}
    return JSONResponse(told, 409 if became is Became.CONFLICT else 200)


def _known(access: Access, request: Request) -> None:
    if not access.may_come(request):
        raise HTTPException(401, "no valid bearer token")


def _event(request: Request, body: bytes) -> Event | Beat | Trial:
    if not request.headers.get("content-type", "").startswith(_CONTENT_TYPE):
        raise HTTPException(415, f"send {_CONTENT_TYPE}")
    try:
        event = parse(body)
    except ValueError:
        raise HTTPException(422, "neither a triage flag nor a heartbeat of version 1") from None
    if event.event_id != request.headers["webhook-id"]:
        raise HTTPException(400, "the event is not the one that was signed for")
    return event


async def _body(request: Request) -> bytes:
    body = await body_within(request, _MOST_BYTES)
    if body is None:
        raise HTTPException(413, "larger than any flag")
    return body
