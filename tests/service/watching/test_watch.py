"""Folders that others write to: each slide once, none too early, and none forgotten."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from tests.delivery.conftest import FakeClock
from tests.service.conftest import clock, database, postgres_url, queue  # noqa: F401
from tests.stand_in_runs import write_slide
from wsi_ai.service import arrivals as coming
from wsi_ai.service import workers
from wsi_ai.service.jobs import JobState
from wsi_ai.service.queue import Answer, Queue
from wsi_ai.service.watching import book
from wsi_ai.service.watching.book import WatchState
from wsi_ai.service.watching.folder_look import look_at
from wsi_ai.service.watching.settled import Arrivals
from wsi_ai.service.watching.slides import SiteTable
from wsi_ai.service.watching.watcher import FolderWatch, WatchPace
from wsi_ai.slides.readers.dicom.reader import WHOLE_SLIDE

PACE = WatchPace()
BY_NAME = """
file_name = '(?P<accession>S\\d\\d-\\d+)-(?P<slide_id>[A-Z]\\d)'
"""


@dataclass
class Watched:
    """A folder, a watcher of it, and clocks that move 15 s a look."""

    folder: Path
    queue: Queue
    clock: FakeClock
    site: SiteTable
    watch: FolderWatch

    def look(self, times: int = 1) -> int:
        came = 0
        for _ in range(times):
            came += self.watch.step()
            self.clock.move(PACE.every_s)
        return came

    def again(self) -> "Watched":
        """A watcher that was started anew."""
        return replace(self, watch=a_watch(self.folder, self.queue, self.clock, self.site))

    def jobs(self, *states: JobState) -> list[str]:
        rows = self.queue.lines(list(states or JobState))
        return [row.slide_uri.rpartition("/")[2] for row in rows]

    def states(self) -> dict[str, str]:
        found = book.below(self.queue.engine, self.folder)
        own = found.pop(str(self.folder), None)
        return {Path(p).name: e.state.value for p, e in found.items()} | (
            {} if own is None else {"": own.state.value}
        )


def a_watch(folder: Path, table: Queue, now: FakeClock, site: SiteTable) -> FolderWatch:
    choose = coming.one_question(["m@1"])
    return FolderWatch(folder, Arrivals(table, choose, site), PACE, now, now)


Make = Callable[..., Watched]


@pytest.fixture
def make(queue: Queue, clock: FakeClock, tmp_path: Path) -> Make:  # noqa: F811
    def made(cases: str = BY_NAME) -> Watched:
        folder = tmp_path / "scans"
        folder.mkdir()
        table = tmp_path / "cases.toml"
        table.write_text(cases)
        site = SiteTable("RXX", None, table)
        return Watched(folder, queue, clock, site, a_watch(folder, queue, clock, site))

    return made


def test_a_slide_is_a_job_after_three_looks_that_find_it_the_same(make: Make) -> None:
    it = make()
    write_slide(it.folder / "S26-1-A1.tif", side=128)
    assert [it.look(), it.look(), it.look()] == [0, 0, 1]
    assert it.jobs() == ["S26-1-A1.tif"]
    (row,) = it.queue.lines([JobState.WAITING])
    assert row.case == {"trust": "RXX", "accession": "S26-1", "slide_id": "A1"}
    assert it.look(5) == 0
    assert len(it.jobs()) == 1


def test_a_slow_writer_is_waited_for_until_its_slide_is_whole(make: Make, tmp_path: Path) -> None:
    it = make()
    whole = write_slide(tmp_path / "whole.tif", side=256).read_bytes()
    growing = it.folder / "S26-1-A1.tif"
    for part in range(1, 9):
        growing.write_bytes(whole[: len(whole) * part // 8])
        os.utime(growing, ns=(part, part))
        assert it.look(2) == 0
    assert it.look() == 1


def test_a_copy_that_stops_midway_is_not_taken_for_a_slide_before_its_time(
    make: Make, tmp_path: Path
) -> None:
    """Then it is: a worker says that it was not assessed, and nobody waits for ever."""
    it = make()
    whole = write_slide(tmp_path / "whole.tif", side=256).read_bytes()
    (it.folder / "S26-1-A1.tif").write_bytes(whole[:300])
    assert it.look(int(PACE.patience_s / PACE.every_s)) == 0
    assert it.states()["S26-1-A1.tif"] == "settling"
    assert it.look(6) == 1
    assert it.jobs() == ["S26-1-A1.tif"]


def test_what_is_no_slide_is_refused_once_with_its_reason(make: Make) -> None:
    it = make()
    Image.new("RGB", (60, 40)).save(it.folder / "label.tif")
    assert it.look(6) == 0
    (entry,) = book.entries(it.queue.engine, [WatchState.REFUSED])
    assert entry.reason == "it is no slide"
    (it.folder / "notes.txt").write_text("not for us")
    assert it.look(6) == 0
    assert it.states() == {"": "folder", "label.tif": "refused"}


def test_a_changed_file_is_another_job_and_an_unchanged_one_is_not(make: Make) -> None:
    it = make()
    slide = write_slide(it.folder / "S26-1-A1.tif", side=128)
    it.look(3)
    assert it.again().look(5) == 0
    write_slide(slide, side=192)
    assert it.look(4) == 1
    assert len(it.jobs()) == 2


def test_a_watcher_that_starts_anew_forgets_nothing(make: Make) -> None:
    it = make()
    write_slide(it.folder / "S26-1-A1.tif", side=128)
    it.look(3)
    write_slide(it.folder / "S26-1-A2.tif", side=128)
    it.look(2)
    after = it.again()
    assert after.look(3) == 1
    assert sorted(it.jobs()) == ["S26-1-A1.tif", "S26-1-A2.tif"]


def test_two_watchers_of_one_folder_make_one_job(make: Make) -> None:
    it = make()
    other = it.again()
    write_slide(it.folder / "S26-1-A1.tif", side=128)
    for _ in range(4):
        it.look()
        other.look()
    assert it.jobs() == ["S26-1-A1.tif"]


def test_an_empty_folder_in_place_of_a_share_is_an_alarm_and_forgets_nothing(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    it = make()
    write_slide(it.folder / "S26-1-A1.tif", side=128)
    it.look(3)
    it.folder.rename(tmp_path / "away")
    it.folder.mkdir()
    assert it.look(4) == 0
    assert caplog.text.count("share gone") == 1
    assert "S26" not in caplog.text
    assert it.states() == {"": "gone", "S26-1-A1.tif": "submitted"}
    write_slide(it.folder / "S26-9-A9.tif", side=128)  # on the disk below the mount
    assert it.again().look(6) == 0
    shutil.rmtree(it.folder)
    assert it.look(2) == 0
    (tmp_path / "away").rename(it.folder)
    write_slide(it.folder / "S26-2-A1.tif", side=128)
    assert it.look(4) == 1
    assert it.states()[""] == "folder"
    assert sorted(it.jobs()) == ["S26-1-A1.tif", "S26-2-A1.tif"]


def test_a_share_that_was_mounted_anew_is_the_same_where_its_files_are(
    make: Make, tmp_path: Path
) -> None:
    it = make()
    write_slide(it.folder / "S26-1-A1.tif", side=128)
    it.look(3)
    shutil.copytree(it.folder, tmp_path / "mounted")
    it.folder.rename(tmp_path / "away")
    (tmp_path / "mounted").rename(it.folder)
    it.look()
    assert it.states()[""] == "folder"
    assert it.watch.gone is None


def test_a_folder_that_a_person_says_is_another_one_is_believed(make: Make, tmp_path: Path) -> None:
    it = make()
    write_slide(it.folder / "S26-1-A1.tif", side=128)
    it.look(3)
    it.folder.rename(tmp_path / "away")
    it.folder.mkdir()
    it.look()
    book.forget_folders(it.queue.engine, [it.folder])
    after = it.again()
    write_slide(it.folder / "S26-2-A1.tif", side=128)
    assert after.look(4) == 1


def test_links_lead_nowhere_and_are_named(make: Make, tmp_path: Path) -> None:
    it = make()
    outside = tmp_path / "outside"
    outside.mkdir()
    write_slide(outside / "S26-1-A1.tif", side=128)
    (it.folder / "S26-1-A1.tif").symlink_to(outside / "S26-1-A1.tif")
    (it.folder / "in").symlink_to(outside)
    (it.folder / "round").symlink_to(it.folder)
    assert it.look(6) == 0
    (entry,) = book.entries(it.queue.engine, [WatchState.REFUSED])
    assert "link" in (entry.reason or "")
    assert it.jobs() == []


def test_a_slide_whose_identity_is_in_doubt_is_listed_and_never_run(make: Make) -> None:
    it = make()
    write_slide(it.folder / "patient one.tif", side=128)
    it.look(4)
    assert it.states()["patient one.tif"] == "refused"
    assert it.jobs(JobState.WAITING) == []
    assert len(it.jobs(JobState.UNROUTED)) == 1  # so receivers hear that one has no model
    assert it.look(10) == 0
    assert it.site.path is not None
    it.site.path.write_text("file_name = '(?P<accession>patient) (?P<slide_id>one)'\n")
    assert it.look(1) == 1
    assert len(it.jobs(JobState.WAITING)) == 1
    assert it.jobs(JobState.UNROUTED) == []


def test_a_table_that_comes_later_than_its_slide_is_waited_for(make: Make) -> None:
    it = make("every_slide = { trust = 'RXX' }\n")
    write_slide(it.folder / "a.tif", side=128)
    assert it.look(8) == 0
    assert it.site.path is not None
    it.site.path.write_text("file_name = '(?P<accession>(?P<slide_id>a))'\n")
    assert it.look(8) == 1
    (row,) = it.queue.lines([JobState.WAITING])
    assert row.case["accession"] == "a"


def test_a_slide_with_its_folder_is_whole_when_both_are(make: Make) -> None:
    it = make()
    (it.folder / "S26-1-A1.mrxs").write_bytes(b"not much")
    data = it.folder / "S26-1-A1"
    data.mkdir()
    for part in range(3):
        (data / f"Data{part}.dat").write_bytes(b"x" * 100)
        it.look(2)
    (unit,) = look_at(it.folder).units  # type: ignore[union-attr]
    assert (unit.files, unit.size) == (4, 308)
    assert it.jobs() == []


def test_a_file_that_kills_who_opens_it_is_left_to_the_workers(make: Make) -> None:
    it = make()
    write_slide(it.folder / "S26-1-A1.tif", side=128)

    class Killed(BaseException):
        pass

    class Deadly(Arrivals):
        def _facts(self, slide: Path, *, patient: bool) -> object:  # type: ignore[override]
            raise Killed

    def started() -> Watched:
        after = it.again()
        after.watch.arrivals = Deadly(it.queue, coming.one_question(["m@1"]), it.site)
        return after

    for _ in range(2):
        with pytest.raises(Killed):
            started().look(4)
    assert it.jobs() == []
    assert started().look(4) == 1


def test_a_clock_that_jumps_takes_no_slide_too_early_and_none_too_late(make: Make) -> None:
    it = make()
    write_slide(it.folder / "S26-1-A1.tif", side=128)
    steady = FakeClock()
    it.watch.steady = steady
    it.look()
    it.clock.move(86_400)
    assert it.look() == 0
    it.clock.move(-200_000)
    assert it.look() == 1


def test_a_slide_that_no_rule_takes_is_listed(make: Make) -> None:
    it = make()
    write_slide(it.folder / "S26-1-A1.tif", side=128)
    it.watch.arrivals = Arrivals(it.queue, lambda _: (), it.site)
    assert it.look(3) == 1
    assert it.states()["S26-1-A1.tif"] == "unrouted"
    assert it.look(5) == 0


def test_a_slide_that_was_moved_is_asked_for_anew_and_its_job_is_of_the_same_case(
    make: Make,
) -> None:
    it = make()
    write_slide(it.folder / "S26-1-A1.tif", side=128)
    write_slide(it.folder / "S26-2-A1.tif", side=128)
    it.look(3)
    (it.folder / "old").mkdir()
    (it.folder / "S26-1-A1.tif").rename(it.folder / "old" / "S26-1-A1.tif")
    assert it.look(3) == 1
    cases = [row.case["accession"] for row in it.queue.lines([JobState.WAITING])]
    assert sorted(cases) == ["S26-1", "S26-1", "S26-2"]


def test_a_job_that_ended_lets_its_file_rest(make: Make) -> None:
    it = make()
    write_slide(it.folder / "S26-1-A1.tif", side=128)
    it.look(3)
    mine = it.queue.claim("w")
    assert mine is not None
    it.queue.done(mine, Answer(level="standard", reason="seen"))
    assert it.again().look(5) == 0
    assert it.jobs(JobState.WAITING) == []
    assert workers.up(it.queue.engine, it.clock()) == []


def write_instance(path: Path, number: int) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(WHOLE_SLIDE)
    meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{number}")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found = Dataset()
    found.file_meta = meta
    found.SOPClassUID = UID(WHOLE_SLIDE)
    found.SOPInstanceUID = UID(f"1.2.3.{number}")
    found.SeriesInstanceUID = UID("1.2.3")
    found.save_as(path, enforce_file_format=True)


def test_a_series_is_taken_after_a_quiet_minute_and_anew_where_it_grew_later(make: Make) -> None:
    it = make("every_slide = { trust = 'RXX' }\n")
    series = it.folder / "series"
    series.mkdir()
    it.watch.pace = replace(PACE, patience_s=60.0)  # they never open: nothing but headers
    for number in range(3):
        write_instance(series / f"{number}.dcm", number)
        assert it.look(4) == 0  # a file each 60 s
    assert it.look(2) == 1
    assert it.look(6) == 0
    write_instance(series / "late.dcm", 9)
    assert it.look(8) == 1
    assert it.jobs() == ["series", "series"]
