"""A slide's page, its notes by HTTP, and who is let in."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.testclient import TestClient

from tests.service.rooms.parts import AMY, BEN, judged, new_id, person, point, polygon
from tests.service.viewer.parts import analysed, write_jpeg_slide
from wsi_ai.core.flags import STATEMENT
from wsi_ai.service.access.door import NotKnown
from wsi_ai.service.access.who import Role, Who
from wsi_ai.service.database.opening import open_service_database
from wsi_ai.service.rooms.notes import Room
from wsi_ai.service.rooms.slides import SlidesOf
from wsi_ai.service.rooms.web import RoomParts, room_routes
from wsi_ai.service.viewer.cache import TileCache

NOW = 1_780_000_000.0
READER = person("reader", "RXX", Role.READ)
REGION = person("region", "RXX", Role.READ, Role.ANNOTATE, scope="region")


@dataclass
class HeaderDoor:
    """Whoever the test says."""

    people: dict[str, Who] = field(default_factory=dict)

    def who(self, connection: HTTPConnection) -> Who:
        name = connection.headers.get("x-who", "")
        if name not in self.people:
            raise NotKnown("nobody")
        return self.people[name]


@dataclass
class Served:
    room: Room
    client: TestClient
    door: HeaderDoor

    def get(self, who: str, path: str, **more: Any) -> Any:
        return self.client.get(path, headers={"x-who": who}, follow_redirects=False, **more)

    def post(self, who: str, path: str, content: Any) -> Any:
        headers = {"x-who": who, "content-type": "application/json"}
        return self.client.post(path, headers=headers, content=json.dumps(content))

    @property
    def page(self) -> str:
        return f"/slides/{self.room.slide[:32]}"

    def key(self) -> str:
        page = self.get("amy", self.page).text
        return str(page.partition('data-slide="')[2].partition('"')[0])


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    folder = tmp_path_factory.mktemp("web")
    slide = write_jpeg_slide(folder / "slide.tif", 256)
    results = analysed(slide, folder / "out")
    flag = json.loads((results / "flag.json").read_text())
    return slide, results, flag["slide"]["image_sha256"]


@pytest.fixture
def served(scanned: tuple[Path, Path, str], tmp_path: Path) -> Iterator[Served]:
    slide, results, sha256 = scanned
    engine = open_service_database(str(tmp_path / "service.db"))
    room = Room(sha256, "RXX", "N1")
    judged(engine, results.parent.parent, room, slide.as_uri(), "slide")
    door = HeaderDoor({"amy": AMY, "ben": BEN, "reader": READER, "region": REGION})
    parts = RoomParts(engine, door, SlidesOf(engine), lambda: NOW, TileCache(tmp_path / "tiles"))
    with TestClient(Starlette(routes=list(room_routes(parts)))) as client:
        yield Served(room, client, door)
    parts.shelf.close()
    engine.dispose()


def operation(**fields: Any) -> dict[str, Any]:
    return {"op_id": new_id(), "note_id": new_id(), "base": 0, "body": point("seen")} | fields


def test_nothing_of_a_slide_is_there_for_another_trust_until_it_is_shared(served: Served) -> None:
    viewer = f"/slides/viewer/slides/{served.key()}"
    info = served.get("amy", viewer).json()
    paths = [
        served.page, f"/slides/{served.room.slide}", f"{served.page}/notes",
        f"{served.page}/notes.geojson", f"{served.page}/shares", viewer,
        f"{viewer}/tiles/{info['key']}/0/0_0", f"{viewer}/iiif/info.json",
        f"{viewer}/deepzoom.dzi",
    ]  # fmt: skip
    assert [served.get("amy", path).status_code for path in paths] == [200] * len(paths)
    assert [served.get("ben", path).status_code for path in paths] == [404] * len(paths)
    assert served.post("ben", f"{served.page}/notes", operation()).status_code == 404
    share = {"to": "subject:ben", "hours": 1}
    assert served.post("ben", f"{served.page}/shares", share).status_code == 404
    assert served.post("amy", f"{served.page}/shares", share).status_code == 201
    served.door.people["ben"] = replace(BEN, opened=frozenset({(served.room.slide, "RXX")}))
    opened = [served.get("ben", path).status_code for path in paths]
    assert opened == [200, 200, 200, 200, 403, 200, 200, 200, 200]
    assert served.post("ben", f"{served.page}/notes", operation()).status_code == 200
    assert served.post("ben", f"{served.page}/shares", share).status_code == 403


def test_a_slide_that_is_not_there_looks_like_one_of_another_trust(served: Served) -> None:
    other = served.get("ben", served.page)
    absent = served.get("ben", "/slides/" + "0" * 32)
    assert (other.status_code, other.text) == (absent.status_code, absent.text)
    for sid in ("viewer", "%00", "a" * 31, "..", "A" * 32, "%" * 8):
        assert served.get("amy", f"/slides/{sid}").status_code == 404


def test_who_is_not_known_is_sent_to_log_in_and_back(served: Served) -> None:
    answer = served.get("nobody", served.page)
    assert (answer.status_code, answer.headers["location"]) == (
        303, f"/login?next={served.page}",
    )  # fmt: skip
    assert served.get("nobody", f"{served.page}/notes").status_code == 401
    assert served.post("nobody", f"{served.page}/notes", operation()).status_code == 401


def test_the_viewer_lists_no_slides_inside_a_service(served: Served) -> None:
    assert served.get("amy", "/slides/viewer/slides").status_code == 404


def test_the_page_has_the_statement_its_policy_and_no_script_of_its_own(served: Served) -> None:
    answer = served.get("amy", served.page)
    assert STATEMENT in answer.text
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert answer.text.count("<script") == answer.text.count("<script src=") + answer.text.count(
        '<script type="module" src='
    )
    assert ' id="heat-on" type="checkbox">' in answer.text
    for path in ("static/room.js", "static/room.css", "viewer/static/viewer.js"):
        assert served.client.get(f"/slides/{path}").status_code == 200


def test_a_hostile_name_of_a_case_is_text(
    served: Served, scanned: tuple[Path, Path, str], tmp_path: Path
) -> None:
    engine = open_service_database(str(tmp_path / "service.db"))
    case = {"accession": "</title><script>alert(1)</script>", "slide_id": '" onload="x'}
    other = Room(scanned[2], "RYY")
    judged(engine, tmp_path / "theirs", other, scanned[0].as_uri(), "theirs", case)
    engine.dispose()
    page = served.get("ben", served.page).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page
    assert '" onload' not in page


def test_notes_come_and_go_without_a_socket(served: Served) -> None:
    first = operation()
    written = served.post("amy", f"{served.page}/notes", first).json()
    assert (written["seq"], written["by"], written["trust"]) == (1, "subject:amy", "RXX")
    assert served.post("amy", f"{served.page}/notes", first).json() == written
    clash = operation(note_id=first["note_id"], body=point("other"))
    answer = served.post("region", f"{served.page}/notes", clash)
    assert answer.status_code == 409
    assert answer.json()["theirs"] == written
    assert answer.json()["mine"]["text"] == "other"
    found = served.get("amy", f"{served.page}/notes?since=0").json()
    assert (found["seq"], found["ops"]) == (1, [written])
    assert served.get("amy", f"{served.page}/notes?since=1").json()["ops"] == []


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (operation(by="subject:ben"), 422), ([], 422), (operation(body=point("\0")), 422),
        (operation(body=point("\ud800")), 422), (operation(base=True), 422),
        (operation(body=None), 422), (operation(op_id="x"), 422),
        (operation(body=point("x" * 200_000)), 413),
    ],
)  # fmt: skip
def test_what_is_no_operation_is_refused_with_a_reason(
    served: Served, content: Any, status: int
) -> None:
    answer = served.post("amy", f"{served.page}/notes", content)
    assert answer.status_code == status
    assert answer.text


def test_another_page_cannot_have_a_note_written_by_a_form(served: Served) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        headers = {"x-who": "amy", "content-type": kind}
        content = json.dumps(operation())
        answer = served.client.post(f"{served.page}/notes", content=content, headers=headers)
        assert answer.status_code == 415
        share = json.dumps({"to": "trust:EVIL", "hours": 8})
        answer = served.client.post(f"{served.page}/shares", content=share, headers=headers)
        assert answer.status_code == 415


def test_who_may_only_look_writes_nothing_and_invites_nobody(served: Served) -> None:
    assert served.get("reader", f"{served.page}/notes").json()["annotate"] is False
    assert served.post("reader", f"{served.page}/notes", operation()).status_code == 403
    share = {"to": "trust:RZZ", "hours": 8}
    assert served.post("reader", f"{served.page}/shares", share).status_code == 403


@pytest.mark.parametrize(
    "share",
    [{"to": "RZZ", "hours": 8}, {"to": "trust:RZZ", "hours": 0}, {"to": "trust:RZZ"},
     {"to": 3, "hours": 8}, {"to": "trust:RZZ", "hours": True}, {"to": "subject:a\0", "hours": 1},
     {"to": "trust:RZZ", "hours": 8, "by": "subject:ben"}],
)  # fmt: skip
def test_an_invitation_that_is_none_is_refused(served: Served, share: Any) -> None:
    assert served.post("amy", f"{served.page}/shares", share).status_code == 422


def test_an_invitation_is_listed_and_ended(served: Served) -> None:
    path = f"{served.page}/shares"
    made = served.post("amy", path, {"to": "trust:RZZ", "hours": 8}).json()
    assert served.get("amy", path).json()["shares"] == [made]
    headers = {"x-who": "amy"}
    assert served.client.delete(f"{path}/{made['id']}", headers=headers).status_code == 204
    assert served.client.delete(f"{path}/{made['id']}", headers=headers).status_code == 404
    assert served.get("amy", path).json()["shares"] == []


def test_the_same_bytes_of_two_trusts_have_notes_and_results_of_their_own(
    served: Served, scanned: tuple[Path, Path, str], tmp_path: Path
) -> None:
    slide, _, sha256 = scanned
    other = Room(sha256, "RYY")
    engine = open_service_database(str(tmp_path / "service.db"))
    judged(engine, tmp_path / "theirs", other, slide.as_uri(), "theirs")
    engine.dispose()
    served.post("amy", f"{served.page}/notes", operation(body=point("RXX's own")))
    assert served.get("ben", f"{served.page}/notes").json()["ops"] == []
    served.post("ben", f"{served.page}/notes", operation(body=point("RYY's own")))
    assert [one["body"]["text"] for one in served.get("amy", f"{served.page}/notes").json()["ops"]
            ] == ["RXX's own"]  # fmt: skip
    page = served.get("ben", served.page).text
    key = page.partition('data-slide="')[2].partition('"')[0]
    assert key != served.key()
    assert served.get("ben", f"/slides/viewer/slides/{served.key()}").status_code == 404
    assert served.get("ben", f"/slides/viewer/slides/{key}").json()["results"] == []


def test_the_export_for_qupath_has_what_stands_and_nothing_that_was_removed(
    served: Served,
) -> None:
    square = polygon([[10, 10], [50, 10], [50, 50], [10, 50]], "kept")
    kept, gone = operation(body=square), operation(body=point("gone"))
    for one in (kept, gone):
        served.post("amy", f"{served.page}/notes", one)
    served.post(
        "amy", f"{served.page}/notes", operation(note_id=gone["note_id"], base=1, body=None)
    )
    answer = served.get("amy", f"{served.page}/notes.geojson")
    found = answer.json()
    assert found["statement"] == STATEMENT
    assert [one["id"] for one in found["features"]] == [kept["note_id"]]
    assert "slide.tif" not in answer.headers["content-disposition"]
