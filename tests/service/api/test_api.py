"""What callers of the API are answered."""

import asyncio
import json
import os
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from tests.service.api.world import WORKER, Answer, Objects, World, right
from wsi_ai.errors import InputError
from wsi_ai.service.access.who import Role
from wsi_ai.service.jobs import JobState, job
from wsi_ai.service.queue import Answer as Came
from wsi_ai.service.queue import Queue
from wsi_ai.service.slide_allowance import NotAllowedHere, allowed_address, below
from wsi_ai.service.slide_places import NotReady, found_file

PROBLEM = "application/problem+json"


def everything(world: World, scope: str = "region") -> str:
    return world.token(f"all-{scope.replace(':', '-')}", *(right(role, scope) for role in Role))


def slide(world: World, name: str = "a.svs", trust: str = "RXX") -> str:
    return f"/{'/'.join(world.parts.trusts[trust].slides_below[0].parts)}/{name}"


def submission(world: World, **more: Any) -> dict[str, Any]:
    usual = {"trust": "RXX", "slide": slide(world, "new.svs"), "models": ["demo@1"]}
    return {name: value for name, value in {**usual, **more}.items() if value is not None}


def submit(world: World, token: str, key: str | None = None, **more: Any) -> Answer:
    headers = {"idempotency-key": key} if key else {}
    return world.ask("POST", "/v1/jobs", token, json=submission(world, **more), headers=headers)


def test_who_asks_the_same_gets_the_same_job_and_under_one_key_nothing_else(world: World) -> None:
    token = everything(world)
    first = submit(world, token)
    assert (first.status, first.body["new"]) == (202, True)
    assert first.headers["location"] == f"/v1/jobs/{first.body['job_id']}"
    second = submit(world, token)
    assert (second.status, second.body["new"]) == (200, False)
    assert second.body["job_id"] == first.body["job_id"]
    named = submit(world, token, "k", priority="urgent")
    assert named.status == 202
    assert submit(world, token, "k", priority="urgent").body["job_id"] == named.body["job_id"]
    other = submit(world, token, "k", priority="batch")
    assert (other.status, other.headers["content-type"]) == (422, PROBLEM)
    yyy = submit(world, token, "k", trust="RYY", slide=slide(world, trust="RYY"))
    assert yyy.status == 202  # another trust's key is another one


def test_a_file_that_was_written_anew_is_another_job(world: World) -> None:
    token, place = everything(world), Path(slide(world, "new.svs"))
    place.write_bytes(b"1")
    first = submit(world, token).body["job_id"]
    place.write_bytes(b"22")
    assert submit(world, token).body["job_id"] != first


def test_a_job_says_what_was_asked_its_place_and_when_it_may_be_done(world: World) -> None:
    token = everything(world)
    case = {"accession": "S26-9", "slide_id": "S26-9-1", "stain": "H&E"}
    urgent = submit(world, token, priority="urgent", case=case, mpp=0.25).body["job_id"]
    shown = world.ask("GET", f"/v1/jobs/{urgent}", token).body
    assert shown["place"] == 0
    assert shown["expected_s"] == 30.0  # one worker, and half a minute each
    assert shown["models"] == ["demo@1"]
    assert shown["case"] == {**case, "trust": "RXX", "network": "N1"}
    assert world.ask("GET", f"/v1/jobs/{world.of['RYY'].job}", token).body["place"] == 2
    changed = world.ask("POST", f"/v1/jobs/{urgent}/priority", token, json={"priority": "batch"})
    assert (changed.status, changed.body["place"]) == (202, 2)


def test_the_trust_of_a_case_is_the_one_that_may_be_submitted_for(world: World) -> None:
    """A case that named another trust would send the flag there."""
    token = everything(world, "trust:RXX")
    case = {"accession": "S26-9", "slide_id": "1", "trust": "RYY"}
    assert submit(world, token, case=case).status == 422
    assert submit(world, token, case={**case, "network": "N2"}).status == 422


def test_what_is_over_is_not_cancelled_and_is_run_again_as_a_new_job(world: World) -> None:
    token, of = everything(world), world.of["RXX"]
    assert world.ask("POST", f"/v1/jobs/{of.job}/again", token).status == 409
    assert world.ask("POST", f"/v1/jobs/{of.job}/cancel", token).body["state"] == "cancelled"
    assert world.ask("POST", f"/v1/jobs/{of.job}/cancel", token).status == 409
    assert (
        world.ask("POST", f"/v1/jobs/{of.job}/priority", token, json={"priority": "batch"}).status
        == 409
    )
    again = world.ask("POST", f"/v1/jobs/{of.job}/again", token)
    assert again.status == 202
    assert world.ask("GET", again.headers["location"], token).body["state"] == "waiting"


def test_pages_of_a_list_have_every_job_once(world: World) -> None:
    token = everything(world)
    for n in range(7):
        world.clock.move(0.25)
        assert submit(world, token, slide=slide(world, f"{n // 2}.svs"), key=f"k{n}").status == 202
    found, query = list[str](), ""
    while True:
        page = world.ask("GET", f"/v1/jobs?limit=2{query}", token).body
        found += [one["job_id"] for one in page["jobs"]]
        if page["next"] is None:
            break
        query = f"&next={page['next']}"
    assert len(found) == len(set(found)) == 11
    whole = world.ask("GET", "/v1/jobs?limit=500", token).body
    assert [one["job_id"] for one in whole["jobs"]] == found
    assert world.ask("GET", "/v1/jobs?limit=501", token).status == 422
    assert world.ask("GET", "/v1/jobs?next=WzEsMl0", token).status == 422
    assert world.ask("GET", "/v1/jobs?trsut=RXX", token).status == 422  # not all of them instead
    for seconds in ("0.5", "1e9", "1780000000", "2026-11-28T10:00:00"):
        assert world.ask("GET", f"/v1/jobs?since={seconds}", token).status == 422
    since = "?since=2099-01-01T00:00:00Z"
    assert world.ask("GET", f"/v1/jobs{since}", token).body["jobs"] == []


def test_too_many_waiting_jobs_of_a_trust_are_answered_with_when_to_come_again(
    world: World,
) -> None:
    token = everything(world)
    object.__setattr__(world.parts, "most_waiting", 1)
    full = submit(world, token)
    assert (full.status, full.headers["retry-after"]) == (429, "60")
    with world.engine.begin() as connection:
        connection.execute(update(job).values(state=JobState.CANCELLED))
    assert submit(world, token).status == 202


def test_the_answer_of_a_model_on_trial_is_shown_to_nobody(world: World) -> None:
    token, of = everything(world), world.of["RXX"]
    values = {"silent": True, "level": "expedite", "reason": "seen", "flag_ids": ["f"]}
    with world.engine.begin() as connection:
        connection.execute(update(job).values(values))
    for path in (f"/v1/jobs/{of.job}", "/v1/jobs"):
        answer = world.ask("GET", path, token)
        shown = answer.body if path != "/v1/jobs" else answer.body["jobs"][0]
        assert (shown["level"], shown["reason"], shown["flag_ids"]) == (None, None, [])
        assert shown["on_trial"]


ERRORS = [
    ("GET", "/nowhere", 404),
    ("GET", "/v1/jobs/", 404),
    ("GET", "/v1/jobs/not-an-id", 422),
    ("PUT", "/v1/jobs", 405),
    ("PATCH", "/v1/slides/" + "a" * 32 + "/shares", 405),
    ("GET", "/docs", 404),
    ("GET", "/redoc", 404),
    ("POST", "/v1/jobs", 422),
    ("GET", "/v1/jobs?limit=x", 422),
    ("GET", "/v1/jobs?since=yesterday", 422),
    ("GET", "/v1/flags/x/1/acknowledgement", 405),
    ("GET", "/v1/jobs/" + "a" * 32, 404),
    ("POST", f"/v1/workers/{'b' * 32}/drain", 404),
]


def test_every_error_is_a_problem(world: World) -> None:
    token = everything(world)
    for method, path, status in ERRORS:
        answer = world.ask(method, path, token)
        assert (path, answer.status, answer.headers["content-type"]) == (path, status, PROBLEM)
        assert answer.body["status"] == status
        assert answer.body["type"] == "about:blank"


def test_a_method_that_there_is_not_is_answered_with_all_that_there_are(world: World) -> None:
    token = everything(world)
    assert world.ask("PUT", "/v1/jobs", token).headers["allow"] == "GET, POST"
    path = f"/v1/flags/{world.of['RXX'].flag}/1/acknowledgement"
    assert world.ask("GET", path, token).headers["allow"] == "DELETE, POST"


def test_no_value_that_was_sent_comes_back_in_a_problem(world: World) -> None:
    token = everything(world)
    for body in (
        submission(world, trust="SECRET PATIENT"),
        submission(world, mpp="SECRET PATIENT"),
        submission(world, priority="SECRET PATIENT"),
        submission(world, slide="/SECRET PATIENT/../x"),
        submission(world, models=["SECRET PATIENT"]),
        submission(world, case={"accession": "SECRET PATIENT\0", "slide_id": "1"}),
    ):
        answer = world.ask("POST", "/v1/jobs", token, json=body)
        assert answer.status == 422
        assert "SECRET" not in json.dumps(answer.body)


def test_signs_that_no_database_keeps_are_refused_in_every_string(world: World) -> None:
    token, of = everything(world), world.of["RXX"]
    for odd in ("a\0b", "\ud800", "a\nb", "\x1b[2J", "\x85"):
        _refused_everywhere(world, token, of, odd)


def _refused_everywhere(world: World, token: str, of: Objects, odd: str) -> None:
    share = {"until": "2026-06-01T00:00:00Z"}
    questions = [
        ("/v1/jobs", submission(world, trust=odd)),
        ("/v1/jobs", submission(world, slide=slide(world) + odd)),
        ("/v1/jobs", submission(world, models=[odd])),
        ("/v1/jobs", submission(world, case={"accession": odd, "slide_id": "1"})),
        ("/v1/jobs", submission(world, case={"accession": "1", "slide_id": odd})),
        (f"/v1/flags/{of.flag}/1/acknowledgement", {"note": odd}),
        (f"/v1/slides/{of.sid}/shares", {**share, "to": f"subject:{odd}"}),
        (f"/v1/slides/{of.sid}/shares", {**share, "to": f"trust:{odd}"}),
    ]
    headers = {"content-type": "application/json"}
    for path, body in questions:
        answer = world.ask("POST", path, token, content=json.dumps(body), headers=headers)
        assert answer.status == 422, (path, answer)


def test_what_is_no_json_of_ours_is_refused(world: World) -> None:
    token, headers = everything(world), {"content-type": "application/json"}
    for body in (b"{", b"\xff", b"[" * 100_000, b"null", b'{"trust": NaN}', b"1"):
        answer = world.ask("POST", "/v1/jobs", token, content=body, headers=headers)
        assert answer.status in (400, 422)
        assert answer.headers["content-type"] == PROBLEM


def test_a_form_of_another_page_is_never_read_as_json(world: World) -> None:
    headers = {"content-type": "text/plain"}
    content = json.dumps(submission(world))
    answer = world.ask("POST", "/v1/jobs", everything(world), content=content, headers=headers)
    assert answer.status == 422


def test_a_body_without_end_is_refused_before_it_is_read(world: World) -> None:
    token, sent = everything(world), 0

    async def endless() -> Any:
        nonlocal sent
        while sent < 1 << 30:
            sent += 1 << 16
            yield b" " * (1 << 16)

    answer = world.ask("POST", "/v1/jobs", token, content=endless())
    assert (answer.status, answer.headers["content-type"]) == (413, PROBLEM)
    assert sent < 1 << 20
    declared = {"content-length": str(1 << 40)}
    assert world.ask("POST", "/v1/jobs", token, content=b"", headers=declared).status == 413


def test_only_approved_models_are_asked_for_by_the_names_that_people_know(world: World) -> None:
    token = everything(world)
    assert world.ask("GET", "/v1/models", token).body == {"models": ["demo@1", "other@2"]}
    for name in ("/models/demo", "demo", "../demo", "demo@2", "file:///models/demo"):
        assert submit(world, token, models=[name]).status == 422
    assert submit(world, token, models=[]).status == 422
    assert submit(world, token, models=None).status == 422  # no rules are set up here


ESCAPES = [
    "/scans/rxx/../ryy/a.svs", "/scans/rxx/./a.svs", "/scans/rxx//a.svs", "/scans/rxx",
    "/scans/rxx/", "/scans/rxxx/a.svs", "scans/rxx/a.svs", "file:///scans/rxx/%2e%2e/ryy/a.svs",
    "file:///scans/rxx/..%2fryy/a.svs", "file:///scans/rxx/a%2fb.svs", "file://host/scans/rxx/a.svs",
    "file:/scans/rxx/a.svs", "file:scans/rxx/a.svs", "/scans/rxx\\..\\ryy", "file:///scans/rxx/a%00.svs",
    "file:///scans/rxx/%ff.svs", "file:///scans/rxx/a.svs?x", "file:///scans/rxx/a.svs#x",
    "http://169.254.169.254/latest/meta-data", "http://localhost/studies/1", "gopher://pacs/studies/1",
    "dicomweb+https://pacs.example@evil.example/studies/1", "dicomweb+https://evil.example/studies/1",
    "dicomweb+https://pacs.example.evil.example/studies/1", "dicomweb+https://pacs.example:81/studies/1",
    "dicomweb+https://pacs.example/studies/../admin", "dicomweb+https://pacs.example/studies",
    "dicomweb+https://pacs.example/studies/1?u=http://x", "dicomweb+http://pacs.example/studies/1",
    "dicomweb+https:///studies/1", "dicomweb+https://pacs.example:99999/studies/1", "", "/", "..",
    "dicomweb+https://pacs.example/studies/%2e%2e/1", "s3://bucket/a",
    "\\\\pacs.example\\studies\\1",
]  # fmt: skip
PLACES = [below("/scans/rxx"), below("dicomweb+https://pacs.example/studies")]


@pytest.mark.parametrize("escape", ESCAPES)
def test_no_path_or_address_leads_out_of_what_is_allowed(escape: str) -> None:
    with pytest.raises(NotAllowedHere):
        allowed_address(escape, PLACES)


@pytest.mark.parametrize(
    ("asked", "address"),
    [
        ("/scans/rxx/2026/a b.svs", "file:///scans/rxx/2026/a%20b.svs"),
        ("/scans/rxx/a*.svs", "file:///scans/rxx/a%2A.svs"),
        ("/scans/rxx/a?.svs", "file:///scans/rxx/a%3F.svs"),
        ("/scans/rxx/a%2f.svs", "file:///scans/rxx/a%252f.svs"),
        ("file:///scans/rxx/a%20b.svs", "file:///scans/rxx/a%20b.svs"),
        ("/scans/rxx/folder/", "file:///scans/rxx/folder"),
        (
            "dicomweb+https://PACS.example/studies/1.2/series/3",
            "dicomweb+https://pacs.example/studies/1.2/series/3",
        ),
    ],
)
def test_what_is_below_an_allowed_place_is_named_as_one_slide(asked: str, address: str) -> None:
    assert allowed_address(asked, PLACES) == address


@settings(max_examples=200)
@given(st.lists(st.sampled_from(["..", ".", "", "a", "%2e%2e", "%2f", "/", "\\", "rxx", "ryy"])))
def test_whatever_is_put_together_stays_below_the_folder(parts: list[str]) -> None:
    for start in ("/scans/rxx/", "file:///scans/rxx/", "/scans/"):
        try:
            found = allowed_address(start + "/".join(parts), [below("/scans/rxx")])
        except NotAllowedHere:
            continue
        assert os.path.normpath(found.removeprefix("file://")).startswith("/scans/rxx/")
        with pytest.raises(NotReady):
            found_file(found)


def test_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "rxx").mkdir()
    (tmp_path / "ryy").mkdir()
    (tmp_path / "rxx" / "in").symlink_to(tmp_path / "rxx")
    (tmp_path / "rxx" / "out").symlink_to(tmp_path / "ryy")
    (tmp_path / "rxx" / "round").symlink_to(tmp_path / "rxx" / "round")
    places = [below(str(tmp_path / "rxx"))]
    assert allowed_address(f"{tmp_path}/rxx/in/a.svs", places)
    for name in ("out/a.svs", "out", "round/a.svs"):
        with pytest.raises(NotAllowedHere):
            allowed_address(f"{tmp_path}/rxx/{name}", places)


@pytest.mark.parametrize("text", ["scans", "/", "file:///", "../x", "/a/../b", "http://", "c:\\a"])
def test_a_place_that_is_none_is_refused_in_the_settings(text: str) -> None:
    with pytest.raises(InputError):
        below(text)


def test_events_of_a_job_end_with_it(world: World) -> None:
    token, of = everything(world), world.of["RXX"]
    queue = Queue(world.engine, world.clock, Random(1))

    async def listened() -> str:
        asking = asyncio.to_thread(world.ask, "GET", f"/v1/jobs/{of.job}/events", token)
        task = asyncio.create_task(asking)
        await asyncio.sleep(0.3)
        mine = await asyncio.to_thread(queue.claim, WORKER)
        assert mine is not None
        assert mine.job_id == of.job
        await asyncio.to_thread(queue.done, mine, Came(level="standard", reason="seen"))
        return str((await task).body)

    text = asyncio.run(asyncio.wait_for(listened(), 20))
    states = [json.loads(line[6:])["state"] for line in text.splitlines() if line[:6] == "data: "]
    assert states[0] == "waiting"
    assert states[-1] == "done"


def test_an_acknowledgement_is_of_a_revision_and_is_seen_in_the_list(world: World) -> None:
    token, of = everything(world), world.of["RXX"]
    path = f"/v1/flags/{of.flag}/1/acknowledgement"
    assert world.ask("POST", path, token, json={"note": "seen"}).status == 200
    lines = world.ask("GET", "/v1/worklist?trust=RXX", token).body["lines"]
    assert (lines[0]["acknowledged"], lines[0]["by"][0]["note"]) == (True, "seen")
    assert world.ask("DELETE", path, token).status == 200
    lines = world.ask("GET", "/v1/worklist?acknowledged=no", token).body["lines"]
    assert {one["trust"] for one in lines} == {"RXX", "RYY"}
    assert world.ask("POST", path.replace("/1/", "/2/"), token).status == 404
    first = world.ask("GET", "/v1/worklist?limit=1", token).body
    second = world.ask("GET", f"/v1/worklist?limit=1&next={first['next']}", token).body
    assert second["next"] is None
    assert first["lines"][0]["flag_id"] != second["lines"][0]["flag_id"]
    assert "AI-generated" in first["statement"]


def test_two_that_change_one_note_see_both_versions(world: World) -> None:
    token, of = everything(world), world.of["RXX"]
    note = {"kind": "point", "geometry": {"type": "Point", "coordinates": [1, 2]}, "text": "a"}
    path = f"/v1/slides/{of.sid}/notes"
    ids = [f"{n}" * 8 + "-1111-1111-1111-111111111111" for n in range(1, 5)]
    op = {"op_id": ids[0], "note_id": ids[3], "base": 0, "body": note}
    assert world.ask("POST", path, token, json=op).body["revision"] == 1
    second = {**op, "op_id": ids[1], "base": 1, "body": {**note, "text": "b"}}
    assert world.ask("POST", path, token, json=second).body["revision"] == 2
    late = world.ask("POST", path, token, json={**second, "op_id": ids[2], "base": 1})
    assert (late.status, late.body["theirs"]["revision"]) == (409, 2)
    assert world.ask("GET", path, token).body["seq"] == 2
    found = world.ask("GET", f"{path}.geojson", token).body
    assert len(found["features"]) == 1
    forged = {**op, "op_id": ids[2], "by": "subject:amy"}
    assert world.ask("POST", path, token, json=forged).status == 422


def test_the_description_has_links_from_a_submission_to_what_becomes_of_it(world: World) -> None:
    described = world.ask("GET", "/openapi.json", None).body
    assert described["openapi"].startswith("3.1")
    answers = described["paths"]["/v1/jobs"]["post"]["responses"]
    assert answers["202"]["links"]["job"]["operationId"] == "job"
    operations = {
        one["operationId"] for path in described["paths"].values() for one in path.values()
    }
    linked = {
        link["operationId"] for code in ("200", "202") for link in answers[code]["links"].values()
    }
    assert linked <= operations
    for path, methods in described["paths"].items():
        for one in methods.values():
            content = one["responses"]["422"]["content"]
            assert list(content) == [PROBLEM], path


def test_any_query_is_answered_and_never_by_a_mistake_of_ours(world: World) -> None:
    token = everything(world)

    @settings(max_examples=20, deadline=None)
    @given(st.text(max_size=60))
    def answered(text: str) -> None:
        safe = text.encode("utf-8", "ignore").decode()
        questions = [
            ("GET", path, token, {"params": {name: safe}})
            for path in ("/v1/jobs", "/v1/worklist")
            for name in ("trust", "next", "network")
        ]
        assert all(answer.status < 500 for answer in world.ask_all(questions))

    answered()
