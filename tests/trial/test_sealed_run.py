"""A silent run leaves nothing that says what a flag is, and a slide is one record."""

import json
import logging
import pickle
import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomlkit
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.models_for_tests import red_network, write_model
from tests.trial.site_world import (
    BLUISH,
    GLASS,
    PINK,
    World,
    make_world,
    write_reference,
    write_slide,
)
from wsi_ai.app import RunOptions, run_slides
from wsi_ai.core.seals import key_path
from wsi_ai.delivery.audit import Audit
from wsi_ai.run.kept_answer import Answered, KeptFor
from wsi_ai.slides.identity import Cases
from wsi_ai.trial.locking import unseal_key
from wsi_ai.trial.opened import OpenedSlide, open_records, standing
from wsi_ai.trial.sealed_run import SealingKeeper
from wsi_ai.trial.sealing import SEALED, Trial, entries, lock_reference, unseal
from wsi_ai.trial.site_folder import open_folder
from wsi_ai.trial.work_folder import work_folder

SLIDES = {"c1-a": PINK, "c2-a": BLUISH, "c3-a": GLASS}
WORDS = [b"expedite", b"not_assessed", b"EXPEDITE", b"NOT ASSESSED", b"benign", b"flag_id"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Three slides sealed: one of each level."""
    world = make_world(tmp_path_factory.mktemp("world"), SLIDES)
    assert world.join()[0] == 0
    status, output = world.seal()
    assert status == 0, output
    assert "3 slides: 3 sealed, 0 already in" in output
    return world


@pytest.fixture
def world(done: World, tmp_path: Path) -> World:
    """The same, to be spoilt."""
    for place in done.folder.iterdir():
        copy = shutil.copytree if place.is_dir() else shutil.copy
        copy(place, tmp_path / place.name)
    return World(tmp_path)


@pytest.fixture
def own_temp(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("temp")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def sealed(world: World) -> int:
    return sum(line["what"] == SEALED for line in entries(open_folder(world.trial).trial))


def opened(world: World) -> list[OpenedSlide]:
    """By the region's own key, as nobody at the site has it."""
    write_reference(world, {"c1": "CANCER"})
    key = unseal_key(open_folder(world.trial), world.unsealed().read_bytes())
    reference = (world.folder / "reference.csv").read_bytes()
    return list(open_records(open_folder(world.trial).trial, reference, key))


def scores_in_clear(world: World, out: Path) -> Iterator[float]:
    """What an ordinary run says of the same slides."""
    options = RunOptions(policy=world.folder / "open.toml", device="cpu")
    slides = sorted((world.folder / "slides").iterdir())
    for outcome in run_slides(slides, world.folder / "red", out, options):
        assert outcome.folder is not None
        flag = json.loads((outcome.folder / "flag.json").read_text())
        if flag["result"]["score"] is not None:
            yield flag["result"]["score"]


def test_after_a_run_no_file_says_a_level_or_a_score(
    done: World, own_temp: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the trial's folder, the temp folder, the site's data, the slides' folder and all that was
    said; the run is made again, so that what it prints is looked at too."""
    scores = list(scores_in_clear(done, tmp_path / "out"))
    assert len(scores) == 2
    again = World(tmp_path)
    shutil.copytree(done.folder / "slides", tmp_path / "slides")
    for name in ("red", "open.toml", "cases.csv", "rxx.pem", "region.pub", "protocol.dsse"):
        place = done.folder / name
        (shutil.copytree if place.is_dir() else shutil.copy)(place, tmp_path / name)
    shutil.rmtree(tmp_path / "out")
    assert again.join()[0] == 0
    caplog.set_level(logging.DEBUG)
    _, output = again.seal()
    assert list(own_temp.iterdir()) == []
    said = output.encode() + caplog.text.encode()
    places = [
        *again.trial.rglob("*"),
        *(tmp_path / "slides").iterdir(),
        *key_path().parent.iterdir(),
    ]
    contents = [said, *(p.read_bytes() for p in places if p.is_file() and p.suffix != ".tif")]
    numbers = [form for score in scores for form in _forms(score)]
    for content in contents:
        assert not [word for word in (*WORDS, *numbers) if word in content]
    names = {p.name for p in again.trial.rglob("*") if p.is_file()}
    hpke = {f"{n:08d}.hpke" for n in (1, 2, 3)}
    assert names == {
        "protocol.dsse", "trusted-keys.pem", "ledger.jsonl", "sealing.lock", *hpke
    }  # fmt: skip


def _forms(score: float) -> list[bytes]:
    """As text, and as a network's own number."""
    return [f"{score:.4f}".encode(), struct.pack("<f", score), struct.pack("<d", score)]


def test_the_search_finds_what_an_ordinary_run_leaves(done: World, tmp_path: Path) -> None:
    """Else the test above would hold of anything."""
    scores = list(scores_in_clear(done, tmp_path / "out"))
    left = b"".join(p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert b"expedite" in left
    assert _forms(scores[0])[0] in left


def test_neither_length_nor_time_tells_levels_apart(done: World) -> None:
    """A slide of glass is through at once; the ledger's clock has hours only."""
    files = list((done.trial / "sealed").iterdir())
    assert len({(p.stat().st_size, p.stat().st_mtime) for p in files}) == 1
    lines = entries(open_folder(done.trial).trial)
    assert {line["time"][13:] for line in lines} == {":00:00.000Z"}


def test_the_same_slide_again_is_one_record(world: World) -> None:
    status, output = world.seal()
    assert (status, sealed(world)) == (0, 3)
    assert "3 slides: 0 sealed, 3 already in" in output


def test_a_silent_run_sends_nothing(world: World) -> None:
    status, output = world.seal("--send", "http://localhost:1")
    assert status == 2
    assert "sends no flag" in output


@pytest.mark.parametrize("changed", ["model", "policy", "mpp"])
def test_a_slide_that_was_asked_something_else_is_sealed_off_the_protocol(
    world: World, changed: str
) -> None:
    write_slide(world.folder / "slides" / "c1-a.tif", PINK, 9)
    words: tuple[object, ...] = ()
    if changed == "model":
        write_model(world.folder / "red", red_network(side=64), side=64, mpp=0.5, threshold=0.4)
    elif changed == "policy":
        stricter = (world.folder / "open.toml").read_text().replace("tiles = 1", "tiles = 2")
        (world.folder / "open.toml").write_text(stricter)
    else:
        words = ("--mpp", "0.55", "--override-mpp")
    status, output = world.seal(*words)
    assert status == 0, output
    fields = {field for slide in opened(world) for field in slide.off_protocol}
    wanted = {"model": "manifest_sha256", "policy": "policy_sha256", "mpp": "mpp"}[changed]
    assert wanted in fields


def test_of_the_same_bytes_on_and_off_the_protocol_the_former_holds(world: World) -> None:
    stricter = (world.folder / "open.toml").read_text().replace("tiles = 1", "tiles = 2")
    (world.folder / "open.toml").write_text(stricter)
    assert world.seal()[0] == 0
    found = standing(opened(world))
    assert found.superseded == 3
    assert all(not slide.off_protocol for slide in found.slides)


def test_a_slide_that_cannot_be_read_is_sealed_once_and_nothing_says_so(world: World) -> None:
    (world.folder / "slides" / "c1-a.tif").write_bytes(b"II*\0" + bytes(range(200)))
    for words in ("1 sealed, 2 already in", "0 sealed, 3 already in"):
        status, output = world.seal()
        assert (status, words in output, "c1-a" in output) == (0, True, False)
    slides = opened(world)
    assert [slide.reason for slide in slides if slide.failed] == ["failed"]
    assert [slide.slide_id for slide in slides if slide.failed] == ["c1-a"]


def test_a_slide_that_is_still_being_written_waits_for_the_next_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = world.folder / "slides" / "c1-a.tif"

    def settles(slides: list[Path], quiet_s: float) -> tuple[list[Path], list[Path]]:
        return [slide for slide in slides if slide != growing], [growing]

    monkeypatch.setattr("wsi_ai.cli.trial_site.at_rest", settles)
    write_slide(growing, PINK, 3)
    status, output = world.seal()
    assert (status, sealed(world)) == (1, 3)
    assert "c1-a.tif: not sealed: it was still being written" in output


def test_a_file_that_was_copied_again_takes_the_place_of_its_broken_copy(world: World) -> None:
    place = world.folder / "slides" / "c8-a.tif"
    with (world.folder / "cases.csv").open("a") as file:
        file.write("c8-a.tif,RXX,c8,c8-a\n")
    place.write_bytes(b"II*\0" + bytes(range(200)))
    assert world.seal()[0] == 0
    write_slide(place, PINK, 8)
    assert world.seal()[0] == 0
    kept = [one for one in standing(opened(world)).slides if one.slide_id == "c8-a"]
    assert [one.reason for one in kept] == [""]


def test_a_keeper_can_be_sent_to_the_process_of_another_device(world: World) -> None:
    folder = open_folder(world.trial)
    index_test = folder.protocol.document["index_test"]
    keeper = SealingKeeper(folder.trial, folder.public_key, index_test)
    made = KeptFor(keeper, None, Cases(), world.folder, rescan=False)
    assert pickle.loads(pickle.dumps(made)).keeper == keeper


def test_a_second_models_flags_are_sealed_apart_and_are_no_part_of_the_result(
    tmp_path: Path,
) -> None:
    def model(name: str, sha: str) -> dict[str, str]:
        digests = dict.fromkeys(("weights_sha256", "manifest_sha256"), sha)
        return {"name": name, "version": "1", **digests}

    def expected(name: str, sha: str) -> dict[str, object]:
        made = {**model(name, sha), "model": name, "policy_sha256": "p", "operating_point": 0.5}
        made.pop("name")
        return made

    def answered(number: int, name: str, sha: str) -> Answered:
        flag = {"result": {"threshold": {"value": 0.5}}}
        run = {"model": model(name, sha), "slide": {}}
        return Answered(f"{number:064x}", "cd" * 32, "p", rescan=False, flag=flag, run=run)

    made = Trial(tmp_path, "ab" * 32, "RXX", Audit(tmp_path / "ledger.jsonl", now=lambda: "now"))
    key = X25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = key.public_key().public_bytes_raw()
    keeper = SealingKeeper(made, public, expected("first", "aa"), (expected("second", "bb"),))
    for number, name, sha in ((1, "first", "aa"), (2, "second", "bb"), (3, "second", "cc")):
        assert keeper.keep(answered(number, name, sha))
    lock_reference(made, b"reference")
    records = [json.loads(r) for _, r in unseal(made, b"reference", key.private_bytes_raw())]
    assert [r["role"] for r in records] == ["index_test", "comparator", "comparator"]
    assert [r["off_protocol"] for r in records] == [[], [], ["weights_sha256", "manifest_sha256"]]


def test_what_a_killed_run_left_goes_first_and_nothing_stays(world: World) -> None:
    left = world.trial / ".work-killed"
    left.mkdir()
    (left / "journal").write_bytes(b"scores")
    assert world.seal()[0] == 0
    assert not list(world.trial.glob(".work-*"))
    assert not (world.trial / "running.lock").exists()
    left.mkdir()
    write_reference(world, {"c1": "CANCER"})
    assert world.lock()[0] == 0
    assert not left.exists(), "no run comes after the lock"


def test_while_a_run_is_at_work_no_other_begins_and_nothing_is_locked(world: World) -> None:
    write_reference(world, {"c1": "CANCER"})
    with work_folder(world.trial):
        for status, output in (world.seal(), world.lock()):
            assert (status, "another trial run is at work" in output) == (2, True)


def test_a_run_that_cannot_seal_says_which_slide_and_not_how_it_was_judged(world: World) -> None:
    write_slide(world.folder / "slides" / "c1-a.tif", PINK, 5)
    shutil.rmtree(world.trial / "sealed")
    (world.trial / "sealed").write_text("")
    status, output = world.seal()
    assert status == 1
    assert "c1-a.tif: not sealed: a sealed record cannot be written" in output
    assert "1 not sealed" in output
    assert not [word for word in WORDS if word.decode() in output]
    assert not list(world.trial.glob(".work-*"))


def test_no_flag_is_added_after_the_lock(world: World) -> None:
    write_reference(world, {"c1": "CANCER"})
    assert world.lock()[0] == 0
    status, output = world.seal()
    assert (status, sealed(world)) == (2, 3)
    assert "no flag is added any more" in output


def test_a_live_protocol_is_not_run_silently(world: World, tmp_path: Path) -> None:
    made = tomlkit.parse((world.folder / "protocol.toml").read_text()).unwrap()
    made["design"] = "live"
    signed = world.sign(made, "live")
    assert world.join(signed, tmp_path / "live")[0] == 0
    status, output = world.run(
        "run", world.folder / "slides", "--trial", tmp_path / "live", "--model",
        world.folder / "red", "--quiet-s", 0,
    )  # fmt: skip
    assert status == 2
    assert "nothing is silent" in output


def test_a_model_that_is_not_there_is_one_line_and_status_2(world: World) -> None:
    status, output = world.run(
        "run", world.folder / "slides", "--trial", world.trial, "--quiet-s", 0
    )
    assert (status, sealed(world)) == (2, 3)
    assert "no model card" in output


def test_two_slides_of_one_identity_are_sealed_as_not_assessed(world: World) -> None:
    write_slide(world.folder / "slides" / "c9-a.tif", PINK, 7)
    write_slide(world.folder / "slides" / "c9-b.tif", PINK, 8)
    with (world.folder / "cases.csv").open("a") as file:
        file.write("c9-a.tif,RXX,c9,same\nc9-b.tif,RXX,c9,same\n")
    assert world.seal()[0] == 0
    both = [one for one in opened(world) if one.identity and one.identity.accession == "c9"]
    assert [one.reason for one in both] == ["failed", "failed"]


def test_a_protocol_of_other_keys_cannot_be_joined(world: World, tmp_path: Path) -> None:
    (world.folder / "rxx.pem").write_bytes((world.folder / "region.pem").read_bytes())
    status, output = world.join(out=tmp_path / "other")
    assert status == 2
    assert "another key" in output
