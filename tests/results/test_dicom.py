"""Heatmap and hotspots in DICOM: what was written is what is read back, at its place."""

import dataclasses
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from tests.delivery.validator import complaints
from wsi_ai.core.cards import Task
from wsi_ai.core.flags import STATEMENT, Finding, Flag, Level
from wsi_ai.core.geometry import Step
from wsi_ai.core.values import Heatmap, SlideInfo
from wsi_ai.delivery.formats.dicom import withdrawal
from wsi_ai.delivery.formats.dicom.objects import content_sha256
from wsi_ai.delivery.formats.event import event_for
from wsi_ai.results.dicom import write_dicom
from wsi_ai.results.dicom.image import cells_of
from wsi_ai.results.flag_json import with_objects
from wsi_ai.slides.readers.dicom.reader import open_slide
from wsi_ai.testing import example_body
from wsi_ai.testing.stand_ins import MEAN_CARD
from wsi_ai.triage.judge import TriagePolicy, not_assessed

AT = datetime(2026, 11, 28, 12, tzinfo=UTC)
OUTLINES = [((1.0, 1.0), (20.5, 1.0), (20.0, 20.0)), ((30.0, 30.0), (40.0, 30.0), (40.0, 45.0))]


@pytest.fixture(scope="module")
def info(shared_data: Path) -> SlideInfo:
    with open_slide(shared_data / "dicom" / "highdicom" / "sm_image_numbers.dcm") as slide:
        return slide.info


def flag_of(info: SlideInfo, **changes: Any) -> Flag:
    findings = tuple(Finding("red", one, (), 0.9, 0.8, 0.1, 3) for one in OUTLINES)
    seen = not_assessed(info, MEAN_CARD, TriagePolicy(), "an example", None)
    given = {"level": Level.EXPEDITE, "score": 0.9, "findings": findings}
    return dataclasses.replace(seen, **(given | changes))


def heatmap_of(info: SlideInfo, rows: int = 12, cols: int = 10) -> Heatmap:
    """Its first row was not planned, and its second not seen."""
    scores = np.random.default_rng(7).random((2, rows, cols)).astype(np.float32)
    scores[:, :2] = np.nan
    planned = np.ones((rows, cols), np.bool_)
    planned[0] = False
    step = Step(info.size.width / cols, info.size.height / rows)
    return Heatmap(info, MEAN_CARD, scores, step, planned)


def written(
    folder: Path, flag: Flag, heatmap: Heatmap | None, at: datetime = AT
) -> dict[str, tuple[dict[str, Any], Path]]:
    folder.mkdir(parents=True, exist_ok=True)
    named = write_dicom(folder, flag, heatmap, at)
    return {one["kind"]: (one, folder / "dicom" / f"{one['sop_uid']}.dcm") for one in named}


def test_the_map_has_every_score_and_says_where_there_is_none(
    info: SlideInfo, tmp_path: Path
) -> None:
    heatmap = heatmap_of(info)
    _, path = written(tmp_path, flag_of(info), heatmap)["parametric-map"]
    document = hd.pm.ParametricMap.from_dataset(pydicom.dcmread(path))
    told = document.get_total_pixel_matrix(apply_real_world_transform=False).squeeze()
    nothing = float(document.FloatPixelPaddingValue)
    np.testing.assert_array_equal(np.where(told == nothing, np.nan, told), heatmap.shown)
    assert document.ContentQualification == "RESEARCH"
    assert document.ImageComments == STATEMENT


def test_the_fractions_are_the_scores_in_255_steps_and_what_was_not_seen_is_a_segment(
    info: SlideInfo, tmp_path: Path
) -> None:
    heatmap = heatmap_of(info)
    _, path = written(tmp_path, flag_of(info), heatmap)["segmentation"]
    document = hd.seg.Segmentation.from_dataset(pydicom.dcmread(path))
    layers: NDArray[Any] = document.get_total_pixel_matrix(rescale_fractional=True)
    scores = np.nan_to_num(heatmap.shown)
    assert np.abs(layers[..., 0] - scores).max() <= 0.5 / 255 + 1e-6
    np.testing.assert_array_equal(layers[..., 1] > 0, heatmap.missed)
    assert heatmap.missed.any()


def test_hotspots_are_the_findings_with_their_scores(info: SlideInfo, tmp_path: Path) -> None:
    _, path = written(tmp_path, flag_of(info), heatmap_of(info))["annotations"]
    document = hd.ann.MicroscopyBulkSimpleAnnotations.from_dataset(pydicom.dcmread(path))
    (group,) = document.get_annotation_groups()
    drawn = group.get_graphic_data(coordinate_type="2D")
    assert [one.tolist() for one in drawn] == [[list(p) for p in one] for one in OUTLINES]
    _, values, _ = group.get_measurements()
    np.testing.assert_allclose(values[:, 0], [0.9, 0.9], rtol=1e-6)
    assert group.AnnotationGroupDescription == STATEMENT


@pytest.mark.parametrize("kind", ["parametric-map", "segmentation"])
def test_a_cell_lies_where_it_lies_on_the_glass(
    info: SlideInfo, tmp_path: Path, shared_data: Path, kind: str
) -> None:
    """The corner of the map is the image's, its orientation too, and its last corner as well."""
    heatmap = heatmap_of(info)
    _, path = written(tmp_path, flag_of(info), heatmap)[kind]
    document = pydicom.dcmread(path)
    source = pydicom.dcmread(shared_data / "dicom" / "highdicom" / "sm_image_numbers.dcm")
    for name in ("ImageOrientationSlide", "FrameOfReferenceUID", "StudyInstanceUID", "PatientID"):
        assert document[name].value == source[name].value
    ends = []
    for one in (document, source):
        measures = one.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        spacing = [float(mm) for mm in measures.PixelSpacing]
        origin = one.TotalPixelMatrixOriginSequence[0]
        corner = (float(origin.XOffsetInSlideCoordinateSystem),
                  float(origin.YOffsetInSlideCoordinateSystem), 0.0)  # fmt: skip
        to = hd.spatial.PixelToReferenceTransformer(
            corner, [float(v) for v in one.ImageOrientationSlide], spacing
        )
        sides = np.array([[one.TotalPixelMatrixColumns, one.TotalPixelMatrixRows], [0, 0]])
        ends.append(to(sides))
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-6)


@pytest.mark.parametrize("kind", ["parametric-map", "segmentation", "annotations"])
def test_the_validator_finds_nothing_that_is_not_known(
    info: SlideInfo, tmp_path: Path, kind: str
) -> None:
    _, path = written(tmp_path, flag_of(info), heatmap_of(info))[kind]
    assert complaints(path) == []


def test_the_validator_is_listened_to(info: SlideInfo, tmp_path: Path) -> None:
    _, path = written(tmp_path, flag_of(info), heatmap_of(info))["parametric-map"]
    document = pydicom.dcmread(path)
    del document.ContentLabel
    document.save_as(path)
    assert [line for line in complaints(path) if "ContentLabel" in line]


def test_the_same_answer_made_again_is_the_same_objects_and_another_map_never_is(
    info: SlideInfo, tmp_path: Path
) -> None:
    heatmap, flag = heatmap_of(info), flag_of(info)
    first = written(tmp_path / "a", flag, heatmap)
    again = written(tmp_path / "b", flag, heatmap, AT + timedelta(hours=3))
    assert [one for one, _ in first.values()] == [one for one, _ in again.values()]
    other = np.array(heatmap.scores)
    other[:, 5, 5] = 0.123
    changed = written(tmp_path / "c", flag, dataclasses.replace(heatmap, scores=other))
    for kind in ("parametric-map", "segmentation"):
        assert changed[kind][0]["sop_uid"] != first[kind][0]["sop_uid"]
        assert changed[kind][0]["series_uid"] == first[kind][0]["series_uid"]
    for named, path in first.values():
        assert content_sha256(pydicom.dcmread(path)) == named["sha256"]


def test_a_slide_that_was_not_assessed_has_no_map_and_its_image_is_kept(
    info: SlideInfo, tmp_path: Path
) -> None:
    flag = flag_of(info, level=Level.NOT_ASSESSED, score=None)
    assert written(tmp_path, flag, heatmap_of(info)) == {}
    kept = json.loads((tmp_path / "dicom" / "image.json").read_text())
    assert kept["00100020"]["Value"] == ["AA01"]
    assert "7FE00010" not in kept


def test_a_slide_that_is_no_dicom_image_has_nothing(info: SlideInfo, tmp_path: Path) -> None:
    plain = dataclasses.replace(info, dicom=None)
    assert written(tmp_path, flag_of(plain), heatmap_of(plain)) == {}
    assert list(tmp_path.iterdir()) == []


def test_attention_is_no_probability_and_without_findings_there_are_no_hotspots(
    info: SlideInfo, tmp_path: Path
) -> None:
    card = dataclasses.replace(MEAN_CARD, task=Task.SLIDE_CLASSIFICATION)
    heatmap = heatmap_of(info)
    attention = dataclasses.replace(heatmap, model=card, scores=np.array(heatmap.scores)[:1])
    made = written(tmp_path, flag_of(info, findings=()), attention)
    assert list(made) == ["parametric-map"]
    mapping = pydicom.dcmread(made["parametric-map"][1])
    assert "no probability" in str(mapping)


def test_an_image_that_does_not_say_where_it_lies_on_the_glass_has_hotspots_only(
    shared_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_slide(shared_data / "dicom" / "wsi2dcm" / "raw.dcm") as slide:
        info = slide.info
    assert list(written(tmp_path, flag_of(info), heatmap_of(info))) == ["annotations"]
    assert len(list((tmp_path / "dicom").glob("*.dcm"))) == 1
    assert "header lacks" in caplog.text


def test_a_very_fine_map_keeps_its_peaks_and_what_was_missed(info: SlideInfo) -> None:
    fine = heatmap_of(info, 2100, 2100)
    cells = cells_of(fine)
    assert cells.scores.size <= 1 << 22
    assert np.nanmax(cells.scores) == np.nanmax(fine.shown)
    assert cells.missed.any()
    assert cells.step.x * cells.scores.shape[1] == pytest.approx(info.size.width, rel=0.01)


def test_names_that_dicom_does_not_take_are_cut(info: SlideInfo, tmp_path: Path) -> None:
    ref = dataclasses.replace(MEAN_CARD.ref, name="back\\slash" + "x" * 80, version="1")
    card = dataclasses.replace(MEAN_CARD, ref=ref)
    made = written(tmp_path, flag_of(info, model=card), heatmap_of(info))
    assert len(made) == 3
    for _, path in made.values():
        assert complaints(path) == []


PAGE = Path(__file__).parents[2] / "docs" / "formats.md"
REF = dataclasses.replace(MEAN_CARD.ref, sha256="ab" * 32)
CARD = dataclasses.replace(MEAN_CARD, ref=REF)
SEEN = {
    "scores of the heatmap": lambda d: bool({"PixelData", "FloatPixelData"} & set(d.dir())),
    "tissue that was not assessed": lambda d: (
        "FloatPixelPadding" in str(d.dir()) or "that was not assessed" in str(d)
    ),
    "outlines of the findings": lambda d: "Point Coordinates Data" in str(d),
    "a finding's highest score": lambda d: "Floating Point Values" in str(d),
    "model's name, version, weights": lambda d: (
        d.DeviceSerialNumber == REF.sha256
        and d.ManufacturerModelName == REF.name
        and REF.version in str(d.SoftwareVersions)
    ),
    "level, score, threshold of the flag": lambda d: "threshold=" in _parameters(d),
    "that it is for research only": lambda d: "esearch use only" in _texts(d),
    "why the flag was taken back": lambda d: "Model withdrawn" in _texts(d),
}
"""How to tell whether an object carries it."""


def _parameters(document: pydicom.Dataset) -> str:
    return "".join(str(e.value) for e in document.iterall() if e.keyword == "AlgorithmParameters")


def _texts(document: pydicom.Dataset) -> str:
    return " ".join(str(e.value) for e in document.iterall() if e.VR in ("LO", "LT", "UT"))


def test_the_page_says_what_each_object_carries(info: SlideInfo, tmp_path: Path) -> None:
    flag = flag_of(info, model=CARD)
    made = written(tmp_path, flag, heatmap_of(info))
    named = with_objects(flag, [one for one, _ in made.values()]).extensions
    body = example_body(flag.flag_id)
    model = body["model"] | {"weights_sha256": REF.sha256}
    told = body | {"extensions": dict(named), "model": model, "action": "retract", "revision": 2}
    told["retraction_reason"] = "model_defect"
    note = pydicom.dcmread(io.BytesIO(withdrawal.render(event_for(told))))
    objects = [pydicom.dcmread(path) for _, path in made.values()] + [note]
    lines = PAGE.read_text("utf-8").splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("| | Parametric Map"))
    table = [line.strip("| ").split(" | ") for line in lines[start + 2 : start + 2 + len(SEEN)]]
    assert [row[0] for row in table] == list(SEEN)
    for name, *cells in table:
        carried = [SEEN[name](one) for one in objects]
        assert [not cell.startswith("lost") for cell in cells] == carried, name
