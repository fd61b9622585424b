"""A FHIR R4 server: what it holds is read before it is written, and replaced in that version."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from wsi_ai.delivery.contract import Sink
from wsi_ai.delivery.formats.event import FlagEvent, event_of
from wsi_ai.delivery.formats.fhir import bundle, codes
from wsi_ai.delivery.formats.fhir.bundle import OnServer, Stored, TaskState
from wsi_ai.delivery.messages import Endpoint, Held, Message, Receipt
from wsi_ai.delivery.sinks.addresses import check_endpoint, refuse_heartbeat
from wsi_ai.delivery.sinks.http import UNAUTHORIZED, Answer, Exchange, Request, refusal
from wsi_ai.delivery.sinks.tokens import GivenToken, OAuthTokens, Tokens
from wsi_ai.delivery.succession import is_known
from wsi_ai.errors import DeliveryError, Paused, Refused, SinkError, TryAgain
from wsi_ai.schemas.reading import Unreadable, from_json

_JSON = "application/fhir+json"
_MOST_ANSWER_BYTES = 1 << 26
_PAGE, _MOST_PAGES = 200, 10_000
_CHANGED_MEANWHILE = frozenset({409, 412})
_TAKEN, _MADE = range(200, 300), 201
_NO_UPDATE_AS_CREATE = {"type": "Provenance", "updateCreate": False}.items()
_UNREADABLE = "the server's answer cannot be read"


def open_sink(endpoint: Endpoint) -> "FhirSink":
    """For ``fhir+https://host/base``, and ``fhir+http://`` on this machine.  Raises SinkError."""
    base = endpoint.url.removeprefix("fhir+").rstrip("/")
    oauth = endpoint.credentials.oauth
    urls = [base, *([oauth.token_url] if oauth and oauth.token_url else [])]
    check_endpoint(endpoint, urls)
    refuse_heartbeat(endpoint, "a FHIR server")
    if endpoint.fhir.flag:
        raise SinkError(
            f"sink {endpoint.name}: a Flag of R4 is a patient's, and our flags name no patient;"
            " leave out fhir.flag: the Task is what a worklist reads"
        )
    if urlsplit(base).query or urlsplit(base).fragment:
        raise SinkError(f"sink {endpoint.name}: the base of a FHIR server has no ? and no #")
    exchange = Exchange(endpoint)
    tokens: Tokens = GivenToken(endpoint.credentials.bearer)
    if oauth is not None:
        tokens = OAuthTokens(endpoint, oauth, exchange, base)
    return FhirSink(endpoint, base, exchange, tokens)


class FhirSink:
    """See ``contract.Sink``."""

    def __init__(self, endpoint: Endpoint, base: str, exchange: Exchange, tokens: Tokens) -> None:
        self.endpoint = endpoint
        self._base, self._exchange, self._tokens = base, exchange, tokens
        self._systems = codes.Systems(endpoint.fhir.accession_system, endpoint.fhir.slide_system)

    def send(self, message: Message, at: datetime) -> Receipt:
        """See ``contract.Sink.send``.  Where another sender writes at the same time, one of the two
        tries again."""
        if not message.is_whole():
            raise Refused("its content is not what was kept")
        event = event_of(message)
        self._exchange.begin()
        there, state = self._read(message.flag_id, at)
        held = None if state is None else _held(state)
        if held is None or not is_known(event.flag, event.event_id, held, there.events, "server"):
            self._write(event, there, at)
            held = Held(message.revision, message.event_id, event.answer, event.is_retraction)
        reference = bundle.provenance_id(event)
        return Receipt(message.flag_id, self.endpoint.name, reference, at, held)

    def held(self, at: datetime) -> Mapping[str, Held]:
        """See ``contract.Sink.held``."""
        found = dict[str, TaskState]()
        for task in self._tasks(at):
            try:
                state = _state(task)
            except Refused:
                continue  # what nobody can read counts as lost
            if state.flag_id not in found or _rank(found[state.flag_id]) < _rank(state):
                found[state.flag_id] = state
        return {flag_id: _held(state) for flag_id, state in found.items()}

    def check(self, at: datetime) -> str:
        """See ``contract.CheckedSink.check``."""
        self._exchange.begin()
        statement = self._json(Request("GET", f"{self._base}/metadata"), at)
        version = str(statement.get("fhirVersion"))
        if not version.startswith("4.0"):
            raise Refused(f"it speaks FHIR {version}, and flags go out as 4.0.1")
        if lacks := _lacks(statement):
            raise Refused(f"it says that it has no {lacks}")
        self._search("Task", "none", at)
        return f"FHIR {version}, {_named(statement)}; Tasks can be read"

    def close(self) -> None:
        self._exchange.close()

    def _read(self, flag_id: str, at: datetime) -> tuple[OnServer, TaskState | None]:
        tasks = self._search("Task", flag_id, at)
        observations = self._search("Observation", flag_id, at)
        states = [_state(task) for task in tasks]
        newest = max(states, key=_rank, default=None)
        there = OnServer(
            tuple(map(_stored, tasks)),
            tuple(map(_stored, observations)),
            newest.events if newest else (),
        )
        return there, newest

    def _search(self, kind: str, flag_id: str, at: datetime) -> list[dict[str, Any]]:
        """Of this flag alone: a server may pass over what it does not know of a question, and give
        all that it has."""
        asked = urlencode({"identifier": f"{codes.FLAG_ID}|{flag_id}"})
        page = self._json(Request("GET", f"{self._base}/{kind}?{asked}"), at)
        return [one for one in _resources(page, kind) if bundle.is_of(one, flag_id)]

    def _tasks(self, at: datetime) -> Iterator[dict[str, Any]]:
        """All of ours.  Pages follow each other by the server's own links, at our own address."""
        code = f"{codes.CODES}|{codes.TASK_CODE}"
        url: str | None = f"{self._base}/Task?{urlencode({'code': code, '_count': _PAGE})}"
        for _ in range(_MOST_PAGES):
            if url is None:
                return
            self._exchange.begin()
            page = self._json(Request("GET", url), at)
            yield from _resources(page, "Task")
            url = self._next(page)
        raise TryAgain("the server's list of Tasks has no end")

    def _next(self, page: Mapping[str, Any]) -> str | None:
        links = {
            str(one.get("relation")): str(one.get("url")) for one in _objects(page.get("link"))
        }
        if "next" not in links:
            return None
        try:
            ours, theirs = urlsplit(self._base), urlsplit(links["next"])
        except ValueError:
            raise TryAgain(_UNREADABLE) from None
        return theirs._replace(scheme=ours.scheme, netloc=ours.netloc).geturl()

    def _write(self, event: FlagEvent, there: OnServer, at: datetime) -> None:
        body = bundle.render(event, self._systems, there)
        statuses = _statuses(self._json(Request("POST", self._base, body=body), at))
        if len(statuses) != 2 + max(1, len(there.observations)) + max(1, len(there.tasks)):
            raise TryAgain(_UNREADABLE)
        worst = max(statuses)
        if worst not in _TAKEN:  # a server that has no transactions takes the bundle in parts
            raise _refused(Answer(worst, {}, b""), at)
        behind = 1 + max(1, len(there.observations))
        fresh = [n for n, kind in ((1, there.observations), (behind, there.tasks)) if not kind]
        if any(statuses[n] != _MADE for n in fresh):
            raise TryAgain("another sender was faster; what it wrote is read first")

    def _json(self, request: Request, at: datetime) -> dict[str, Any]:
        answer = self._authorized(request, at)
        if answer.status == UNAUTHORIZED:
            self._tokens.forget()
            answer = self._authorized(request, at)
        if not answer.is_ok:
            error = _refused(answer, at)
            about_flag = bool(request.body) or not isinstance(error, Refused)
            raise error if about_flag else Paused(str(error), answer.status)
        try:
            resource = from_json(answer.body)
        except Unreadable:
            raise TryAgain(_UNREADABLE) from None
        if not isinstance(resource, dict):
            raise TryAgain(_UNREADABLE)
        return resource

    def _authorized(self, request: Request, at: datetime) -> Answer:
        headers = {
            "Accept": _JSON,
            "Content-Type": _JSON,
            "Cache-Control": "no-cache",
            "Prefer": "handling=strict",
        }
        token = self._tokens.current(at)
        if token is not None:
            headers["Authorization"] = f"Bearer {token.value.decode()}"
        return self._exchange.ask(
            Request(request.method, request.url, headers, request.body), _MOST_ANSWER_BYTES
        )


def _lacks(statement: Mapping[str, Any]) -> str | None:
    """What flags need, and a CapabilityStatement says is not there; one that is silent says
    nothing."""
    for rest in _objects(statement.get("rest")):
        interactions = [one.get("code") for one in _objects(rest.get("interaction"))]
        if interactions and "transaction" not in interactions:
            return "transactions"
        for resource in _objects(rest.get("resource")):
            if resource.items() >= _NO_UPDATE_AS_CREATE:
                return "update as create for Provenance"
    return None


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _named(statement: Mapping[str, Any]) -> str:
    (software,) = _objects([statement.get("software")]) or [{}]
    name = " ".join(str(software[part]) for part in ("name", "version") if part in software)
    return name[:80] or "a server without a name"


def _refused(answer: Answer, at: datetime) -> DeliveryError:
    if answer.status in _CHANGED_MEANWHILE:
        return TryAgain("it was changed meanwhile; it is read again first", answer.status)
    return refusal(answer, at)


def _state(task: Mapping[str, Any]) -> TaskState:
    try:
        return bundle.task_state(task)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError):
        raise Refused(
            "a Task of the server's has the flag's identifier and is none of ours"
        ) from None


def _rank(state: TaskState) -> tuple[int, bool]:
    """Of two Tasks of one flag, that which was marked as an error comes after the other."""
    return state.revision, not state.retracted


def _held(state: TaskState) -> Held:
    return Held(state.revision, state.events[-1], state.answer, state.retracted)


def _stored(resource: Mapping[str, Any]) -> Stored:
    try:
        return Stored(str(resource["id"]), str(resource["meta"]["versionId"]), resource)
    except (KeyError, TypeError):
        raise Paused("the server does not say which versions it holds") from None


def _statuses(response: Mapping[str, Any]) -> list[int]:
    """What became of each part of a bundle."""
    try:
        return [int(str(entry["response"]["status"])[:3]) for entry in response["entry"]]
    except (KeyError, TypeError, ValueError):
        raise TryAgain(_UNREADABLE) from None


def _resources(page: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """Of a searchset, those of the kind: a server may add an OperationOutcome."""
    try:
        found = [entry["resource"] for entry in page.get("entry") or []]
        return [one for one in found if one["resourceType"] == kind]
    except (KeyError, TypeError, AttributeError):
        raise TryAgain(_UNREADABLE) from None


_: type[Sink] = FhirSink
