"""Reports and withdrawals in DICOM: held to the validator, and to highdicom's own reader."""

import io
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from tests.delivery.conftest import new_id
from tests.delivery.formats.flags import DICOM
from tests.delivery.orthanc import IMAGE, dicom_body
from tests.delivery.validator import complaints
from wsi_ai.core.dicom import event_of_uid, flag_of_uid, uid_of_event, uid_of_flag
from wsi_ai.core.flags import Level
from wsi_ai.delivery.formats.dicom import reading, render_report, report, withdrawal
from wsi_ai.delivery.formats.dicom.source import Reference
from wsi_ai.delivery.formats.event import event_for, summary_of
from wsi_ai.delivery.messages import Retraction
from wsi_ai.errors import Refused
from wsi_ai.testing import example_body

REGION = {
    "region_id": "r1",
    "shape": "polygon",
    "coords": "level0_px",
    "points": [[1, 2], [30, 4], [5, 45]],
    "score": 0.9,
    "area_mm2": 0.5,
}
TAKEN_BACK = {"action": "retract", "revision": 2, "retraction_reason": "model_defect"}


def body_of(**changes: Any) -> dict[str, Any]:
    body = example_body(new_id(), changes.pop("level", Level.EXPEDITE))
    body["evidence"] = body["evidence"] | {"regions": [REGION]}
    return body | {"extensions": {"dicom": DICOM}} | changes


def read(content: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(content))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"level": Level.NOT_ASSESSED},
        {"action": "amend", "revision": 2, "supersedes": "evt_" + "0" * 32},
        TAKEN_BACK | {"supersedes": "evt_" + "1" * 32},
    ],
)
def test_the_validator_finds_nothing_that_is_not_known(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    event = event_for(body_of(**changes))
    (tmp_path / "sr.dcm").write_bytes(render_report(event))
    assert complaints(tmp_path / "sr.dcm") == []
    if event.is_retraction:
        (tmp_path / "ko.dcm").write_bytes(withdrawal.render(event))
        assert complaints(tmp_path / "ko.dcm") == []


def test_with_the_archives_header_the_validator_finds_nothing_either(
    shared_data: Path, tmp_path: Path
) -> None:
    slide = shared_data / "dicom" / IMAGE
    header = pydicom.dcmread(slide, stop_before_pixels=True)
    event = event_for(dicom_body(slide, new_id()))
    (tmp_path / "sr.dcm").write_bytes(report.render(event, header))
    assert complaints(tmp_path / "sr.dcm") == []
    found = pydicom.dcmread(tmp_path / "sr.dcm")
    assert (found.PatientName, found.PatientID) == (header.PatientName, header.PatientID)
    assert header == pydicom.dcmread(slide, stop_before_pixels=True)


def test_highdicom_finds_the_slides_group_its_regions_and_the_algorithm() -> None:
    flag = body_of()
    document = hd.sr.Comprehensive3DSR.from_dataset(read(render_report(event_for(flag))))
    (group,) = document.content.get_image_measurement_groups()
    assert group.tracking_identifier == flag["flag_id"]
    values = {one.name.value: one.value for one in group.get_measurements()}
    assert values["ai-score"] == flag["result"]["score"]
    priority = group.get_qualitative_evaluations()[0]
    assert (priority.name.value, priority.value.value) == ("triage-priority", "expedite")
    (region,) = document.content.get_planar_roi_measurement_groups()
    drawn = np.asarray(region.roi.value)
    np.testing.assert_array_equal(drawn[:-1], REGION["points"])
    np.testing.assert_array_equal(drawn[0], drawn[-1])


def test_what_was_taken_back_has_no_priority_no_region_and_says_why() -> None:
    flag = body_of(**TAKEN_BACK, supersedes="evt_" + "1" * 32)
    document = read(render_report(event_for(flag)))
    found, _ = reading.contents(document)
    assert found["triage-priority"] == "retracted"
    assert (found["priority-before"], found["reason"]) == ("expedite", "model_defect")
    assert "region-score" not in found
    assert reading.summary(document) == summary_of(flag)


@pytest.mark.parametrize("reason", Retraction)
def test_a_withdrawal_is_for_safety_where_the_flag_was_anothers_or_the_model_wrong(
    reason: Retraction,
) -> None:
    flag = body_of(**TAKEN_BACK | {"retraction_reason": reason.value}, supersedes="evt_" + "1" * 32)
    note = read(withdrawal.render(event_for(flag)))
    unsafe = reason in (Retraction.SLIDE_MISIDENTIFIED, Retraction.MODEL_DEFECT)
    assert note.ConceptNameCodeSequence[0].CodeValue == ("113037" if unsafe else "113001")


def test_a_withdrawal_names_the_reports_that_the_archive_has_and_what_the_flag_names() -> None:
    named = {"sop_class": "1.2.840.10008.5.1.4.1.1.30", "sop_uid": "2.25.8", "series_uid": "2.25.9"}
    flag = body_of(**TAKEN_BACK, supersedes="evt_" + "1" * 32)
    flag["extensions"] = {"dicom": DICOM | {"objects": [named]}}
    earlier = Reference("1.2.840.10008.5.1.4.1.1.88.34", "2.25.7", uid_of_flag(flag["flag_id"]))
    note = read(withdrawal.render(event_for(flag), None, [earlier]))
    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    found = {
        one.ReferencedSOPInstanceUID
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }
    assert found == {"2.25.7", "2.25.8", uid_of_event("evt_" + "1" * 32)}


def test_a_flag_that_holds_has_nothing_to_withdraw() -> None:
    with pytest.raises(Refused, match="not taken back"):
        withdrawal.render(event_for(body_of()))


@pytest.mark.parametrize("image", [None, {}, {"study_uid": "2.25.1"}, [], "x"])
def test_a_flag_without_an_image_in_dicom_has_no_report(image: Any) -> None:
    with pytest.raises(Refused, match="no DICOM image"):
        render_report(event_for(body_of(extensions={"dicom": image})))


@given(st.uuids())
def test_uids_lead_back_to_ids_and_fit(name: Any) -> None:
    event, flag = f"evt_{name.hex}", str(name)
    assert event_of_uid(uid_of_event(event)) == event
    assert flag_of_uid(uid_of_flag(flag)) == flag
    assert len(uid_of_event(event)) <= 64


@pytest.mark.parametrize("uid", ["", "2.25.", "2.25.x", "1.2.3", "2.25.0", f"2.25.{1 << 128}"])
def test_a_foreign_uid_leads_to_no_id(uid: str) -> None:
    assert flag_of_uid(uid) is None
    assert event_of_uid(uid) is None


def foreign() -> list[Dataset]:
    """MONAI Deploy's reports are Basic Text; others have groups without our codes."""
    empty, odd = Dataset(), Dataset()
    item = Dataset()
    item.ValueType = "TEXT"
    odd.ContentSequence = [item]
    return [empty, odd]


@pytest.mark.parametrize("number", range(2))
def test_a_document_of_another_program_is_not_ours(number: int) -> None:
    with pytest.raises(reading.NotOurs):
        reading.held(foreign()[number])
    with pytest.raises(reading.NotOurs):
        reading.summary(foreign()[number])


def test_a_sex_that_dicom_does_not_define_costs_no_flag(shared_data: Path) -> None:
    """Sites write U; highdicom refuses it (its PatientSexValues)."""
    slide = shared_data / "dicom" / IMAGE
    header = pydicom.dcmread(slide, stop_before_pixels=True)
    header.PatientSex = "U"
    event = event_for(dicom_body(slide, new_id()))
    assert reading.summary(read(report.render(event, header))).flag_id == event.flag["flag_id"]


def test_a_patients_name_of_any_script_stays_what_it_is(shared_data: Path) -> None:
    slide = shared_data / "dicom" / IMAGE
    header = pydicom.dcmread(slide, stop_before_pixels=True)
    header.SpecificCharacterSet = "ISO_IR 100"
    header.PatientName = "Müller^Zoë"
    event = event_for(dicom_body(slide, new_id()))
    assert str(read(report.render(event, header)).PatientName) == "Müller^Zoë"


def test_a_header_that_no_document_can_repeat_is_refused_in_words(shared_data: Path) -> None:
    slide = shared_data / "dicom" / IMAGE
    header = pydicom.dcmread(slide, stop_before_pixels=True)
    del header.SOPInstanceUID
    with pytest.raises(Refused, match="is no DICOM"):
        report.render(event_for(dicom_body(slide, new_id())), header)
