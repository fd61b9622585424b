"""Flags to an archive: Orthanc's own, and archives that behave as real ones sometimes do."""

import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pydicom
import pytest
from fastapi import FastAPI, Request, Response

from tests.delivery.conftest import new_id
from tests.delivery.orthanc import (
    IMAGE,
    Orthanc,
    archive_endpoint,
    dicom_body,
    dicom_message,
    image_of,
    orthanc,
)
from tests.delivery.servers import free_port, serving
from wsi_ai.core.dicom import uid_of_event, uid_of_flag
from wsi_ai.delivery.contract import Sink
from wsi_ai.delivery.events import message_of
from wsi_ai.delivery.formats.dicom import reading, report, withdrawal
from wsi_ai.delivery.formats.dicom.objects import content_sha256, series_of
from wsi_ai.delivery.formats.event import event_of, summary_of
from wsi_ai.delivery.messages import Credentials, Message, Secret, Tls
from wsi_ai.delivery.registry import open_sink
from wsi_ai.delivery.sinks.dicom_archive import Archive
from wsi_ai.errors import Conflict, Paused, Refused, SinkError, TryAgain
from wsi_ai.testing import SinkContract, example_message


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def slide(shared_data: Path) -> Path:
    return shared_data / "dicom" / IMAGE


@pytest.fixture(scope="module")
def archive(slide: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("orthanc")) as archive:
        archive.stored(slide)
        yield archive


@pytest.fixture
def sink(archive: Orthanc) -> Iterator[Sink]:
    sink = open_sink(archive_endpoint(archive.base))
    yield sink
    sink.close()


class TestDicomWeb(SinkContract):
    @pytest.fixture(autouse=True)
    def given(self, slide: Path) -> None:
        self.slide = slide

    def message(self, flag_id: str) -> Message:
        return dicom_message(self.slide, flag_id)

    @pytest.fixture
    def sink(self, archive: Orthanc) -> Iterator[Sink]:
        sink = open_sink(archive_endpoint(archive.base))
        yield sink
        sink.close()


def reports(archive: Orthanc, message: Message, slide: Path) -> list[pydicom.Dataset]:
    """Of the flag, as the archive gives them, by number."""
    study, series = image_of(slide)["study_uid"], uid_of_flag(message.flag_id)
    found = [archive.document(study, series, one) for one in archive.instances(study, series)]
    return sorted(found, key=lambda one: int(one.InstanceNumber))


def test_a_flag_is_a_report_in_the_slides_own_study_with_the_archives_patient(
    archive: Orthanc, sink: Sink, slide: Path
) -> None:
    message = dicom_message(slide, new_id())
    receipt = sink.send(message, now())
    (document,) = reports(archive, message, slide)
    source = pydicom.dcmread(slide, stop_before_pixels=True)
    assert receipt.reference == document.SOPInstanceUID == uid_of_event(message.event_id)
    for name in ("PatientID", "PatientName", "StudyInstanceUID", "AccessionNumber", "StudyID"):
        assert document[name].value == source[name].value
    assert reading.summary(document) == summary_of(event_of(message).flag)
    assert (document.PreliminaryFlag, document.VerificationFlag) == ("PRELIMINARY", "UNVERIFIED")


def next_of(message: Message, **changes: Any) -> Message:
    flag = dict(event_of(message).flag)
    later = {"action": "amend", "revision": message.revision + 1, "supersedes": message.event_id}
    return message_of(flag | later | changes)


def test_an_amendment_names_the_report_before_it_and_a_retraction_withdraws_all_of_them(
    archive: Orthanc, sink: Sink, slide: Path
) -> None:
    first = dicom_message(slide, new_id())
    flag = event_of(first).flag
    second = next_of(first, result={**flag["result"], "score": 0.8})
    third = next_of(second, action="retract", retraction_reason="slide_misidentified")
    for message in (first, second, third):
        sink.send(message, now())
    documents = reports(archive, first, slide)
    said = [reading.summary(one) for one in documents]
    assert [(one.revision, one.retracted) for one in said] == [(1, False), (2, False), (3, True)]
    before = [
        one.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
        for one in documents[1:]
    ]
    uids = [uid_of_event(one.event_id) for one in (first, second)]
    assert [one.ReferencedSOPInstanceUID for one in before] == uids
    assert b"expedite" not in priority(documents[-1])
    study, series = image_of(slide)["study_uid"], withdrawal.series_uid(first.flag_id)
    (note,) = [archive.document(study, series, one) for one in archive.instances(study, series)]
    assert note.ConceptNameCodeSequence[0].CodeValue == "113037"
    withdrawn = note.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert {one.ReferencedSOPInstanceUID for one in withdrawn.ReferencedSOPSequence} == set(uids)
    held = sink.held(now())
    assert held is not None
    assert held[first.flag_id].event_id == third.event_id


def priority(document: pydicom.Dataset) -> bytes:
    (found,) = [
        one.ConceptCodeSequence[0].CodeValue
        for one in reading._items(document)
        if one.ValueType == "CODE"
        and one.ConceptNameCodeSequence[0].get("CodeValue") == "triage-priority"
    ]
    return str(found).encode()


def test_an_old_revision_that_comes_late_stores_nothing(
    archive: Orthanc, sink: Sink, slide: Path
) -> None:
    first = dicom_message(slide, new_id())
    second = next_of(first, action="retract", retraction_reason="operator")
    sink.send(first, now())
    sink.send(second, now())
    receipt = sink.send(first, now())
    assert receipt.held is not None
    assert receipt.held.retracted
    assert len(reports(archive, first, slide)) == 2


def test_another_answer_to_the_same_question_is_a_conflict_that_says_what_is_held(
    archive: Orthanc, sink: Sink, slide: Path
) -> None:
    first = dicom_message(slide, new_id())
    flag = event_of(first).flag
    sink.send(first, now())
    other = message_of(flag | {"result": {**flag["result"], "score": 0.8}})
    with pytest.raises(Conflict) as caught:
        sink.send(other, now())
    assert getattr(caught.value.held, "event_id", None) == first.event_id
    assert len(reports(archive, first, slide)) == 1


def test_a_note_that_did_not_arrive_is_sent_by_the_next_attempt(
    archive: Orthanc, sink: Sink, slide: Path
) -> None:
    first = dicom_message(slide, new_id())
    second = next_of(first, action="retract", retraction_reason="model_defect")
    sink.send(first, now())
    sink.send(second, now())
    study, series = image_of(slide)["study_uid"], withdrawal.series_uid(first.flag_id)
    (note,) = archive.instances(study, series)
    root = archive.base.removesuffix("/dicom-web")
    (there,) = archive.client.post(f"{root}/tools/lookup", content=note).json()
    archive.client.delete(f"{root}{there['Path']}").raise_for_status()
    sink.send(second, now())
    assert archive.instances(study, series) == [note]


def test_a_slide_that_is_no_dicom_image_is_refused(sink: Sink) -> None:
    with pytest.raises(Refused, match="no DICOM image"):
        sink.send(example_message(new_id()), now())


def test_a_flag_waits_for_an_image_that_the_archive_does_not_have_yet(
    sink: Sink, slide: Path
) -> None:
    image = {"study_uid": "2.25.1", "series_uid": "2.25.2", "sop_uid": "2.25.3"}
    with pytest.raises(TryAgain, match="does not hold the slide's image"):
        sink.send(dicom_message(slide, new_id(), extensions={"dicom": image}), now())


@pytest.mark.parametrize("field", ["case", "slide"])
def test_an_image_of_another_case_or_slide_gets_no_report(
    archive: Orthanc, sink: Sink, slide: Path, field: str
) -> None:
    body = dicom_body(slide, new_id())
    inside = "accession" if field == "case" else "slide_id"
    body[field] = body[field] | {inside: {"value": "another", "issuer": None}}
    message = message_of(body)
    with pytest.raises(Refused, match="under another") as caught:
        sink.send(message, now())
    assert "S19" not in str(caught.value)
    assert "another" in str(caught.value)
    assert reports(archive, message, slide) == []


def test_a_wrong_password_pauses_the_endpoint(archive: Orthanc, slide: Path) -> None:
    sink = open_sink(archive_endpoint(archive.base, login="wsiai:wrong"))
    with pytest.raises(Paused) as caught:
        sink.send(dicom_message(slide, new_id()), now())
    assert caught.value.code == 401
    sink.close()


def test_storing_a_report_takes_less_than_50_ms_here(archive: Orthanc, slide: Path) -> None:
    study, took_s = image_of(slide)["study_uid"], []
    asked = Archive(archive_endpoint(archive.base), archive.base)
    for _ in range(5):
        message = dicom_message(slide, new_id())
        content, uid = report.render(event_of(message)), uid_of_event(message.event_id)
        asked.begin(now())
        start = time.perf_counter()
        asked.store(study, uid, content)
        took_s.append(time.perf_counter() - start)
    asked.close()
    assert min(took_s) < 0.05


@pytest.fixture
def header(archive: Orthanc, slide: Path) -> Any:
    image = image_of(slide)
    study, series, sop = image["study_uid"], image["series_uid"], image["sop_uid"]
    return archive.query(f"/studies/{study}/series/{series}/instances/{sop}/metadata")


def archive_that(
    header: Any, stow: Callable[[bytes], Response], listed: bytes = b"[]", status: int = 200
) -> FastAPI:
    """Knows the slide; answers to QIDO and to STOW as it is told."""
    app = FastAPI()
    kind = "application/dicom+json"

    @app.get("/{path:path}")
    async def get(path: str) -> Response:
        if path.endswith("metadata"):
            return Response(json.dumps(header), media_type=kind)
        return Response(listed, status, media_type=kind)

    @app.post("/{path:path}")
    async def post(path: str, request: Request) -> Response:
        return stow(await request.body())

    return app


def saying(status: int, **said: Any) -> Callable[[bytes], Response]:
    return lambda body: Response(json.dumps(said), status, media_type="application/dicom+json")


def item(uid: str, reason: int | None = None) -> dict[str, Any]:
    told = {"00081197": {"vr": "US", "Value": [reason]}} if reason is not None else {}
    return {"00081155": {"vr": "UI", "Value": [uid]}, **told}


@pytest.mark.parametrize(
    ("status", "reason", "error", "words"),
    [
        (409, 0x0122, Refused, "reason 0122H"),  # SOP class not supported
        (409, 0xA700, TryAgain, "did not keep it"),  # out of resources
        (202, 0x0110, Refused, "reason 0110H"),  # accepted, with failures
        (200, 0xC000, Refused, "reason C000H"),  # says OK and lists it as failed
    ],
)
def test_what_became_of_an_object_is_what_the_archive_says_of_it_and_not_its_status(
    header: Any, slide: Path, status: int, reason: int, error: type[Exception], words: str
) -> None:
    message = dicom_message(slide, new_id())
    uid = uid_of_event(message.event_id)
    answers = saying(status, **{"00081198": {"vr": "SQ", "Value": [item(uid, reason)]}})
    with serving(archive_that(header, answers)) as base:
        sink = open_sink(archive_endpoint(base))
        with pytest.raises(error, match=words):
            sink.send(message, now())
        sink.close()


@pytest.mark.parametrize(
    ("status", "said", "error"),
    [
        (200, {}, TryAgain),  # orthanc-dicomweb, dcm4chee: an empty answer is no receipt
        (200, {"00081199": {"vr": "SQ", "Value": [item("2.25.9")]}}, TryAgain),
        (400, {"00081198": {"vr": "SQ"}, "00081199": {"vr": "SQ"}}, Refused),  # Orthanc 1.10
        (503, {}, TryAgain),
        (413, {}, Refused),
        (404, {}, Paused),
    ],
)
def test_an_answer_that_does_not_name_the_object_is_no_receipt(
    header: Any, slide: Path, status: int, said: dict[str, Any], error: type[Exception]
) -> None:
    with serving(archive_that(header, saying(status, **said))) as base:
        sink = open_sink(archive_endpoint(base))
        with pytest.raises(error):
            sink.send(dicom_message(slide, new_id()), now())
        sink.close()


@pytest.mark.parametrize(
    "listed",
    [b"<html>login</html>", b'{"a": 1}', b"[1]", b'[{"00080018": 5}]', b"[" * 100_000,
     b'[{"0020000E": {"Value": ["x"]}, "00200013": {"Value": ["many"]}}]'],
)  # fmt: skip
def test_nonsense_in_an_archives_list_is_tried_again_and_nothing_is_stored(
    header: Any, slide: Path, listed: bytes
) -> None:
    stored = list[bytes]()

    def keep(body: bytes) -> Response:
        stored.append(body)
        return Response("{}")

    with serving(archive_that(header, keep, listed)) as base:
        sink = open_sink(archive_endpoint(base))
        with pytest.raises(TryAgain):
            sink.send(dicom_message(slide, new_id()), now())
        sink.close()
    assert stored == []


def test_an_answer_of_100_mb_is_not_read_to_its_end(header: Any, slide: Path) -> None:
    with serving(archive_that(header, saying(200), b" " * 100_000_000)) as base:
        sink = open_sink(archive_endpoint(base))
        with pytest.raises(TryAgain, match="no end"):
            sink.send(dicom_message(slide, new_id()), now())
        sink.close()


def test_a_receipt_under_a_wrong_name_is_none_but_the_archives_list_is(
    header: Any, slide: Path
) -> None:
    """DICOMcloud#43: what was stored stood in ReferencedInstanceSequence."""
    message = dicom_message(slide, new_id())
    uid, series = uid_of_event(message.event_id), uid_of_flag(message.flag_id)
    stored = list[bytes]()

    def keep(body: bytes) -> Response:
        stored.append(body[body.index(b"\r\n\r\n") + 4 : body.rindex(b"\r\n--")])
        return saying(200, **{"0008114A": {"vr": "SQ", "Value": [item(uid)]}})(body)

    app = archive_that(header, keep)

    @app.middleware("http")
    async def lists_it(request: Request, call_next: Any) -> Response:
        if stored and series in request.url.path:
            said = {"00080018": {"Value": [uid]}, "0020000E": {"Value": [series]},
                    "00200013": {"Value": [1]}}  # fmt: skip
            if request.url.path.endswith("metadata"):
                said = pydicom.dcmread(io.BytesIO(stored[0])).to_json_dict()
            return Response(json.dumps([said]), media_type="application/dicom+json")
        answer: Response = await call_next(request)
        return answer

    with serving(app) as base:
        sink = open_sink(archive_endpoint(base))
        with pytest.raises(TryAgain, match="does not say that it kept it"):
            sink.send(message, now())
        assert sink.send(message, now()).reference == uid
        sink.close()
    assert len(stored) == 1


def test_a_foreign_document_in_the_flags_series_is_refused(header: Any, slide: Path) -> None:
    message = dicom_message(slide, new_id())
    series = uid_of_flag(message.flag_id)
    listed = json.dumps(
        [{"00080018": {"Value": ["2.25.5"]}, "0020000E": {"Value": [series]},
          "00200013": {"Value": [1]}}]
    ).encode()  # fmt: skip
    with serving(archive_that(header, saying(200), listed)) as base:
        sink = open_sink(archive_endpoint(base))
        with pytest.raises(Refused, match="not ours"):
            sink.send(message, now())
        sink.close()


@pytest.mark.parametrize("url", ["dicomweb+http://pacs.example/x", "dicomweb+https://a:b@x.example",
                                 "dicomweb+https://x.example/?a=1"])  # fmt: skip
def test_an_address_that_may_not_be_asked_is_refused_at_the_start(url: str) -> None:
    endpoint = archive_endpoint("http://127.0.0.1")
    hosts = frozenset({"pacs.example", "x.example"})
    with pytest.raises(SinkError):
        open_sink(type(endpoint)(endpoint.name, url, endpoint.trusts, allowed_hosts=hosts))


def test_nobody_who_listens_is_tried_again(slide: Path) -> None:
    sink = open_sink(archive_endpoint(f"http://127.0.0.1:{free_port()}/dicom-web"))
    with pytest.raises(TryAgain, match="nobody listens"):
        sink.send(dicom_message(slide, new_id()), now())
    sink.close()


def objects_in(folder: Path, message: Message) -> Message:
    """The same flag, naming an object that lies in the results."""
    flag = dict(event_of(message).flag)
    document = pydicom.dcmread(io.BytesIO(report.render(event_of(message))))
    document.SOPInstanceUID = document.file_meta.MediaStorageSOPInstanceUID = "2.25.77"
    document.SeriesInstanceUID = series_of(flag["flag_id"], "annotations")
    place = folder / f"a-slide-{flag['slide']['image_sha256'][:8]}" / "model-1" / "dicom"
    place.mkdir(parents=True)
    document.save_as(place / "2.25.77.dcm")
    named = {
        "kind": "annotations",
        "sop_class": str(document.SOPClassUID),
        "sop_uid": "2.25.77",
        "series_uid": document.SeriesInstanceUID,
        "sha256": content_sha256(document),
    }
    image = flag["extensions"]["dicom"] | {"objects": [named]}
    return message_of(flag | {"extensions": {"dicom": image}})


def test_an_object_is_sent_with_the_archives_patient_and_only_if_its_digest_is_the_flags(
    archive: Orthanc, slide: Path, tmp_path: Path
) -> None:
    message = objects_in(tmp_path, dicom_message(slide, new_id()))
    study, series = image_of(slide)["study_uid"], series_of(message.flag_id, "annotations")
    sink = open_sink(archive_endpoint(archive.base, tmp_path))
    (path,) = tmp_path.glob("*/*/dicom/*.dcm")
    right = path.read_bytes()
    path.write_bytes(right.replace(b"raise", b"cause"))
    with pytest.raises(TryAgain, match="the report is there; an object"):
        sink.send(message, now())
    assert len(reports(archive, message, slide)) == 1
    assert archive.instances(study, series) == []
    path.write_bytes(right)
    sink.send(message, now())
    assert archive.instances(study, series) == ["2.25.77"]
    assert archive.document(study, series, "2.25.77").PatientID == "AA01"
    assert len(reports(archive, message, slide)) == 1
    sink.close()


def test_an_object_that_is_never_found_costs_no_flag(
    archive: Orthanc, slide: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    message = objects_in(tmp_path, dicom_message(slide, new_id()))
    sink = open_sink(archive_endpoint(archive.base, tmp_path / "elsewhere"))
    for _ in range(4):
        with pytest.raises(TryAgain):
            sink.send(message, now())
    assert sink.send(message, now()).flag_id == message.flag_id
    assert "without a heatmap" in caplog.text
    sink.close()


def test_an_archive_that_refuses_the_objects_still_has_the_flag(
    header: Any, slide: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    message = objects_in(tmp_path, dicom_message(slide, new_id()))
    report_uid = uid_of_event(message.event_id)

    asked = list[bytes]()

    def reports_only(body: bytes) -> Response:
        asked.append(body)
        told = {"00081199": {"vr": "SQ", "Value": [item(report_uid)]}}
        if len(asked) > 1:
            told = {"00081198": {"vr": "SQ", "Value": [item("2.25.77", 0x0122)]}}
        return saying(200 if len(asked) == 1 else 409, **told)(body)

    with serving(archive_that(header, reports_only)) as base:
        sink = open_sink(archive_endpoint(base, tmp_path))
        assert sink.send(message, now()).reference == report_uid
        sink.close()
    assert "reason 0122H" in caplog.text


def test_a_token_that_expires_between_two_requests_is_read_anew(
    header: Any, slide: Path, tmp_path: Path
) -> None:
    message = dicom_message(slide, new_id())
    token, asked = tmp_path / "token", list[str]()
    token.write_text("first")
    uid = uid_of_event(message.event_id)
    app = archive_that(header, saying(200, **{"00081199": {"vr": "SQ", "Value": [item(uid)]}}))

    @app.middleware("http")
    async def guard(request: Request, call_next: Any) -> Response:
        asked.append(request.headers.get("authorization", ""))
        if len(asked) == 2:
            token.write_text("second")
        if len(asked) > 1 and asked[-1] != "Bearer second":
            return Response(status_code=401)
        answer: Response = await call_next(request)
        return answer

    endpoint = archive_endpoint("http://127.0.0.1")
    with serving(app) as base:
        held = Credentials(bearer=lambda: Secret(token.read_bytes()))
        sink = open_sink(replace(endpoint, url=f"dicomweb+{base}", credentials=held))
        assert sink.send(message, now()).reference == uid
        sink.close()
    assert asked[:3] == ["Bearer first", "Bearer first", "Bearer second"]


def test_a_certificate_of_a_stranger_gets_nothing(
    header: Any, slide: Path, authority: Path
) -> None:
    stored = list[bytes]()
    tls = {"ssl_certfile": authority / "server.pem", "ssl_keyfile": authority / "server.key"}
    with serving(archive_that(header, lambda body: Response(stored.append(body))), **tls) as base:
        endpoint = replace(archive_endpoint(base), tls=Tls(authority / "stranger.pem"))
        sink = open_sink(endpoint)
        with pytest.raises(TryAgain, match="certificate is not trusted"):
            sink.send(dicom_message(slide, new_id()), now())
        sink.close()
    assert stored == []
