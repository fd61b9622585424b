"""Two trusts of two networks, with a job, a line, a slide and a share each; and the API over
them."""

import asyncio
import hashlib
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine, insert, update

from tests.delivery.conftest import FakeClock
from wsi_ai.core.flags import STATEMENT
from wsi_ai.delivery.receiver.tables import newest
from wsi_ai.service import workers
from wsi_ai.service.access import rights, shares, tokens
from wsi_ai.service.access.access_door import AccessDoor
from wsi_ai.service.access.guard import Guarded
from wsi_ai.service.access.settings import TrustSettings
from wsi_ai.service.access.shares import Slide
from wsi_ai.service.access.site import Site
from wsi_ai.service.access.who import ONE_PERSON, REGION, Right, Role, Scope
from wsi_ai.service.api.app import api
from wsi_ai.service.api.parts import ApiParts
from wsi_ai.service.job_table import JobTable
from wsi_ai.service.jobs import Asked, JobState, job
from wsi_ai.service.rooms.slides import SlidesOf
from wsi_ai.service.slide_allowance import below
from wsi_ai.service.workers import Station

ORIGIN = "https://wsi.example"
NETWORKS = {"RXX": "N1", "RYY": "N2"}
WORKER = "e" * 32
_NONE = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Nothing goes over a network."""


@dataclass(frozen=True)
class Objects:
    """Of one trust."""

    job: str
    flag: str
    sid: str
    share: str


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class World:
    engine: Engine
    clock: FakeClock
    parts: ApiParts
    app: Any
    of: Mapping[str, Objects]

    def token(self, name: str, *given: Right, until: float | None = None) -> str:
        made = tokens.make(self.engine, ONE_PERSON, name, until, self.clock())
        for right in given:
            rights.grant(self.engine, ONE_PERSON, f"token:{name}", right, self.clock())
        return made

    def ask(self, method: str, path: str, token: str | None, **more: Any) -> Answer:
        return self.ask_all([(method, path, token, more)])[0]

    def ask_all(self, asked: list[tuple[str, str, str | None, dict[str, Any]]]) -> list[Answer]:
        """One after the other, on one loop: much faster."""

        async def all_of_them() -> list[Answer]:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, verify=_NONE) as on:
                return [await _asked(on, *one) for one in asked]

        return asyncio.run(all_of_them())


async def _asked(
    client: httpx.AsyncClient, method: str, path: str, token: str | None, more: dict[str, Any]
) -> Answer:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    more = {**more, "headers": headers | more.get("headers", {})}
    found = await client.request(method, path, **more)
    is_json = "json" in found.headers.get("content-type", "")
    return Answer(found.status_code, found.headers, found.json() if is_json else found.text)


def right(role: Role, scope: str = "region") -> Right:
    return Right(role, REGION if scope == "region" else Scope.of(scope))


def make_world(engine: Engine, clock: FakeClock, folder: Path) -> World:
    table = JobTable(engine, clock)
    trusts = {}
    for trust, network in NETWORKS.items():
        place = folder / trust / "slides"
        place.mkdir(parents=True)
        (place / "a.svs").write_bytes(trust.encode())
        trusts[trust] = TrustSettings(network, (below(str(place)),))
    door = AccessDoor(engine, clock, Site(ORIGIN))
    models = {"demo@1": "/models/demo", "other@2": "other@2"}
    parts = ApiParts(engine, table, door, clock, SlidesOf(engine), trusts, models)
    app = Guarded(api(parts), Site(ORIGIN))
    of = {trust: _objects(engine, table, clock, trust, folder) for trust in NETWORKS}
    workers.enter(engine, Station(WORKER, "h", "cpu", "wsi_ai"), clock())
    return World(engine, clock, parts, app, of)


def _objects(
    engine: Engine, table: JobTable, clock: FakeClock, trust: str, folder: Path
) -> Objects:
    sha256 = hashlib.sha256(trust.encode()).hexdigest()
    network = NETWORKS[trust]
    uri = f"file://{folder}/{trust}/slides/a.svs"
    case = {"trust": trust, "accession": "S26-1", "slide_id": f"S26-1-{trust}"}
    asked = Asked(trust=trust, network=network, slide_uri=uri, models=("/models/demo",),
                  submitted_by="tests", case=case)  # fmt: skip
    waiting, _ = table.submit(asked)
    clock.move(1)
    done, _ = table.submit(replace(asked, models=("other@2",)))
    results = folder / trust / f"a-{sha256[:8]}" / "other"
    results.mkdir(parents=True)
    (results / "flag.json").write_text(json.dumps({"slide": {"image_sha256": sha256}}))
    values = {"state": JobState.DONE, "result_uri": results.as_uri(), "seconds": {"infer": 30.0}}
    flag = str(hashlib.md5(trust.encode()).hexdigest())
    flag = f"{flag[:8]}-{flag[8:12]}-{flag[12:16]}-{flag[16:20]}-{flag[20:]}"
    with engine.begin() as connection:
        connection.execute(update(job).where(job.c.job_id == done).values(values))
        connection.execute(insert(newest).values(_line(flag, sha256, trust)))
    share = shares.make(
        engine, ONE_PERSON, Slide(sha256, trust, network), ("subject:gp", clock() + 900), clock()
    )
    return Objects(waiting, flag, sha256[:32], share.share_id)


def _line(flag: str, sha256: str, trust: str) -> dict[str, Any]:
    return {
        "flag_id": flag, "revision": 1, "event_id": flag, "answer": "", "at": 1.0, "seq": 0,
        "retracted": False, "silent": False, "seen": "", "same_since": 1, "acknowledged": False,
        "acknowledged_before": False, "listed": True, "urgency": 0, "level": "expedite",
        "issued": "2026-11-28T09:00:00.000Z", "trust": trust, "network": NETWORKS[trust],
        "accession": "S26-1", "slide": f"S26-1-{trust}", "image_sha256": sha256, "stain": "H&E",
        "model": "demo 1", "score": 0.9, "threshold": 0.5, "analysed_fraction": 1.0,
        "quality": "pass", "explanation": "seen", "statement": STATEMENT, "flag": "{}",
    }  # fmt: skip
