"""How a run begins, ends, and what it does about scales and files that change."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models_for_tests import mean_network, red_network, write_encoder, write_model
from tests.stand_in_runs import Failed, assembly, write_slide
from wsi_ai.app import NoWatcher, Outcome, RunOptions, run_slides
from wsi_ai.cli.output import Exit, gravest
from wsi_ai.core.flags import Level
from wsi_ai.core.geometry import Spacing
from wsi_ai.core.values import TileBatch
from wsi_ai.errors import InputError, ScaleContradicted
from wsi_ai.run.no_ops import NoPost
from wsi_ai.run.opening import open_scaled, scaled
from wsi_ai.slides.quiet import at_rest
from wsi_ai.slides.readers.fingerprint import fingerprint
from wsi_ai.testing import PaintedSlide

TEN = 10.0


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return write_slide(tmp_path / "s.tif", 256)


def test_an_mpp_that_the_file_contradicts_is_the_slides_own_error_and_names_both(
    slide: Path,
) -> None:
    with pytest.raises(ScaleContradicted, match=r"says 0\.5 µm/px, and 0\.25 was given"):
        open_scaled(slide, RunOptions(mpp=0.25))


@given(given=st.floats(0.491, 0.509))
def test_within_two_per_cent_what_the_file_says_is_used(
    tmp_path_factory: pytest.TempPathFactory, given: float
) -> None:
    path = tmp_path_factory.getbasetemp() / "within.tif"
    path.exists() or write_slide(path, 64)
    with open_scaled(path, RunOptions(mpp=given)) as slide:
        assert slide.info.spacing == Spacing(0.5, 0.5)


def test_override_mpp_takes_it_and_both_stand_in_the_info(slide: Path) -> None:
    with open_scaled(slide, RunOptions(mpp=0.25, override_mpp=True)) as opened:
        assert opened.info.spacing == Spacing(0.25, 0.25)
        assert opened.info.stated == Spacing(0.5, 0.5)
        assert hasattr(opened, "encoded_level")


@pytest.mark.parametrize("um", [0.04, 21.0])
def test_a_scale_that_no_scanner_has_counts_as_missing(
    um: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = scaled(PaintedSlide(), Spacing(um, um))
    monkeypatch.setattr("wsi_ai.run.opening.open_slide", lambda *_: odd)
    with open_scaled(Path("s.tif"), RunOptions(mpp=0.5)) as opened:
        assert opened.info.spacing == Spacing(0.5, 0.5)


def test_statuses_of_several_kinds_end_as_the_gravest() -> None:
    order = [Exit.USAGE, Exit.SOME, Exit.NOT_JUDGED, Exit.WAITING]
    for few in range(1, 5):
        for found in permutations(order, few):
            assert gravest(found) is min(found, key=order.index)
    assert gravest([]) is Exit.OK


class Clock:
    def __init__(self) -> None:
        self.slept = 0.0

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


def test_a_file_that_was_left_alone_is_judged_without_a_wait(slide: Path) -> None:
    clock = Clock()
    later = slide.stat().st_ctime + TEN + 1
    assert at_rest([slide], TEN, lambda: later, clock.sleep) == ([slide], [])
    assert clock.slept == 0


def test_a_file_that_grows_is_not_judged_and_its_neighbour_is(tmp_path: Path, slide: Path) -> None:
    growing = write_slide(tmp_path / "growing.tif", 64)

    def write_on(_: float) -> None:
        with growing.open("ab") as file:
            file.write(b"more")

    now = growing.stat().st_ctime
    assert at_rest([slide, growing], TEN, lambda: now, write_on) == ([slide], [growing])


def test_what_still_grows_is_listed_as_not_judged(tmp_path: Path, slide: Path) -> None:
    model = write_model(tmp_path / "red", red_network(), mpp=1.0)
    growing = tmp_path / "growing.tif"
    options = RunOptions(device="cpu", growing=(growing,))
    outcomes = list(run_slides([slide], model, tmp_path / "out", options))
    assert [outcome.judged for outcome in outcomes] == [True, False]
    (record,) = (tmp_path / "out" / "runs").glob("*.json")
    assert json.loads(record.read_text())["slides"][1]["not_judged"]
    assert not list((tmp_path / "out").glob("growing*"))


class Overwrites(Failed):
    """Another slide comes under the name half way."""

    def before(self, turn: int, batch: TileBatch) -> None:
        if turn == 1:
            write_slide(self.scratch / "s.tif", 512, seed=7)


class Touches(Failed):
    """The same bytes are copied there again."""

    def before(self, turn: int, batch: TileBatch) -> None:
        if turn == 1:
            write_slide(self.scratch / "s.tif", 512)


class Exchanges(Failed):
    """The file that is read is moved away and written to, and its copy takes the name."""

    def before(self, turn: int, batch: TileBatch) -> None:
        if turn == 1:
            path = self.scratch / "s.tif"
            content = path.read_bytes()
            moved = path.rename(path.with_suffix(".moved"))
            path.write_bytes(content)
            moved.write_bytes(content[::-1])


@pytest.mark.parametrize(
    ("kind", "level"),
    [(Overwrites, Level.NOT_ASSESSED), (Touches, Level.EXPEDITE), (Exchanges, Level.NOT_ASSESSED)],
)
def test_the_digest_vouches_for_the_bytes_that_were_read(
    tmp_path: Path, kind: type[Failed], level: Level
) -> None:
    path = write_slide(tmp_path / "s.tif", 512)
    work, _ = assembly(tmp_path, kind).work(NoWatcher(), NoPost())
    task = work.publish(work.infer(work.prepare(work.begin(path))))
    (outcome,) = task.outcomes
    assert isinstance(outcome, Outcome)
    assert outcome.level is level
    assert (level is Level.EXPEDITE) == ("changed while it was read" not in outcome.reason)


def test_a_share_that_is_too_slow_says_nothing_of_the_slide(
    tmp_path: Path, slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finished answer stands; where none does, the reason is the share's."""
    model = write_model(tmp_path / "red", red_network(), mpp=1.0)
    options, out = RunOptions(device="cpu"), tmp_path / "out"
    (judged,) = run_slides([slide], model, out, options)
    monkeypatch.setenv("WSI_AI_DISK_SECONDS", "1e-9")
    (again,) = run_slides([slide], model, out, options)
    assert "took more than 1e-09 s to hand out the slide" in again.reason
    assert again.reason.endswith(f"the earlier answer stands: {judged.level.value.upper()}")
    assert again.folder is None
    (first,) = run_slides([slide], model, tmp_path / "other", options)
    assert first.level is Level.NOT_ASSESSED
    assert "to hand out the slide" in first.reason


@pytest.mark.parametrize("text", ["0", "-1", "an hour"])
def test_a_limit_of_the_disk_is_a_number_above_zero(
    slide: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WSI_AI_DISK_SECONDS", text)
    with pytest.raises(InputError, match="WSI_AI_DISK_SECONDS is to be a number above zero"):
        fingerprint(slide)


def wsi_ai(*words: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "wsi_ai", *map(str, words)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, **pipes)


def status_of(*words: object) -> int:
    with wsi_ai(*words) as process:
        process.communicate(timeout=120)
    return process.returncode


def test_sigterm_says_what_ctrl_c_says(tmp_path: Path) -> None:
    model = write_model(tmp_path / "red", red_network(), mpp=0.5)
    big = write_slide(tmp_path / "big.tif", 4096)
    policy = tmp_path / "policy.toml"
    policy.write_text('name = "tests"\n[quality]\nfocus_min = 0.0\ncast_max = 1.0\n')
    words = ["--model", model, "--out", tmp_path / "out", "--device", "cpu", "--policy", policy]
    process = wsi_ai("run", big, *words)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("out/*/.*.kept")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGTERM)
    _, words = process.communicate(timeout=60)
    assert process.returncode == Exit.INTERRUPTED
    assert words.splitlines()[-1] == "wsi-ai: stopped; the same command goes on from here"


def test_a_run_that_cannot_begin_is_recorded_beside_the_earlier_ones_and_changes_nothing(
    tmp_path: Path, slide: Path
) -> None:
    model = write_model(tmp_path / "red", red_network(), mpp=1.0)
    out = tmp_path / "out"
    policy = tmp_path / "policy.toml"
    policy.write_text('name = "tests"\n[quality]\nfocus_min = 0.0\ncast_max = 1.0\n')
    words = ["run", slide, "--model", model, "--out", out, "--policy", policy]
    assert status_of(*words) == Exit.OK
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert status_of(*words, "--device", "abacus") == Exit.USAGE
    after = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    (new,) = set(after) - set(before)
    pages = {out / name for name in ("index.html", "contact-sheet.html")}  # they say so
    assert all(b"did not begin" in after.pop(page) for page in pages)
    assert {p: content for p, content in before.items() if p not in pages}.items() <= after.items()
    record = json.loads(new.read_text())
    assert (record["not_started"], record["slides_waiting"]) == ("device", 1)


@pytest.mark.parametrize("command", ["run", "embed"])
def test_where_the_site_s_key_cannot_be_made_no_slide_is_begun(
    command: str,
    tmp_path: Path,
    slide: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "home").write_text("no folder")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    flags = write_model(tmp_path / "red", red_network(), mpp=1.0)
    vectors = write_encoder(tmp_path / "encoder", mean_network(side=64), side=64, mpp=1.0)
    model, out = {"run": flags, "embed": vectors}[command], tmp_path / "out"
    with wsi_ai(command, slide, "--model", model, "--out", out) as process:
        said, errors = process.communicate(timeout=120)
    assert (process.returncode, said) == (Exit.USAGE, "")
    (line,) = errors.splitlines()
    assert line.startswith("wsi-ai: the site's key cannot be had")
    assert not list(out.rglob("flag.json"))
