"""Results on the slides of a Sectra PACS: what stands there is read before it is written.

The PACS has no case priority that could be written: the worklist is reached by HL7.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wsi_ai.delivery.contract import Sink
from wsi_ai.delivery.formats import sectra
from wsi_ai.delivery.formats.event import FlagEvent, event_of
from wsi_ai.delivery.messages import Endpoint, Held, Message, Receipt, Shapes
from wsi_ai.delivery.sinks.addresses import refuse_heartbeat
from wsi_ai.delivery.sinks.sectra_api import API_VERSION, SectraApi, UnknownSlide, open_api
from wsi_ai.delivery.succession import is_known
from wsi_ai.errors import Refused, SinkError, TryAgain

_RENDER = {Shapes.OUTLINES: sectra.render, Shapes.GALLERY: sectra.render_gallery}
_MOST_LOOKS = 5
"""A slide that the PACS has not got after as many is not on its way there."""
_LEAST = tuple(int(part) for part in API_VERSION.split("."))
_NOT_SET, _REJECTED, _QUALITY_VERSION = "NotSet", "Rejected", (1, 10)


def open_sink(endpoint: Endpoint) -> "SectraSink":
    """For ``sectra+https://host/SectraPathologyServer/external/imageanalysis/v1``, and
    ``sectra+http://`` on this machine.  Raises SinkError."""
    refuse_heartbeat(endpoint, "a PACS")
    oauth = endpoint.credentials.oauth
    if oauth is not None and oauth.key is not None:
        raise SinkError(f"sink {endpoint.name}: a PACS takes user and password: client_secret")
    return SectraSink(endpoint, open_api(endpoint))


@dataclass(frozen=True, slots=True)
class _Kept:
    """A result of ours that stands in the PACS."""

    place: sectra.Place
    held: Held | None
    """``None``: it says that the slide is in progress."""


class SectraSink:
    """See ``contract.Sink``."""

    def __init__(self, endpoint: Endpoint, api: SectraApi) -> None:
        self.endpoint = endpoint
        self._api, self._settings = api, endpoint.sectra
        self._looked = Counter[str]()

    def send(self, message: Message, at: datetime) -> Receipt:
        """See ``contract.Sink.send``.  Where another sender writes at the same time, one of the two
        tries again."""
        if not message.is_whole():
            raise Refused("its content is not what was kept")
        event = event_of(message)
        self._api.begin()
        slide_id, there = self._find(event, at)
        held = _newest(there)
        arrived = [name for kept in there for name in kept.place.events]
        if is_known(event.flag, event.event_id, held, arrived, "PACS"):
            held_now = held
        else:
            self._write(event, slide_id, there, at)
            held_now = Held(message.revision, message.event_id, event.answer, event.is_retraction)
        return Receipt(message.flag_id, self.endpoint.name, slide_id[:80], at, held_now)

    def held(self, at: datetime) -> None:
        """See ``contract.Sink.held``: the PACS lists results by slide only."""

    def check(self, at: datetime) -> str:
        """See ``contract.CheckedSink.check``."""
        self._api.begin()
        info = self._api.info(at)
        if info.version < _LEAST:
            raise Refused(f"its image analysis API is {info.api}; {API_VERSION} is needed")
        return f"image analysis API {info.api}, server {info.software}; a token was taken"

    def close(self) -> None:
        self._api.close()

    def _find(self, event: FlagEvent, at: datetime) -> tuple[str, list[_Kept]]:
        """The PACS's id of the slide, and our results of this flag on it."""
        names = self._images(event, at)
        found = {name: self._ours(event, name, at) for name in names}
        marked = [name for name in names if found[name]]
        chosen = marked or names
        if len(chosen) > 1:
            raise Refused(f"the PACS has {len(chosen)} images of this slide: which one is meant?")
        return chosen[0], found[chosen[0]]

    def _images(self, event: FlagEvent, at: datetime) -> list[str]:
        """By the laboratory's own id of the slide: an accession is many slides'."""
        case, settings = event.flag["case"]["accession"], self._settings
        issuer = {settings.issuer_key: settings.issuer} if settings.issuer else {}
        wanted = event.flag["slide"]["slide_id"]["value"]
        try:
            images = self._api.slides_of(case["value"], issuer, at)
        except UnknownSlide:
            images = []
        names = [
            str(one["id"]) for one in images if one.get("lisSlideId") == wanted and "id" in one
        ]
        if names:
            self._looked.pop(event.event_id, None)
            return names
        self._looked[event.event_id] += 1
        if self._looked[event.event_id] < _MOST_LOOKS:
            raise TryAgain("the PACS does not have this slide yet")
        del self._looked[event.event_id]
        raise Refused("the PACS does not have this slide")

    def _ours(self, event: FlagEvent, slide_id: str, at: datetime) -> list[_Kept]:
        results = self._api.results(self._settings.application, slide_id, at)
        return [_kept(one, slide_id) for one in results if _is_of(one, event.flag["flag_id"])]

    def _write(self, event: FlagEvent, slide_id: str, there: Sequence[_Kept], at: datetime) -> None:
        """In place of all that stands there of this flag, so that none of it stays urgent."""
        render, application = _RENDER[self._settings.shapes], self._settings.application
        if self._settings.quality_control and event.flag["qc"]["status"] == "fail":
            self._reject(event, slide_id, at)
        for kept in there:
            result_id = kept.place.result_id or 0
            self._api.replace(application, result_id, render(event, kept.place), at)
        if not there:
            self._api.store(application, render(event, sectra.Place(slide_id)), at)

    def _reject(self, event: FlagEvent, slide_id: str, at: datetime) -> None:
        """Only where nobody has judged its quality yet."""
        if self._api.info(at).version < _QUALITY_VERSION:
            return
        quality = self._api.slide(slide_id, at).get("qualityControl")
        if not isinstance(quality, dict) or quality.get("status") != _NOT_SET:
            return
        asked = {"status": _REJECTED, "versionId": quality.get("versionId")}
        software = event.flag["provenance"]["pipeline"]
        content = {"applicationVersion": software, "qualityControl": asked}
        self._api.put_quality(slide_id, json.dumps(content).encode(), at)


def _context(result: Mapping[str, Any]) -> Mapping[str, Any]:
    data = result.get("data")
    context = data.get("context") if isinstance(data, dict) else None
    return context if isinstance(context, dict) else {}


def _is_of(result: Mapping[str, Any], flag_id: str) -> bool:
    return _context(result).get("flagId") == flag_id


def _kept(result: Mapping[str, Any], slide_id: str) -> _Kept:
    """Raises Refused where it has our flag's id, and is none of ours."""
    context = _context(result)
    try:
        events = tuple(map(str, context.get("events", ())))
        place = sectra.Place(slide_id, int(result["id"]), str(result["versionId"]), events)
        if context["revision"] == 0:
            return _Kept(place, None)
        retracted, revision = bool(context["retracted"]), int(context["revision"])
        return _Kept(place, Held(revision, context["eventId"], context["answer"], retracted))
    except (KeyError, TypeError, ValueError):
        raise Refused("a result in the PACS has the flag's id and is none of ours") from None


def _newest(there: Sequence[_Kept]) -> Held | None:
    held = [kept.held for kept in there if kept.held is not None]
    return max(held, key=lambda one: (one.revision, one.retracted), default=None)


_: type[Sink] = SectraSink
