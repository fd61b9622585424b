"""``POST /v1/jobs``: ask that a slide is judged."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from fastapi.exceptions import HTTPException
from pydantic import Field

from wsi_ai.errors import InputError
from wsi_ai.service.access.settings import TrustSettings
from wsi_ai.service.access.who import Role, Who
from wsi_ai.service.api import job_rows
from wsi_ai.service.api.parts import ApiParts, Asker, Parts
from wsi_ai.service.api.problems import documented
from wsi_ai.service.api.texts import Body, Line, SlideUri, Trust
from wsi_ai.service.arrivals import Arrival, admit
from wsi_ai.service.jobs import Asked, Priority
from wsi_ai.service.routing.rules import Choice, Facts
from wsi_ai.service.slide_allowance import allowed_address
from wsi_ai.service.slide_places import state_of

router = APIRouter(tags=["jobs"])
_AGAIN_S = "60"
_SOURCE = "api"
Key = Annotated[
    str | None,
    Header(alias="Idempotency-Key", pattern=r"^[!-~]{1,200}$", description="Of your choice."),
]


class Case(Body):
    """Whose slide it is, in the words of the trust's own systems."""

    accession: Line
    slide_id: Line
    block: Line | None = None
    stain: Line | None = None
    issuer: Line | None = None
    organ: Line | None = None
    specimen: Line | None = None


class Submission(Body):
    trust: Trust
    slide: SlideUri
    models: Annotated[list[Line], Field(min_length=1, max_length=16)] | None = None
    """Left out: the site's rules choose."""
    priority: Priority = Priority.ROUTINE
    mpp: Annotated[float, Field(ge=0.01, le=100)] | None = None
    case: Case | None = None


def _link(operation: str) -> dict[str, Any]:
    return {"operationId": operation, "parameters": {"job_id": "$response.body#/job_id"}}


_LINKS = {
    "job": _link("job"),
    "events": _link("events"),
    "cancel": _link("cancel"),
    "again": _link("again"),
    "priority": _link("priority"),
}
_SUBMITTED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The same was asked before: the same job", "links": _LINKS},
    202: {"description": "It is queued", "links": _LINKS},
}


@router.post(
    "/v1/jobs",
    status_code=202,
    operation_id="submit",
    responses={**_SUBMITTED, **documented(409, 413, 429)},
)
def submit(
    parts: Parts, who: Asker, asked: Submission, response: Response, key: Key = None
) -> dict[str, Any]:
    """Ask that a slide is judged.  Whoever asks the same again gets the same job."""
    site = parts.trusts.get(asked.trust)
    network = site.network if site else None
    if not who.may(Role.SUBMIT, asked.trust, network):
        raise HTTPException(403, "that takes the right to submit for this trust")
    if site is None:
        raise InputError("no place of slides is set up for this trust: slides_below")
    _check_room(parts, asked.trust)
    arrival = _arrival(asked, site, who)
    names = _names(parts, asked)
    ids = (
        _routed(parts, asked, arrival, key)
        if names is None
        else [parts.jobs.submit(_question(asked, arrival, names, key))]
    )
    job_id, new = ids[0]
    response.status_code = 202 if new else 200
    response.headers["location"] = f"/v1/jobs/{job_id}"
    return {"job_id": job_id, "new": new, "jobs": [name for name, _ in ids]}


def _check_room(parts: ApiParts, trust: str) -> None:
    if job_rows.waiting(parts.engine, trust, parts.most_waiting) >= parts.most_waiting:
        raise HTTPException(429, "too many jobs of this trust wait", {"retry-after": _AGAIN_S})


def _arrival(asked: Submission, site: TrustSettings, who: Who) -> Arrival:
    """Raises InputError."""
    address = allowed_address(asked.slide, site.slides_below)
    case: dict[str, str] = {}
    if asked.case is not None:
        given = asked.case.model_dump(exclude_none=True)
        own = {"trust": asked.trust} | ({"network": site.network} if site.network else {})
        case = {**given, **own}
    return Arrival(
        trust=asked.trust,
        network=site.network,
        slide_uri=address,
        source=_SOURCE,
        case=case,
        facts={},
        same=state_of(address),
        mpp=asked.mpp,
        submitted_by=who.subject,
    )


def _names(parts: ApiParts, asked: Submission) -> tuple[str, ...] | None:
    """As jobs have them.  Raises InputError."""
    if asked.models is None:
        return None
    if unknown := [name for name in asked.models if name not in parts.models]:
        raise InputError(f"models: {len(unknown)} of them are not approved here; see /v1/models")
    return tuple(dict.fromkeys(parts.models[name] for name in asked.models))


def _question(
    asked: Submission, arrival: Arrival, names: tuple[str, ...], key: str | None
) -> Asked:
    return Asked(
        trust=arrival.trust,
        network=arrival.network,
        slide_uri=arrival.slide_uri,
        models=names,
        submitted_by=arrival.submitted_by,
        case=arrival.case,
        same=arrival.same,
        mpp=arrival.mpp,
        priority=asked.priority,
        name=key,
    )


def _routed(
    parts: ApiParts, asked: Submission, arrival: Arrival, key: str | None
) -> list[tuple[str, bool]]:
    """By the site's rules; where none takes the slide, it is listed as one without a model."""
    choose = parts.choose
    if choose is None:
        raise InputError("models: no rules choose one here, so name them; see /v1/models")
    if key is not None:
        raise InputError("an Idempotency-Key goes with models: rules may choose several jobs")

    def chosen(facts: Facts) -> list[Choice]:
        if "priority" not in asked.model_fields_set:
            return list(choose(facts))
        return [replace(one, priority=asked.priority) for one in choose(facts)]

    return [(one.job_id, one.new) for one in admit(parts.jobs, chosen, arrival)]


@router.get("/v1/models", operation_id="models", responses=documented())
def models(parts: Parts, who: Asker) -> dict[str, Any]:
    """Those that a submission may name."""
    if not who.may_somewhere(Role.SUBMIT):
        raise HTTPException(403, "that takes the right to submit")
    return {"models": sorted(parts.models)}
