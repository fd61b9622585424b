"""Every endpoint, asked by every subject, about every object.

What may happen is worked out here from a table of its own: which role an endpoint needs, and whose
its object is.
"""

import itertools
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.depth import depth
from tests.service.api.world import NETWORKS, WORKER, World, right
from wsi_ai.service.access import sessions, shares, tokens
from wsi_ai.service.access.sessions import Person
from wsi_ai.service.access.who import ONE_PERSON, Role

SCOPES = "trust:RXX", "network:N1", "trust:RYY", "region"
ROLES: Sequence[frozenset[Role]] = [
    *(frozenset({role}) for role in Role),
    *(frozenset({Role.READ, role}) for role in Role if role is not Role.READ),
    frozenset(Role),
]


@dataclass(frozen=True)
class Endpoint:
    method: str
    path: str
    role: Role
    body: Any = None
    of_region: bool = False

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


def endpoints() -> list[Endpoint]:
    job, flag, slide = "/v1/jobs/{job}", "/v1/flags/{flag}/1/acknowledgement", "/v1/slides/{sid}"
    share = {"to": "trust:RZZ", "until": "2026-06-01T00:00:00Z"}
    return [
        Endpoint("GET", job, Role.READ),
        Endpoint("POST", f"{job}/priority", Role.OPERATE, {"priority": "urgent"}),
        Endpoint("POST", f"{job}/cancel", Role.OPERATE),
        Endpoint("POST", f"{job}/again", Role.OPERATE),
        Endpoint("GET", f"{job}/events", Role.READ),
        Endpoint("POST", flag, Role.ACKNOWLEDGE, {"note": "seen"}),
        Endpoint("DELETE", flag, Role.ACKNOWLEDGE),
        Endpoint("GET", slide, Role.READ),
        Endpoint("GET", f"{slide}/notes", Role.READ),
        Endpoint("POST", f"{slide}/notes", Role.ANNOTATE, _note()),
        Endpoint("GET", f"{slide}/notes.geojson", Role.READ),
        Endpoint("GET", f"{slide}/shares", Role.ANNOTATE),
        Endpoint("POST", f"{slide}/shares", Role.ANNOTATE, share),
        Endpoint("DELETE", f"{slide}/shares/{{share}}", Role.ANNOTATE),
    ]


def _note() -> dict[str, Any]:
    point = {"kind": "point", "geometry": {"type": "Point", "coordinates": [1, 1]}, "text": "a"}
    return {"op_id": str(uuid.uuid4()), "note_id": str(uuid.uuid4()), "base": 0, "body": point}


def covers(scope: str, trust: str) -> bool:
    return scope in ("region", f"trust:{trust}", f"network:{NETWORKS[trust]}")


def expected(endpoint: Endpoint, roles: frozenset[Role], scope: str, trust: str) -> set[int]:
    if Role.READ not in roles or not covers(scope, trust):
        return {404}
    if endpoint.role not in roles:
        return {403}
    if endpoint.method == "DELETE" and "{share}" in endpoint.path:
        return {200, 404}  # somebody ended it before
    return {200, 201, 202, 409}


def asked(world: World, endpoint: Endpoint, trust: str, token: str | None) -> Any:
    of = world.of[trust]
    path = endpoint.path.format(job=of.job, flag=of.flag, sid=of.sid, share=of.share)
    body = {"json": endpoint.body} if endpoint.body is not None else {}
    return endpoint.method, path, token, body


def subjects(world: World, step: int = 1) -> Iterator[tuple[frozenset[Role], str, str]]:
    """All of them every night; every day some, of every role and every scope."""
    lite = world.engine.dialect.name == "sqlite"
    step = depth(step * (3 if lite else 11), 1)
    pairs = list(itertools.product(ROLES, SCOPES))
    for n, (roles, scope) in enumerate(pairs[::step]):
        yield roles, scope, world.token(f"s{n}", *(right(role, scope) for role in roles))


def test_no_subject_reaches_what_is_not_theirs_by_any_endpoint(world: World) -> None:
    for roles, scope, token in subjects(world):
        questions = [
            (one, trust)
            for trust in NETWORKS
            for one in endpoints()
            if not one.path.endswith("/events")
        ]
        answers = world.ask_all([asked(world, *question, token) for question in questions])
        for (endpoint, trust), answer in zip(questions, answers, strict=True):
            wanted = expected(endpoint, roles, scope, trust)
            assert answer.status in wanted, (endpoint.name, sorted(roles), scope, trust, answer)
            if answer.status in (403, 404):
                assert "S26" not in str(answer.body)


def test_who_shows_no_token_or_one_that_ended_is_answered_401_everywhere(world: World) -> None:
    all_of_it = [right(role) for role in Role]
    ended = world.token("ended", *all_of_it, until=world.clock() + 10)
    revoked = world.token("revoked", *all_of_it)
    tokens.revoke(world.engine, ONE_PERSON, "revoked", world.clock())
    world.clock.move(11)
    known = [asked(world, one, "RXX", None)[:2] for one in endpoints()]
    known += [("GET", "/v1/jobs"), ("POST", "/v1/jobs"), ("GET", "/v1/worklist"),
              ("GET", "/v1/workers"), ("POST", f"/v1/workers/{WORKER}/drain"),
              ("GET", "/v1/models")]  # fmt: skip
    for token in (None, ended, revoked, "wsi_" + "x" * 43, "x", "wsi_", revoked[:-1]):
        for answer in world.ask_all([(*one, token, {}) for one in known]):
            assert answer.status == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/worklist"])
def test_a_list_has_what_is_theirs_and_nothing_else(world: World, path: str) -> None:
    for roles, scope, token in subjects(world, step=3):
        answer = world.ask("GET", path, token)
        if Role.READ not in roles:
            assert answer.status == 403
            continue
        rows = answer.body["jobs" if path == "/v1/jobs" else "lines"]
        assert {row["trust"] for row in rows} == {t for t in NETWORKS if covers(scope, t)}
        for trust in NETWORKS:
            only = world.ask("GET", f"{path}?trust={trust}", token).body
            found = only["jobs" if path == "/v1/jobs" else "lines"]
            assert bool(found) == covers(scope, trust)


def test_nobody_submits_for_a_trust_that_is_not_theirs(world: World) -> None:
    for roles, scope, token in subjects(world, step=3):
        for trust in NETWORKS:
            place = "/" + "/".join(world.parts.trusts[trust].slides_below[0].parts)
            body = {"trust": trust, "slide": f"{place}/a.svs", "models": ["demo@1"]}
            answer = world.ask("POST", "/v1/jobs", token, json=body)
            may = Role.SUBMIT in roles and covers(scope, trust)
            assert (answer.status in (200, 202)) == may, answer
            assert may or answer.status == 403


def test_a_share_opens_one_slide_until_it_ends_and_nothing_else(world: World) -> None:
    secret = sessions.begin(world.engine, Person("subject:gp", "GP"), world.clock())
    cookie = {"cookie": f"__Host-wsi-ai={secret}"}
    of = world.of["RXX"]

    def status(path: str) -> int:
        return world.ask("GET", path, None, headers=cookie).status

    assert status(f"/v1/slides/{of.sid}") == 200
    assert status(f"/v1/slides/{of.sid}/notes") == 200
    assert status(f"/v1/slides/{of.sid}/shares") == 403
    assert status(f"/v1/jobs/{of.job}") == 404
    assert status("/v1/worklist") == 403
    assert shares.end(world.engine, ONE_PERSON, of.share, world.clock())
    assert status(f"/v1/slides/{of.sid}") == 404
    assert status(f"/v1/slides/{world.of['RYY'].sid}") == 200
    world.clock.move(901)
    assert status(f"/v1/slides/{world.of['RYY'].sid}") == 404


def test_a_worker_is_drained_by_who_operates_the_region_only(world: World) -> None:
    for roles, scope, token in subjects(world, step=3):
        may = Role.OPERATE in roles
        assert (world.ask("GET", "/v1/workers", token).status == 200) == may
        drained = world.ask("POST", f"/v1/workers/{WORKER}/drain", token).status
        assert (drained == 202) == (may and scope == "region")


def test_every_endpoint_of_the_api_is_in_the_table_of_this_test(world: World) -> None:
    """And the table, for ``pytest -s``."""
    described = world.parts and world.ask("GET", "/openapi.json", None).body["paths"]
    names = {"job_id": "job", "flag_id": "flag", "revision": "1", "share_id": "share"}
    asked_about = {one.name for one in endpoints()}
    alone = {"GET /v1/jobs", "POST /v1/jobs", "GET /v1/worklist", "GET /v1/workers",
             "POST /v1/workers/{worker_id}/drain", "GET /v1/models"}  # fmt: skip
    missing = []
    for path, methods in described.items():
        here = path
        for name, ours in names.items():
            here = here.replace(f"{{{name}}}", ours if ours == "1" else f"{{{ours}}}")
        missing += [
            name for method in methods
            if (name := f"{method.upper()} {here}") not in asked_about | alone
        ]  # fmt: skip
    assert missing == []
    _print_table()


def _print_table() -> None:
    columns = list(Role)
    print("\n" + "endpoint".ljust(52) + " ".join(role.value.ljust(11) for role in columns))
    for one in endpoints():
        cells = []
        for role in columns:
            statuses = Counter(
                min(expected(one, frozenset({Role.READ, role}), scope, trust))
                for scope in SCOPES
                for trust in NETWORKS
            )
            cells.append("/".join(str(status) for status in sorted(statuses)).ljust(11))
        print(one.name.ljust(52) + " ".join(cells))
