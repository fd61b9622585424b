"""Results that this site did not write are kept aside, made anew, and never sent."""

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.examples import PROVENANCE, example_flag
from wsi_ai.results.assessment import Assessment
from wsi_ai.results.folder import make_folder
from wsi_ai.results.slide import RunRecord, finished, write_results
from wsi_ai.run.no_ops import NoPost

QUESTION = "ab" * 32


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


def write(folder: Path, question: str = QUESTION) -> dict[str, Any]:
    run = RunRecord(PROVENANCE, question, {}, None, failed=False)
    return write_results(folder, Assessment(example_flag()), run, NoPost())


def aside(folder: Path) -> list[Path]:
    return sorted(folder.parent.glob(f".{folder.name}.unsealed-*"))


def test_what_this_site_wrote_is_finished_for_its_own_question_alone(home: Path) -> None:
    folder = home / "out" / "s" / "m"
    assert finished(folder, QUESTION) is None
    flag = write(folder)
    assert finished(folder, QUESTION) == flag
    assert finished(folder, "cd" * 32) is None
    assert aside(folder) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.data())
def test_one_changed_byte_of_flag_record_or_seal_and_it_counts_as_not_there(
    home: Path, data: st.DataObject
) -> None:
    folder, whole = home / "out" / "s" / "m", home / "whole"
    if not whole.exists():
        write(whole)
    shutil.rmtree(home / "out", ignore_errors=True)
    shutil.copytree(whole, folder)
    name = data.draw(st.sampled_from(["flag.json", "run.json"]))
    content = bytearray((folder / name).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    (folder / name).write_bytes(content)
    found = finished(folder, QUESTION)
    if found is not None:  # white space, or another way to write the same
        assert found == finished(whole, QUESTION)
        return
    assert not folder.exists()
    (kept,) = aside(folder)
    assert (kept / name).read_bytes() == content
    assert finished(folder, QUESTION) is None


def test_a_level_that_was_edited_is_not_taken_for_an_answer_and_is_named(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = home / "out" / "slide-of-a-case" / "m"
    write(folder)
    text = (folder / "flag.json").read_text()
    assert '"expedite"' in text
    (folder / "flag.json").write_text(text.replace('"expedite"', '"standard"'))
    with caplog.at_level(logging.WARNING):
        assert finished(folder, QUESTION) is None
    assert "are kept as .m.unsealed-1" in caplog.text
    assert "slide-of-a-case" not in caplog.text
    write(folder)
    assert finished(folder, QUESTION) is not None


def test_results_of_an_earlier_version_are_kept_to_be_looked_at_and_not_sent(home: Path) -> None:
    folder = home / "out" / "s" / "m"
    write(folder)
    record = json.loads((folder / "run.json").read_text())
    del record["seal"]
    (folder / "run.json").write_text(json.dumps(record))
    assert finished(folder, QUESTION) is None
    (kept,) = aside(folder)
    assert json.loads((kept / "flag.json").read_text())["result"]["level"] == "expedite"


def test_the_seal_of_another_site_or_another_folder_is_none(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = home / "out" / "s" / "m", home / "out" / "t" / "m"
    write(one)
    write(other, "cd" * 32)
    shutil.copy(other / "flag.json", one / "flag.json")
    (one / "run.json").write_text((other / "run.json").read_text().replace("cd" * 32, QUESTION))
    assert finished(one, QUESTION) is None
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "another"))
    assert finished(other, "cd" * 32) is None
    assert len(aside(other)) == 1


@pytest.mark.parametrize("name", ["flag.json", "run.json"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "gone"])
def test_what_is_no_file_of_its_own_is_neither_followed_nor_waited_for(
    home: Path, name: str, kind: str
) -> None:
    folder = home / "out" / "s" / "m"
    write(folder)
    path = folder / name
    path.rename(home / "elsewhere")
    if kind == "link":
        path.symlink_to(home / "elsewhere")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    assert finished(folder, QUESTION) is None
    assert len(aside(folder)) == 1


def test_a_folder_that_is_a_link_is_not_followed(home: Path) -> None:
    folder = home / "out" / "s" / "m"
    write(home / "elsewhere")
    folder.parent.mkdir(parents=True)
    folder.symlink_to(home / "elsewhere")
    assert finished(folder, QUESTION) is None
    assert aside(folder)[0].is_symlink()
    assert finished(home / "elsewhere", QUESTION) is not None


def test_a_folder_that_everybody_can_write_to_is_warned_of(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for mode, told in ((0o755, False), (0o777, True)):
        caplog.clear()
        (home / "out").mkdir(exist_ok=True)
        (home / "out").chmod(mode)
        make_folder(home / "out")
        assert ("everybody can write" in caplog.text) == told
