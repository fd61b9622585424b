"""One slide's trouble is one slide's trouble: one outcome for each entry, whatever it is."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.stand_in_runs import assembly, write_slide
from wsi_ai.app import NoWatcher, find_slides
from wsi_ai.core.flags import Level
from wsi_ai.run.no_ops import NoPost
from wsi_ai.run.stages import through_stages
from wsi_ai.slides.readers.fingerprint import fingerprint

Make = Callable[[Path, Path], None]


def sound(sample: Path, path: Path) -> None:
    shutil.copy(sample, path)


def cut_short(sample: Path, path: Path) -> None:
    path.write_bytes(sample.read_bytes()[:3000])


def empty(_: Path, path: Path) -> None:
    path.touch()


def nonsense(_: Path, path: Path) -> None:
    path.write_bytes(b"no slide at all" * 99)


def loop(_: Path, path: Path) -> None:
    path.symlink_to(path.name)


def to_nowhere(_: Path, path: Path) -> None:
    path.symlink_to("gone.svs")


def pipe(_: Path, path: Path) -> None:
    os.mkfifo(path)


KINDS: tuple[Make, ...] = (sound, cut_short, empty, nonsense, loop, to_nowhere)
NAMES = (
    b"plain", b"caf\xe9", b"\xff\xfe", "切片".encode() * 41, b"x" * 251, b"a b\tc", b"new\nline",
    b"-rf", b"..hidden", b"%s{}", "\u202ereversed".encode(), b"quote'\"", b"back\\slash",
)  # fmt: skip


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_slide(tmp_path_factory.mktemp("sample") / "s.tif", 192)


entries = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(KINDS)),
    min_size=1,
    max_size=6,
    unique_by=lambda entry: entry[0],
)


@settings(
    max_examples=int(os.environ.get("WSI_AI_EXAMPLES", "12")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(found=entries)
def test_a_folder_of_good_and_hostile_entries_gives_one_outcome_each(
    found: list[tuple[bytes, Make]], sample: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("hostile")
    (place / "in").mkdir()
    named = [Path(os.fsdecode(os.fsencode(place / "in") + b"/" + n + b".tif")) for n, _ in found]
    for path, (_, make) in zip(named, found, strict=True):
        make(sample, path)
    work, _ = assembly(place / "out").work(NoWatcher(), NoPost())
    stages = work.prepare, work.infer, work.publish
    line = through_stages([work.begin(path) for path in named], stages, work.stop)
    outcomes = [outcome for task in line for outcome in task.outcomes]
    assert [outcome.slide for outcome in outcomes] == named
    for outcome, (name, make) in zip(outcomes, found, strict=True):
        expected = Level.EXPEDITE if make is sound else Level.NOT_ASSESSED
        assert outcome.level is expected, (name, outcome.reason)
        assert outcome.reason


def test_a_folder_with_hostile_entries_is_searched_to_its_end(sample: Path, tmp_path: Path) -> None:
    for number, make in enumerate((*KINDS, pipe)):
        make(sample, tmp_path / f"{number}.tif")
    os.symlink(tmp_path, tmp_path / "round")
    found = find_slides([tmp_path])
    assert sorted(path.name for path in found.slides) == [f"{n}.tif" for n in range(7)]


def test_an_error_where_the_reason_is_written_costs_this_slide_its_reason_alone(
    sample: Path, tmp_path: Path
) -> None:
    """The place of its results is taken by a file."""
    broken, good = tmp_path / "broken.tif", tmp_path / "good.tif"
    cut_short(sample, broken)
    sound(sample, good)
    made = assembly(tmp_path / "out")
    work, _ = made.work(NoWatcher(), NoPost())
    stages = work.prepare, work.infer, work.publish
    (tmp_path / "out" / f"broken-{fingerprint(broken)[:8]}").write_text("in the way")
    line = through_stages([work.begin(path) for path in (broken, good)], stages, work.stop)
    first, second = (outcome for task in line for outcome in task.outcomes)
    assert first.level is Level.NOT_ASSESSED
    assert first.folder is None
    assert second.level is Level.EXPEDITE
