"""Slides in a store, copied to the disk first."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.slides.scanner_files import write_ndpi
from tests.slides.stores.test_listing import write_zarr
from tests.stand_in_runs import write_slide
from wsi_ai.core.contracts import EncodedSlide, Slide
from wsi_ai.errors import SlideChanged, SlideError, StagingFull, TransportError
from wsi_ai.slides.inputs import find_slides
from wsi_ai.slides.places import ReaderIo
from wsi_ai.slides.registry import open_slide
from wsi_ai.slides.stores import cache, staging
from wsi_ai.slides.stores.address import object_address
from wsi_ai.testing import ObjectStore, Stored

AT = Path("s3://slides/a/one.tif")


@pytest.fixture
def slide(tmp_path: Path, store: ObjectStore) -> Path:
    path = write_slide(tmp_path / "one.tif")
    store.objects["slides/a/one.tif"] = Stored(path.read_bytes())
    return path


def same(one: Slide, other: Slide) -> bool:
    size = one.info.size
    everything = (0, 0, 0, size.width, size.height)
    return one.info == other.info and np.array_equal(one.read(*everything), other.read(*everything))


def copies(folder: Path) -> list[Path]:
    return [path for path in (folder / "staging").rglob("slide/*") if path.is_file()]


def test_a_slide_in_a_store_is_the_slide_on_the_disk(slide: Path, store: ObjectStore) -> None:
    with open_slide(slide) as here, open_slide(AT) as there:
        assert same(here, there)
        assert isinstance(there, EncodedSlide)


def test_it_is_fetched_only_once(slide: Path, store: ObjectStore) -> None:
    for _ in range(3):
        with open_slide(AT):
            pass
    assert store.counted("GET") == 1


def test_of_many_who_want_it_at_once_one_fetches_it(slide: Path, store: ObjectStore) -> None:
    store.faults.latency_s = 0.05

    def opened(_: int) -> str:
        with open_slide(AT) as one:
            return one.info.fingerprint

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(opened, range(6)))) == 1
    assert store.counted("GET") == 1


def test_a_storm_of_503_is_waited_out(slide: Path, store: ObjectStore) -> None:
    store.faults.refuse = [503] * 3
    with open_slide(slide) as here, open_slide(AT) as there:
        assert same(here, there)


def test_bodies_that_break_off_are_fetched_again(slide: Path, store: ObjectStore) -> None:
    store.faults.cut = [10, 100]
    with open_slide(slide) as here, open_slide(AT) as there:
        assert same(here, there)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (503, "the store or the network failed"),
        (403, "credentials"),
        ("RequestTimeTooSkewed", "clock"),
        ("ExpiredToken", "ran out"),
        ("InvalidToken", "not valid"),
    ],
)
def test_what_a_store_refuses_is_no_fault_of_the_slide(
    slide: Path,
    store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    wrong: int | str,
    words: str,
) -> None:
    monkeypatch.setenv("WSI_AI_STORE_SECONDS", "0.3")
    with open_slide(AT):
        pass
    shutil.rmtree(slide.parent / "staging")
    store.faults.always = None
    store.faults.refuse = []
    store.faults.always = wrong
    with pytest.raises(TransportError) as caught:
        open_slide(AT)
    assert words in str(caught.value)
    for secret in ("secret-of-the-tests", "key-of-the-tests", "127.0.0.1", "one.tif"):
        assert secret not in str(caught.value)
        assert secret not in caplog.text


def test_what_is_not_there_is_said(slide: Path, store: ObjectStore) -> None:
    with pytest.raises(SlideError, match="no such object") as caught:
        open_slide(Path("s3://slides/a/two.tif"))
    assert not isinstance(caught.value, TransportError)


def test_an_object_that_is_replaced_while_it_is_copied_is_copied_anew(
    tmp_path: Path, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "_RANGE_BYTES", 1 << 16)
    monkeypatch.setattr(staging, "_AT_ONCE", 1)
    old, new = (write_slide(tmp_path / f"{seed}.tif", seed=seed) for seed in (1, 2))
    store.objects["slides/a/one.tif"] = Stored(old.read_bytes())
    store.faults.latency_s = 0.03

    def replace() -> None:
        while store.counted("GET") < 3:
            time.sleep(0.001)
        store.objects["slides/a/one.tif"] = Stored(new.read_bytes())

    other = threading.Thread(target=replace)
    other.start()
    with open_slide(AT) as there, open_slide(new) as here:
        assert there.info.fingerprint == here.info.fingerprint
    other.join()


def test_a_store_that_knows_no_conditions_mixes_no_versions(
    tmp_path: Path, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.faults.ignore_conditions = True
    test_an_object_that_is_replaced_while_it_is_copied_is_copied_anew(tmp_path, store, monkeypatch)


@given(done=st.integers(0, 400_000))
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_copy_that_was_cut_goes_on_where_it_was(
    tmp_path: Path, store: ObjectStore, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    """Whatever was written through before."""
    shutil.rmtree(tmp_path / "staging", ignore_errors=True)
    monkeypatch.setattr(staging, "_RANGE_BYTES", 1 << 14)
    path = write_slide(tmp_path / "one.tif", side=384)
    content = path.read_bytes()
    store.objects["slides/a/one.tif"] = Stored(content)
    with open_slide(AT) as whole:
        fingerprint = whole.info.fingerprint
    (copy,) = copies(tmp_path)
    (copy.parents[1] / "complete.json").unlink()
    done = min(done, len(content))
    copy.write_bytes(content[:done] + b"torn")
    copy.with_name(f".{copy.name}.so-far").write_text(str(done))
    store.requests.clear()
    with open_slide(AT) as again:
        assert again.info.fingerprint == fingerprint
    assert store.counted("GET") == -(-(len(content) - done) // (1 << 14))


def test_a_killed_copy_is_finished_by_the_next_process(slide: Path, store: ObjectStore) -> None:
    store.faults.latency_s = 0.5
    code = (
        "from pathlib import Path; from wsi_ai.slides.registry import open_slide;"
        " open_slide(Path('s3://slides/a/one.tif'))"
    )
    other = subprocess.Popen([sys.executable, "-c", code])
    while store.counted("GET") == 0:
        time.sleep(0.01)
    other.send_signal(signal.SIGKILL)
    other.wait()
    store.faults.latency_s = 0
    with open_slide(slide) as here, open_slide(AT) as there:
        assert same(here, there)


def test_a_copy_whose_bytes_changed_is_made_anew(slide: Path, store: ObjectStore) -> None:
    with open_slide(AT) as there:
        before = there.info.fingerprint
    (copy,) = copies(slide.parent)
    content = bytearray(copy.read_bytes())
    content[-100] ^= 1
    copy.write_bytes(content)
    with open_slide(AT) as again:
        assert again.info.fingerprint == before


def test_copies_used_longest_ago_make_room(
    tmp_path: Path, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 0
    for n in range(3):
        path = write_slide(tmp_path / f"{n}.tif", seed=n)
        size = path.stat().st_size
        store.objects[f"slides/{n}.tif"] = Stored(path.read_bytes())
    monkeypatch.setenv("WSI_AI_STAGING_GB", str(2.5 * size / 1e9))
    for n in (0, 1, 0, 2):
        with open_slide(Path(f"s3://slides/{n}.tif")):
            time.sleep(0.01)
    assert sorted(path.name for path in copies(tmp_path)) == ["0.tif", "2.tif"]


def test_a_copy_that_is_in_use_stays_and_the_next_slide_says_that_there_is_no_room(
    tmp_path: Path, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(2):
        path = write_slide(tmp_path / f"{n}.tif", seed=n)
        store.objects[f"slides/{n}.tif"] = Stored(path.read_bytes())
    monkeypatch.setenv("WSI_AI_STAGING_GB", str(1.5 * path.stat().st_size / 1e9))
    with open_slide(Path("s3://slides/0.tif")) as first:
        with pytest.raises(StagingFull, match="no room"):
            open_slide(Path("s3://slides/1.tif"))
        assert first.read(0, 0, 0, 10, 10).shape == (10, 10, 3)
    with open_slide(Path("s3://slides/1.tif")):
        pass


def test_where_there_is_no_room_a_slide_with_its_own_hash_is_read_where_it_lies(
    tmp_path: Path, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_slide(tmp_path / "one.tif")
    store.put("slides/a/one.tif", path.read_bytes())
    monkeypatch.setenv("WSI_AI_STAGING_GB", "0.000001")
    with open_slide(path) as here, open_slide(AT) as there:
        assert same(here, there)
    assert copies(tmp_path) == []


def test_a_full_disk_is_said(
    slide: Path, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_SPARE_BYTES", 1 << 60)
    with pytest.raises(StagingFull, match="no room"):
        open_slide(AT)


def test_bytes_that_are_not_what_the_object_says_are_refused(
    slide: Path, store: ObjectStore
) -> None:
    store.objects["slides/a/one.tif"] = Stored(slide.read_bytes(), {"sha256": "0" * 64})
    with pytest.raises(TransportError, match="sha256"):
        open_slide(AT)
    assert copies(slide.parent) == []


def test_a_slide_that_was_replaced_since_is_another_one(
    tmp_path: Path, slide: Path, store: ObjectStore
) -> None:
    with open_slide(AT) as before:
        pass
    other = write_slide(tmp_path / "other.tif", seed=5)
    store.objects["slides/a/one.tif"] = Stored(other.read_bytes())
    with open_slide(AT) as after:
        assert after.info.fingerprint != before.info.fingerprint


def test_nobody_else_may_look_at_the_copies(slide: Path, store: ObjectStore) -> None:
    with open_slide(AT):
        pass
    assert os.stat(slide.parent / "staging").st_mode & 0o077 == 0


def test_formats_that_only_openslide_reads_are_copied_too(
    tmp_path: Path, store: ObjectStore
) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (512, 1024, 3), np.uint8)
    write_ndpi(tmp_path / "a.ndpi", [pixels])
    store.objects["slides/a.ndpi"] = Stored((tmp_path / "a.ndpi").read_bytes())
    for reader in (None, "openslide"):
        with (
            open_slide(tmp_path / "a.ndpi", reader=reader) as here,
            open_slide(Path("s3://slides/a.ndpi"), reader=reader) as there,
        ):
            assert same(here, there)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("s3://user:word@slides/a.svs", "no user and password"),
        ("https://h/a.svs?X-Amz-Signature=0", "no user and password"),
        ("http://example.org/a.svs", "use https"),
        ("s3://slides/../x", "no object has such a key"),
        ("s3://slides", "name an object"),
    ],
)
def test_an_address_that_will_not_do_is_refused(store: ObjectStore, place: str, words: str) -> None:
    with pytest.raises(SlideError, match=words):
        open_slide(Path(place))
    assert store.requests == []


def test_a_store_in_plain_http_elsewhere_is_refused(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.example")
    with pytest.raises(TransportError, match="use https"):
        open_slide(AT)


@pytest.mark.parametrize(
    "name", ["a b", "a+b", "a%20b", "S26#1", "what?", "é", "a&b", "a'b", "100%"]
)
def test_a_key_of_any_signs_is_that_object(tmp_path: Path, store: ObjectStore, name: str) -> None:
    """Named, or found below its prefix; and none that is called nearly so."""
    path = write_slide(tmp_path / f"{name}.tif", side=64)
    store.objects[f"slides/in/{name}.tif"] = Stored(path.read_bytes())
    (found,) = find_slides([Path("s3://slides/in")]).slides
    assert found == Path(f"s3://slides/in/{name}.tif")
    with open_slide(path) as here, open_slide(found) as there:
        assert here.info == there.info


def test_a_server_that_gives_no_ranges_is_said(slide: Path, store: ObjectStore) -> None:
    """And is not taken for a file that is no slide."""
    store.faults.ignore_ranges = True
    for at in (AT, Path(f"{store.url}/slides/a/one.tif")):
        with pytest.raises(TransportError, match="ranges of bytes"):
            open_slide(at)


def test_a_chunk_that_the_store_does_not_give_is_not_white(
    tmp_path: Path, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Zarr readers have taken a network that fails for a chunk that was never written."""
    monkeypatch.setenv("WSI_AI_STORE_SECONDS", "0.2")
    write_zarr(tmp_path / "image.ome.zarr")
    for file in (path for path in (tmp_path / "image.ome.zarr").rglob("*") if path.is_file()):
        key = file.relative_to(tmp_path).as_posix()
        store.objects[f"slides/{key}"] = Stored(file.read_bytes())
    whole = dict(store.objects)
    at = Path("s3://slides/image.ome.zarr")
    for asked in (1, 2, 4):
        store.faults.refuse = [None] * asked + [503] * 60
        with pytest.raises(TransportError):
            open_slide(at)
    store.faults.refuse = []
    with open_slide(tmp_path / "image.ome.zarr") as here, open_slide(at) as there:
        assert same(here, there)
    assert store.objects == whole


def test_the_endpoint_of_s3_alone_goes_before_that_of_all(
    slide: Path, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://elsewhere.example")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.url)
    with open_slide(slide) as here, open_slide(AT) as there:
        assert same(here, there)


def test_a_path_that_was_an_address_is_one() -> None:
    assert object_address(Path("s3://b/k/x.svs")) == object_address("s3://b/k/x.svs")


def test_a_slide_behind_http_is_read_as_one_in_a_bucket(slide: Path, store: ObjectStore) -> None:
    with open_slide(slide) as here, open_slide(Path(f"{store.url}/slides/a/one.tif")) as there:
        assert same(here, there)


def test_a_slide_cannot_change_under_who_reads_it_in_ranges(
    tmp_path: Path, store: ObjectStore
) -> None:
    old, new = (write_slide(tmp_path / f"{seed}.tif", seed=seed) for seed in (1, 2))
    store.put("slides/a/one.tif", old.read_bytes())
    with open_slide(AT, reader_io=ReaderIo.RANGES) as slide:
        slide.read(0, 0, 0, 64, 64)
        store.put("slides/a/one.tif", new.read_bytes())
        with pytest.raises(SlideChanged):
            slide.read(0, 400, 400, 64, 64)
