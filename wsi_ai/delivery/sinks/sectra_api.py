"""Sectra's image analysis API as its client: what the PACS has of a slide, and of our results.

The interface is known from Sectra's public SDK; the specification itself is not public.  What is an
assumption of ours is marked so in ``docs/sending.md``.
"""

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from wsi_ai.delivery.messages import Endpoint
from wsi_ai.delivery.sinks.addresses import check_endpoint
from wsi_ai.delivery.sinks.http import Answer, Exchange, Request, refusal
from wsi_ai.delivery.sinks.tokens import FORM, GivenToken, OAuthTokens, Tokens
from wsi_ai.errors import DeliveryError, Paused, Refused, SinkError, TryAgain
from wsi_ai.schemas.reading import Unreadable, from_json

API_VERSION = "1.9"
"""The least that we need: it lists the images of a case."""
_OF_ALL, _OF_QUALITY = "1.5", "1.10"
"""Every request names the version that it needs itself."""
VERSION_HEADER, SOFTWARE_HEADER = "X-Sectra-ApiVersion", "X-Sectra-SoftwareVersion"
_JSON = "application/json"
_MOST_ANSWER_BYTES = 1 << 24
_NO_TOKEN = frozenset({401, 403})
_NOT_THERE, _CHANGED = 404, 409
UNREADABLE = "the PACS's answer cannot be read"
UNKNOWN = "the PACS does not know this slide"


class UnknownSlide(Refused):
    """There is no such slide or case, though the API answers."""


@dataclass(frozen=True, slots=True)
class ServerInfo:
    api: str
    software: str

    @property
    def version(self) -> tuple[int, ...]:
        parts = self.api.split(".")
        return tuple(int(part) for part in parts) if all(map(str.isdecimal, parts)) else (0,)


def base_of(endpoint: Endpoint) -> str:
    """Raises SinkError."""
    base = endpoint.url.removeprefix("sectra+").rstrip("/")
    check_endpoint(endpoint, [base])
    if urlsplit(base).query or urlsplit(base).fragment:
        raise SinkError(f"sink {endpoint.name}: the address of the API has no ? and no #")
    return base


def open_api(endpoint: Endpoint) -> "SectraApi":
    """With the stand-alone token of the site's own user.  Raises SinkError."""
    base, exchange = base_of(endpoint), Exchange(endpoint)
    tokens: Tokens = GivenToken(endpoint.credentials.bearer)
    if endpoint.credentials.oauth is not None:
        tokens = StandAloneTokens(endpoint, endpoint.credentials.oauth, exchange, base)
    return SectraApi(base, exchange, tokens)


class StandAloneTokens(OAuthTokens):
    """``POST /token``, with user and password as they are: not in the form of RFC 6749."""

    def _discover(self, at: datetime) -> str:
        application = self._endpoint.sectra.application
        return f"{self._base}/token?{urlencode({'applicationId': application})}"

    def _request(self, url: str, at: datetime) -> Request:
        oauth = self._oauth
        password = oauth.secret().value if oauth.secret is not None else b""
        pair = base64.b64encode(oauth.client_id.encode() + b":" + password).decode()
        headers = {**FORM, VERSION_HEADER: _OF_ALL, "Authorization": f"Basic {pair}"}
        return Request("POST", url, headers, b"grant_type=client_credentials")


class SectraApi:
    """Used by one thread.  Every method raises DeliveryError."""

    def __init__(self, base: str, exchange: Exchange, tokens: Tokens) -> None:
        self._base, self._exchange, self._tokens = base, exchange, tokens

    def begin(self) -> None:
        """The requests that follow have the endpoint's timeout together."""
        self._exchange.begin()

    def close(self) -> None:
        self._exchange.close()

    def info(self, at: datetime) -> ServerInfo:
        content = _object(self._json("GET", "/info", at))
        return ServerInfo(
            str(content.get("apiVersion"))[:20], str(content.get("softwareVersion"))[:40]
        )

    def slide(self, slide_id: str, at: datetime) -> dict[str, Any]:
        """What there is to know of a slide, whose it is among it."""
        asked = {"scope": "extended", "includePHI": "true"}
        return _object(self._about_slide(f"/slides/{_part(slide_id)}/info", asked, at))

    def slides_of(self, accession: str, issuer: Mapping[str, str], at: datetime) -> list[Any]:
        """The images of a case."""
        asked = {"includePHI": "true", **issuer}
        path = f"/requests/{_part(accession)}/images/info"
        return _objects(self._about_slide(path, asked, at))

    def results(self, application: str, slide_id: str, at: datetime) -> list[dict[str, Any]]:
        """Ours on a slide."""
        path = f"{_results(application)}/slide/{_part(slide_id)}"
        return _objects(self._about_slide(path, {}, at))

    def store(self, application: str, result: bytes, at: datetime) -> dict[str, Any]:
        """A new result, as the PACS keeps it: with its id."""
        return _stored(self._json("POST", _results(application), at, result))

    def replace(
        self, application: str, result_id: int, result: bytes, at: datetime
    ) -> dict[str, Any]:
        """In the version that ``result`` names.  Raises TryAgain where it has another by now."""
        return _stored(self._json("PUT", f"{_results(application)}/{result_id}", at, result))

    def put_quality(self, slide_id: str, content: bytes, at: datetime) -> None:
        self._json("PUT", f"/slides/{_part(slide_id)}/qualityControl", at, content)

    def tile(self, slide_id: str, level: int, col: int, row: int, at: datetime) -> bytes:
        """A Deep Zoom tile, as JPEG."""
        path = f"/images/{_part(slide_id)}_files/{level}/{col}_{row}.jpg"
        answer = self._answer(Request("GET", self._base + path, {"Accept": "image/jpeg"}), at)
        if not answer.is_ok:
            raise self._refused(answer, at)
        return answer.body

    @contextmanager
    def files(self, slide_id: str, at: datetime) -> Iterator[tuple[Answer, Iterator[bytes]]]:
        """The slide's file or files, as they come: the head of the answer, and its body in
        pieces."""
        url = f"{self._base}/slides/{_part(slide_id)}/files"
        with self._exchange.stream(self._with_token(Request("GET", url), at)) as (answer, body):
            if not answer.is_ok:
                raise self._refused(answer, at)
            yield answer, body

    def _about_slide(self, path: str, asked: Mapping[str, str], at: datetime) -> Any:
        question = f"?{urlencode(asked)}" if asked else ""
        try:
            return self._json("GET", f"{path}{question}", at)
        except Paused as error:
            if error.code != _NOT_THERE:
                raise
        self.info(at)  # else the whole address is wrong, and no slide is to blame
        raise UnknownSlide(UNKNOWN, _NOT_THERE)

    def _json(self, method: str, path: str, at: datetime, body: bytes = b"") -> Any:
        headers = {"Accept": _JSON, **({"Content-Type": _JSON} if body else {})}
        answer = self._answer(Request(method, self._base + path, headers, body), at)
        if not answer.is_ok:
            raise self._refused(answer, at)
        try:
            return from_json(answer.body) if answer.body.strip() else {}
        except Unreadable:
            raise TryAgain(UNREADABLE) from None

    def _answer(self, request: Request, at: datetime) -> Answer:
        """Once more with another token where the first is not taken."""
        answer = self._exchange.ask(self._with_token(request, at), _MOST_ANSWER_BYTES)
        if answer.status not in _NO_TOKEN:
            return answer
        self._tokens.forget()
        return self._exchange.ask(self._with_token(request, at), _MOST_ANSWER_BYTES)

    def _with_token(self, request: Request, at: datetime) -> Request:
        headers = {VERSION_HEADER: _needed(request), **request.headers}
        token = self._tokens.current(at)
        if token is not None:
            headers["Authorization"] = f"Bearer {token.value.decode()}"
        return Request(request.method, request.url, headers, request.body)

    def _refused(self, answer: Answer, at: datetime) -> DeliveryError:
        if answer.status == _CHANGED:
            return TryAgain("it was changed meanwhile; it is read again first", answer.status)
        return refusal(answer, at)


def _needed(request: Request) -> str:
    path = urlsplit(request.url).path
    if path.endswith("/qualityControl"):
        return _OF_QUALITY
    return API_VERSION if path.endswith("/images/info") else _OF_ALL


def _part(name: str) -> str:
    """Of a path.  Raises Refused for one that leads elsewhere, however it is written."""
    if name in ("", ".", ".."):
        raise Refused("no PACS can be asked for a name of dots")
    return quote(name, safe="")


def _results(application: str) -> str:
    return f"/applications/{_part(application)}/results"


def _object(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise TryAgain(UNREADABLE)
    return content


def _objects(content: Any) -> list[dict[str, Any]]:
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise TryAgain(UNREADABLE)
    return content


def _stored(content: Any) -> dict[str, Any]:
    """A result has the database's id, and its version."""
    kept = _object(content)
    if type(kept.get("id")) is not int or not isinstance(kept.get("versionId"), str):
        raise TryAgain(UNREADABLE)
    return kept
