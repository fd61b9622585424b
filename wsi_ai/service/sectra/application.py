"""What an application of the PACS does with what it is called for."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.flags import Identity
from wsi_ai.core.software import software
from wsi_ai.delivery.formats.sectra import Place, render_note
from wsi_ai.delivery.messages import Secret
from wsi_ai.delivery.sinks.http import Exchange, bearer_of
from wsi_ai.delivery.sinks.sectra_api import SectraApi, base_of
from wsi_ai.delivery.sinks.tokens import GivenToken
from wsi_ai.errors import SinkError, WsiAiError
from wsi_ai.service.arrivals import Arrival, Choose, admit, one_question
from wsi_ai.service.jobs import Asked
from wsi_ai.service.queue import Queue
from wsi_ai.service.routing.facts import gathered
from wsi_ai.service.sectra.image_info import PacsSite, address_of, case_of, is_of, stain_of
from wsi_ai.triage.judge import case_flag_id

NOTICE = "sectra"
IN_PROGRESS, CANCELLED = "in progress", "cancelled; not assessed"


class NotTaken(WsiAiError):
    """What was called for is not what we do; quotes nothing."""


@dataclass(frozen=True, slots=True)
class Call:
    """What every call says."""

    slide_id: str
    content: Mapping[str, Any]
    token: Secret
    """Lives as long as the call; it is kept nowhere."""


@dataclass(frozen=True, slots=True)
class Application:
    """The same notice may come twice, and from several threads at once."""

    queue: Queue
    site: PacsSite
    models: Sequence[tuple[str, ModelCard]]
    url: str
    """Where the PACS reaches us."""
    stains: frozenset[str] = frozenset()
    """Images of which are queued; empty: of all."""
    choose: Choose | None = None
    """Which models judge an image that is announced; ``None``: the same ones that a person gets."""

    def registration(self) -> dict[str, Any]:
        return {
            "applicationId": self.site.endpoint.sectra.application,
            "displayName": "wsi_ai triage (research use only)",
            "manufacturer": "wsi_ai",
            "url": self.url,
            "inputTemplate": {"type": "wholeSlide"},
            "context": {},
        }

    def notified(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """An image was imported.  Returns once its job is kept.  Raises NotTaken, OutputError."""
        call = self._call(content)
        info = content.get("imageInfo")
        known = info if isinstance(info, dict) else {}
        stain = stain_of(known)
        if self.stains and stain is not None and stain not in self.stains:
            return {}
        self._announced(call, case_of(known, self.site), stain)
        return {}

    def invoked(self, content: Mapping[str, Any]) -> Any:
        """A person asks.  Raises NotTaken, OutputError, or DeliveryError where the PACS cannot be
        asked in turn; then the job is kept all the same."""
        call = self._call(content)
        match content.get("action"):
            case "create":
                return self._create(call)
            case "modify":
                return self._stored(call)
            case "cancel":
                self._cancel(call)
                return []
            case "delete":
                return {}  # the PACS deletes what it shows; the flag holds
            case _:
                raise NotTaken("an action is create, modify, cancel or delete")

    def _call(self, content: Mapping[str, Any]) -> Call:
        """Raises NotTaken for another application's, and for one that would have us call somebody
        else than our PACS."""
        slide_id, callback = content.get("slideId"), content.get("callbackInfo")
        if content.get("applicationId") != self.site.endpoint.sectra.application:
            raise NotTaken("it is another application that is called")
        if not isinstance(slide_id, str) or not 0 < len(slide_id) <= 200:
            raise NotTaken("a call names its slide")
        if not slide_id.isprintable() or not slide_id.strip("."):
            raise NotTaken("a call names its slide")
        url = callback.get("url") if isinstance(callback, dict) else None
        if not isinstance(callback, dict) or not is_of(self.site.endpoint, str(url)):
            raise NotTaken("it does not come from the PACS that is set up")
        try:
            token = bearer_of(Secret(str(callback.get("token", "")).encode()))
        except SinkError:
            raise NotTaken("a call has a token to call back with") from None
        return Call(slide_id, content, token)

    def _announced(self, call: Call, case: Mapping[str, str], stain: str | None) -> None:
        names = [name for name, _ in self.models]
        arrival = Arrival(
            trust=self.site.trust,
            network=self.site.network,
            slide_uri=address_of(self.site.endpoint, call.slide_id),
            source=NOTICE,
            case=case,
            facts=gathered({"stain": stain}),
        )
        admit(self.queue, self.choose or one_question(names), arrival)

    def _queue(self, call: Call, case: Mapping[str, str], whose: str, allowance_s: float) -> None:
        self.queue.submit(
            Asked(
                trust=self.site.trust,
                network=self.site.network,
                slide_uri=address_of(self.site.endpoint, call.slide_id),
                models=tuple(name for name, _ in self.models),
                case=case,
                submitted_by=whose,
                allowance_s=allowance_s,
            )
        )

    def _create(self, call: Call) -> dict[str, Any]:
        """Queued, and shown as in progress at once, where nothing stands there yet."""
        if (call.content.get("input") or {}).get("type") != "wholeSlide":
            raise NotTaken("whole slides are judged, and no regions")
        with closing(self._api(call)) as api:
            api.begin()
            at = datetime.now(UTC)
            case = case_of(api.slide(call.slide_id, at), self.site)
            if not case:
                raise NotTaken("the PACS does not say whose slide it is, or it is not ours")
            self._queue(call, case, _person(call), 0.0)
            there = self._ours(api, call, at)
            shown = [
                there.get(name) or self._show(api, call, name, at) for name in self._flag_ids(case)
            ]
        return shown[0]

    def _cancel(self, call: Call) -> None:
        """What that person asked for; not what the PACS announced."""
        if not self.queue.cancel(_person(call)):
            return
        at = datetime.now(UTC)
        with closing(self._api(call)) as api:
            api.begin()
            for flag_id, result in self._ours(api, call, at).items():
                if result["data"]["context"].get("revision") == 0:
                    place = Place(call.slide_id, result["id"], result["versionId"])
                    note = render_note(flag_id, CANCELLED, place, software())
                    api.replace(self._application, result["id"], note, at)

    def _stored(self, call: Call) -> dict[str, Any]:
        """A result of ours has no buttons: it stays as it is stored."""
        with closing(self._api(call)) as api:
            api.begin()
            found = list(self._ours(api, call, datetime.now(UTC)).values())
        if not found:
            raise NotTaken("there is no result of ours on this slide")
        return found[-1]

    def _show(self, api: SectraApi, call: Call, flag_id: str, at: datetime) -> dict[str, Any]:
        note = render_note(flag_id, IN_PROGRESS, Place(call.slide_id), software())
        return api.store(self._application, note, at)

    def _ours(self, api: SectraApi, call: Call, at: datetime) -> dict[str, dict[str, Any]]:
        """By their flags."""
        found: dict[str, dict[str, Any]] = {}
        for result in api.results(self._application, call.slide_id, at):
            context = (result.get("data") or {}).get("context") or {}
            if isinstance(context, dict) and isinstance(context.get("flagId"), str):
                found[context["flagId"]] = result
        return found

    def _flag_ids(self, case: Mapping[str, str]) -> list[str]:
        return [case_flag_id(Identity(**case), card.ref.name) for _, card in self.models]

    def _api(self, call: Call) -> SectraApi:
        endpoint = self.site.endpoint
        return SectraApi(base_of(endpoint), Exchange(endpoint), GivenToken(lambda: call.token))

    @property
    def _application(self) -> str:
        return self.site.endpoint.sectra.application


def _person(call: Call) -> str:
    """Who may cancel it again: whoever has the call's own token for that."""
    token = call.content.get("cancellationToken")
    digest = hashlib.sha256(f"{call.slide_id} {token}".encode()).hexdigest()
    return f"{NOTICE}/{digest[:16]}"
