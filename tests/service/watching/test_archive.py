"""A DICOM archive that is watched: a real Orthanc."""

import logging
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pydicom
import pytest
from pydicom.uid import generate_uid

from tests.delivery.conftest import FakeClock
from tests.delivery.orthanc import IMAGE, LOGIN, Orthanc, orthanc
from tests.delivery.prepared import prepared
from wsi_ai.service.arrivals import one_question
from wsi_ai.service.database.opening import open_service_database
from wsi_ai.service.jobs import JobState
from wsi_ai.service.queue import Queue
from wsi_ai.service.routing.rules import Routing, Rule
from wsi_ai.service.watching import book
from wsi_ai.service.watching.archive import ArchiveWatch
from wsi_ai.service.watching.book import WatchState
from wsi_ai.service.watching.settled import Arrivals
from wsi_ai.service.watching.slides import SiteTable
from wsi_ai.service.watching.watcher import WatchPace
from wsi_ai.slides.readers.dicomweb.archive import Archive

ALWAYS_DAYS = 40_000


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("orthanc")) as found:
        yield found


@pytest.fixture
def queue(tmp_path: Path, clock: FakeClock) -> Iterator[Queue]:
    with prepared(str(tmp_path / "service.db"), open_service_database) as engine:
        yield Queue(engine, clock, Random(1))


class Steady:
    now = 0.0

    def __call__(self) -> float:
        self.now += 30
        return self.now


@pytest.fixture
def watch(pacs: Orthanc, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveWatch]:
    monkeypatch.setenv("PACS_LOGIN", LOGIN)
    monkeypatch.setenv("WSI_AI_DICOMWEB_BASIC", "env:PACS_LOGIN")
    found = watch_of(f"dicomweb+{pacs.base}", queue)
    yield found
    found.archive.close()


def watch_of(address: str, queue: Queue) -> ArchiveWatch:
    arrivals = Arrivals(queue, one_question(["m@1"]), SiteTable("RXX", "N1", None))
    quick = Archive(sleep=lambda _: None)
    return ArchiveWatch(address, arrivals, WatchPace(), quick, ALWAYS_DAYS, queue.clock, Steady())


def slide(shared_data: Path, folder: Path, **changed: str) -> Path:
    """Another series each time."""
    found = pydicom.dcmread(shared_data / "dicom" / IMAGE)
    found.StudyInstanceUID, found.SeriesInstanceUID = generate_uid(), generate_uid()
    found.SOPInstanceUID = found.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    for name, value in changed.items():
        setattr(found, name, value)
    path = folder / f"{found.SOPInstanceUID}.dcm"
    found.save_as(path)
    return path


def test_a_series_becomes_one_job_once_it_has_come_to_rest_and_grows_into_another(
    pacs: Orthanc, watch: ArchiveWatch, queue: Queue, shared_data: Path, tmp_path: Path
) -> None:
    path = slide(shared_data, tmp_path, AccessionNumber="S26-77", ContainerIdentifier="S26-77-A1")
    series = str(pydicom.dcmread(path, stop_before_pixels=True).SeriesInstanceUID)
    pacs.stored(path)
    assert [watch.step() for _ in range(3)] == [0, 0, 1]
    assert [watch.step() for _ in range(3)] == [0, 0, 0]
    (row,) = queue.lines([JobState.WAITING])
    assert row.slide_uri.startswith(f"{watch.address}/studies/")
    assert row.slide_uri.endswith(f"/series/{series}")
    assert row.case == {
        "trust": "RXX", "network": "N1", "accession": "S26-77", "slide_id": "S26-77-A1",
    }  # fmt: skip
    more = pydicom.dcmread(path)
    more.SOPInstanceUID = more.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    more.save_as(tmp_path / "more.dcm")
    pacs.stored(tmp_path / "more.dcm")
    assert sum(watch.step() for _ in range(4)) == 1
    assert queue.counts() == {"waiting": 2}
    anew = watch_of(watch.address, queue)
    assert sum(anew.step() for _ in range(4)) == 0
    anew.archive.close()


def test_what_the_header_says_chooses_the_model(
    pacs: Orthanc, watch: ArchiveWatch, queue: Queue, shared_data: Path, tmp_path: Path
) -> None:
    pacs.stored(slide(shared_data, tmp_path, AccessionNumber="S26-78"))
    rule = Rule("pas", ("p@1",), {"stain": ("PAS",)})
    watch.arrivals = Arrivals(queue, Routing((rule,)).choices, watch.arrivals.whose)
    assert sum(watch.step() for _ in range(4)) >= 1
    assert queue.counts()["unrouted"] >= 1


def test_an_archive_that_does_not_answer_is_an_alarm_and_nothing_is_forgotten(
    queue: Queue, caplog: pytest.LogCaptureFixture, watch: ArchiveWatch
) -> None:
    watch.step()
    away = watch_of("dicomweb+http://127.0.0.1:1/dicom-web", queue)
    with caplog.at_level(logging.ERROR):
        assert [away.step() for _ in range(2)] == [0, 0]
    assert away.gone is not None
    assert caplog.text.count("does not answer") == 1
    away.archive.close()
    (entry,) = book.entries(queue.engine, [WatchState.GONE])
    assert entry.path == away.address
