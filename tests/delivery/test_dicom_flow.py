"""From a slide to an archive and back: raised early, amended, taken back; read from the archive
itself; exported."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
import zarr
from typer.testing import CliRunner, Result

from tests.conftest import DEMO_MODEL
from tests.delivery.orthanc import LOGIN, Orthanc, image_of, orthanc
from tests.delivery.validator import complaints
from tests.slides.dicom_archive import Double
from tests.slides.dicom_slides import dicom_of
from wsi_ai.cli import app
from wsi_ai.core.dicom import uid_of_flag
from wsi_ai.delivery.formats.dicom import reading, withdrawal
from wsi_ai.slides.readers.dicomweb.archive import BASIC


@dataclass(frozen=True)
class Site:
    """One machine: slide, archive, settings and results."""

    folder: Path
    archive: Orthanc
    slide: Path

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def sinks(self) -> Path:
        path = self.folder / "sinks.toml"
        (self.folder / "login").write_text(LOGIN)
        path.write_text(
            f"[[sink]]\nname = 'pacs'\nurl = 'dicomweb+{self.archive.base}'\ntrusts = ['RXX']\n"
            f"basic = 'file:{self.folder}/login'\ndicom = {{objects = '{self.out}'}}\n"
        )
        return path

    def run(self, slide: Path, *more: str, out: Path | None = None) -> Result:
        cases = self.folder / "cases.toml"
        cases.write_text("[every_slide]\ntrust = 'RXX'\n")
        words = ["run", str(slide), "--model", str(DEMO_MODEL), "--out", str(out or self.out),
                 "--device", "cpu", "--cases", str(cases), "--quiet-s", "0", *more]  # fmt: skip
        return CliRunner().invoke(app, words)

    def held(self) -> dict[str, list[str]]:
        """Instances of the study by what their series is called."""
        study = image_of(self.slide)["study_uid"]
        found: dict[str, list[str]] = {}
        for one in self.archive.query(f"/studies/{study}/instances", includefield="0008103E"):
            name = one.get("0008103E", {}).get("Value", [""])[0]
            found.setdefault(name, []).append(one["00080018"]["Value"][0])
        return found

    def document(self, series: str, sop: str) -> pydicom.Dataset:
        return self.archive.document(image_of(self.slide)["study_uid"], series, sop)


@pytest.fixture(scope="module")
def site(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    like = shared_data / "dicom" / "highdicom" / "sm_image.dcm"
    slide = dicom_of(shared_data / "slides" / "cmu-1-small-region.svs", like, folder / "slide.dcm")
    with orthanc(folder / "orthanc") as archive:
        archive.stored(slide)
        yield Site(folder, archive, slide)


@pytest.fixture(scope="module")
def sent(site: Site) -> dict[str, Any]:
    """The flag of the slide, once it is in the archive."""
    done = site.run(site.slide, "--format", "dicom", "--send", str(site.sinks))
    assert done.exit_code == 0, done.output
    (path,) = site.out.glob("*/*/flag.json")
    flag: dict[str, Any] = json.loads(path.read_text())
    return flag


def test_a_slide_is_flagged_early_and_amended_with_its_heatmap_in_the_archive(
    site: Site, sent: dict[str, Any]
) -> None:
    there = site.held()
    assert len(there["AI triage flag (wsi_ai)"]) == sent["revision"] == 2
    series = uid_of_flag(sent["flag_id"])
    said = [reading.summary(site.document(series, sop)) for sop in there["AI triage flag (wsi_ai)"]]
    assert {(one.revision, one.level.value) for one in said} == {(1, "expedite"), (2, "expedite")}
    named = {one["kind"]: one for one in sent["extensions"]["dicom"]["objects"]}
    for kind, title in (("parametric-map", "AI heatmap (wsi_ai)"),
                        ("segmentation", "AI heatmap as a segmentation (wsi_ai)"),
                        ("annotations", "AI hotspots (wsi_ai)")):  # fmt: skip
        assert there[title] == [named[kind]["sop_uid"]]


def test_the_map_in_the_archive_is_the_heatmap_of_the_results(
    site: Site, sent: dict[str, Any], tmp_path: Path
) -> None:
    (named,) = [
        one for one in sent["extensions"]["dicom"]["objects"] if one["kind"] == "parametric-map"
    ]
    there = site.document(named["series_uid"], named["sop_uid"])
    document = hd.pm.ParametricMap.from_dataset(there)
    told = document.get_total_pixel_matrix(apply_real_world_transform=False).squeeze()
    (store,) = site.out.glob("*/*/heatmap.ome.zarr")
    array = zarr.open_array(store / "0", mode="r")
    scores = np.asarray(array[...])
    assert any(
        np.array_equal(np.where(told == -1, np.nan, told), layer, equal_nan=True)
        for layer in scores.reshape(-1, *told.shape)
    )
    there.save_as(tmp_path / "pm.dcm")
    assert complaints(tmp_path / "pm.dcm") == []


def test_the_archives_own_slide_gives_the_same_answer_and_says_what_its_digest_is_of(
    site: Site, sent: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("A_LOGIN", LOGIN)
    monkeypatch.setenv(BASIC, "env:A_LOGIN")
    there = Path(f"dicomweb+{site.archive.base}/{Double(site.slide).series}")
    done = site.run(there, out=tmp_path / "far")
    assert done.exit_code == 0, done.output
    (path,) = (tmp_path / "far").glob("*/*/flag.json")
    far = json.loads(path.read_text())
    assert far["result"] == sent["result"]
    assert far["flag_id"] == sent["flag_id"]
    assert far["evidence"] == sent["evidence"]
    assert far["slide"]["image_sha256"] != sent["slide"]["image_sha256"]
    assert far["extensions"]["dicom"]["image_sha256_of"] == "frames"


def test_an_archive_that_does_not_know_a_slide_leaves_it_not_assessed_with_the_reason(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("A_LOGIN", LOGIN)
    monkeypatch.setenv(BASIC, "env:A_LOGIN")
    there = Path(f"dicomweb+{site.archive.base}/studies/1.2/series/1.3")
    done = site.run(there, out=tmp_path / "far")
    assert done.exit_code == 1
    assert "does not know this series" in done.output


def test_what_is_taken_back_is_withdrawn_with_its_heatmap_and_exported_as_taken_back(
    site: Site, sent: dict[str, Any], tmp_path: Path
) -> None:
    """Runs last: the flag is gone then."""
    exported = CliRunner().invoke(app, ["export", "dicom", str(site.out), "--to", str(tmp_path)])
    assert exported.exit_code == 0, exported.output
    names = sorted(path.name for path in (tmp_path / sent["flag_id"]).iterdir())
    objects = [f"{one['sop_uid']}.dcm" for one in sent["extensions"]["dicom"]["objects"]]
    assert names == sorted([*objects, "report.000002.dcm"])
    report = pydicom.dcmread(tmp_path / sent["flag_id"] / "report.000002.dcm")
    assert str(report.PatientID) == "AA01"
    outbox = ["--outbox", str(site.out / "outbox.db")]
    words = ["flags", "retract", sent["flag_id"], *outbox, "--reason", "slide_misidentified"]
    assert CliRunner().invoke(app, words).exit_code == 0
    drained = CliRunner().invoke(app, ["outbox", "drain", *outbox, "--send", str(site.sinks)])
    assert drained.exit_code == 0, drained.output
    series = withdrawal.series_uid(sent["flag_id"])
    (note,) = [
        site.document(series, sop) for sop in site.held()["AI triage flag withdrawn (wsi_ai)"]
    ]
    withdrawn = {
        one.ReferencedSOPInstanceUID
        for series in note.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }
    assert withdrawn > {one["sop_uid"] for one in sent["extensions"]["dicom"]["objects"]}
    assert len(withdrawn) == 5
    again = CliRunner().invoke(app, ["outbox", "reconcile", *outbox, "--send", str(site.sinks)])
    assert again.exit_code == 0, again.output
    exported = CliRunner().invoke(app, ["export", "dicom", str(site.out), "--to", str(tmp_path)])
    assert exported.exit_code == 0, exported.output
    now = {path.name for path in (tmp_path / sent["flag_id"]).iterdir()}
    assert now == {"report.000003.dcm", "withdrawal.000003.dcm"}
