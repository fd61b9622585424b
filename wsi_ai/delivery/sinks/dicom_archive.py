"""Questions to an archive over DICOMweb (PS3.18): what there is, and one object to be kept."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from pydicom.dataset import Dataset

from wsi_ai.delivery.formats.dicom import codes, stow
from wsi_ai.delivery.messages import Endpoint, Secret
from wsi_ai.delivery.sinks.http import UNAUTHORIZED, Answer, Exchange, Request, refusal
from wsi_ai.delivery.sinks.tokens import GivenToken, OAuthTokens, Tokens
from wsi_ai.errors import Paused, Refused, SinkError, TryAgain
from wsi_ai.schemas.reading import Unreadable, from_json

_JSON = "application/dicom+json"
_MOST_ANSWER_BYTES = 1 << 26
_PAGE, _MOST_PAGES = 200, 10_000
_NOTHING, _PART, _NOT_THERE = 204, 206, 404
_NUMBER, _SERIES, _SOP, _DESCRIPTION = "00200013", "0020000E", "00080018", "0008103E"
_UNREADABLE = "the archive's answer cannot be read"


@dataclass(frozen=True, slots=True)
class Listed:
    """An instance in an archive's list."""

    sop_uid: str
    series_uid: str
    number: int
    description: str


class Archive:
    """Used by one thread."""

    def __init__(self, endpoint: Endpoint, base: str) -> None:
        self._base, self._exchange = base, Exchange(endpoint)
        held = endpoint.credentials
        self._basic = held.basic
        if held.basic is not None:
            _basic_of(held.basic())  # a wrong one is found at the start
        self._tokens: Tokens = GivenToken(held.bearer)
        if held.oauth is not None:
            self._tokens = OAuthTokens(endpoint, held.oauth, self._exchange, base)
        self._at: datetime | None = None

    def begin(self, at: datetime) -> None:
        """An attempt, at this time: what follows has the endpoint's timeout together."""
        self._at = at
        self._exchange.begin()

    def close(self) -> None:
        self._exchange.close()

    def check(self, at: datetime) -> str:
        """See ``contract.CheckedSink.check``."""
        self.begin(at)
        answer = self._asked(Request("GET", f"{self._base}/studies?limit=1"))
        if not answer.is_ok:
            raise refusal(answer, at)
        studies = _list(answer)
        server = answer.headers.get("server", "")
        version = server[:80] if server.isprintable() and server else "it does not say its version"
        found = "it has studies" if studies else "it lists no study"
        return f"DICOMweb: studies can be searched ({found}); {version}; nothing was stored"

    def header(self, study: str, series: str, sop: str) -> Dataset | None:
        """Of an instance, without its bulk data; ``None`` where it is not there."""
        place = f"/studies/{study}/series/{series}/instances/{sop}/metadata"
        found = self._query(place)
        if not found:
            return None
        try:
            return Dataset.from_json(found[0], _without_bulk)
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            raise TryAgain(_UNREADABLE) from None

    def instances(self, study: str, series: str) -> list[Listed]:
        """All of one series; none where there is no such series."""
        asked = urlencode({"includefield": _NUMBER})
        listed = self._query(f"/studies/{study}/series/{series}/instances?{asked}")
        return [one for each in listed if (one := _listed(each)).series_uid == series]

    def reports(self, at: datetime) -> Iterator[Listed]:
        """All structured reports that have our number of a series, page by page."""
        asked = {"Modality": "SR", "SeriesNumber": codes.REPORT_SERIES,
                 "includefield": f"{_NUMBER},{_DESCRIPTION}", "limit": _PAGE}  # fmt: skip
        for page in range(_MOST_PAGES):
            self.begin(at)
            listed = self._query(f"/instances?{urlencode(asked | {'offset': page * _PAGE})}")
            yield from map(_listed, listed)
            if len(listed) < _PAGE:
                return
        raise TryAgain("the archive's list of reports has no end")

    def store(self, study: str, sop_uid: str, instance: bytes) -> None:
        """One instance.  Raises TryAgain, Paused, or Refused with the archive's own reason."""
        kind, body = stow.body_of(instance, f"wsi-ai-{sop_uid}")
        request = Request("POST", f"{self._base}/studies/{study}", {"Content-Type": kind}, body)
        answer = self._asked(request)
        found = stow.outcome(answer.body, sop_uid)
        if found is not None and found.kept:
            return
        if found is None:
            if answer.is_ok:
                raise TryAgain("the archive does not say that it kept it")
            raise refusal(answer, self._now())
        reason = "" if found.reason is None else f": reason {found.reason:04X}H"
        if found.may_pass:
            raise TryAgain(f"the archive did not keep it{reason}", answer.status)
        raise Refused(f"the archive does not take it{reason}", answer.status)

    def _query(self, place: str) -> list[dict[str, Any]]:
        answer = self._asked(Request("GET", f"{self._base}{place}"))
        if answer.status in (_NOTHING, _NOT_THERE):
            return []
        if answer.status == _PART:
            raise TryAgain("the archive lists a part only", answer.status)
        if not answer.is_ok:
            error = refusal(answer, self._now())
            about_flag = isinstance(error, Refused)
            raise Paused(str(error), answer.status) if about_flag else error
        return _list(answer)

    def _asked(self, request: Request) -> Answer:
        answer = self._exchange.ask(self._authorized(request), _MOST_ANSWER_BYTES)
        if answer.status == UNAUTHORIZED:
            self._tokens.forget()
            answer = self._exchange.ask(self._authorized(request), _MOST_ANSWER_BYTES)
        return answer

    def _authorized(self, request: Request) -> Request:
        headers = {"Accept": _JSON, "Cache-Control": "no-cache", **request.headers}
        if self._basic is not None:
            try:
                headers["Authorization"] = _basic_of(self._basic())
            except SinkError as error:
                raise Paused(str(error)) from None
        elif (token := self._tokens.current(self._now())) is not None:
            headers["Authorization"] = f"Bearer {token.value.decode()}"
        return Request(request.method, request.url, headers, request.body)

    def _now(self) -> datetime:
        if self._at is None:
            raise ValueError("an archive was asked before an attempt began")
        return self._at


def _basic_of(pair: Secret) -> str:
    """Raises SinkError."""
    text = pair.value.decode("utf-8", "replace").strip()
    if ":" not in text or not text.isprintable():
        raise SinkError("basic names user:password, in one line")
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def _list(answer: Answer) -> list[dict[str, Any]]:
    """Raises TryAgain."""
    if not answer.body.strip():
        return []
    try:
        found = from_json(answer.body)
    except Unreadable:
        raise TryAgain(_UNREADABLE) from None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise TryAgain(_UNREADABLE)
    return found


def _listed(found: dict[str, Any]) -> Listed:
    """Raises TryAgain."""
    try:
        sop, series, number, description = (
            ((found.get(tag) or {}).get("Value") or [""])[0]
            for tag in (_SOP, _SERIES, _NUMBER, _DESCRIPTION)
        )
        return Listed(str(sop), str(series), int(number or 0), str(description))
    except (ValueError, TypeError, AttributeError, IndexError, KeyError):
        raise TryAgain(_UNREADABLE) from None


def _without_bulk(tag: str, vr: str, uri: str) -> None:
    return None
