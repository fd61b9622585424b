"""Files hashed by a thread of their own while they are read."""

import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.slides.test_dicom import series
from wsi_ai.errors import ShareTooSlow, SlideChanged, SlideError
from wsi_ai.slides.readers.fingerprint import FileState, Hashed, already_hashed, hashed, state_of
from wsi_ai.slides.readers.hashing import HashedBeside, hashed_beside, hashes_of
from wsi_ai.slides.registry import open_slide

MIB = 1 << 20


@dataclass
class Gate:
    """A limit at which the thread waits after each mebibyte, until it is let through."""

    go: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None

    def check(self) -> None:
        self.reached.set()
        assert self.go.wait(30)
        if self.error is not None:
            raise self.error


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "s.bin"
    path.write_bytes(os.urandom(3 * MIB))
    return path


def states(*paths: Path) -> Mapping[Path, FileState]:
    return {path: state_of(path.stat()) for path in paths}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_who_asks_waits_and_gets_the_digest_of_all_bytes(path: Path) -> None:
    gate = Gate()
    hashes = HashedBeside(states(path), gate)
    assert gate.reached.wait(30)
    assert not hashes.is_known
    threading.Timer(0.1, gate.go.set).start()
    assert hashes.whole() == sha256(path)
    assert hashes.is_known
    assert hashes.of(path) == hashed(path)
    assert not hashes.touched()
    hashes.close()
    assert hashes.whole() == sha256(path)


def _spoil_the_end(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _set_rights(path: Path) -> None:
    path.chmod(0o400)


def _exchange(path: Path) -> None:
    other = path.with_suffix(".other")
    other.write_bytes(path.read_bytes()[::-1])
    other.replace(path)


@pytest.mark.parametrize("change", [_spoil_the_end, _grow])
def test_a_file_that_changes_while_it_is_hashed_has_no_digest(
    path: Path, change: Callable[[Path], None]
) -> None:
    """Tiles may have been read of the bytes before, which the digest is not of."""
    gate = Gate()
    hashes = HashedBeside(states(path), gate)
    assert gate.reached.wait(30)
    change(path)
    gate.go.set()
    with pytest.raises(SlideChanged, match="changed while it was read; run it again"):
        hashes.whole()
    hashes.close()


@pytest.mark.parametrize("change", [_set_rights, _exchange])
def test_a_change_that_may_be_one_of_the_content_shows(
    path: Path, change: Callable[[Path], None]
) -> None:
    gate, expected = Gate(), sha256(path)
    hashes = HashedBeside(states(path), gate)
    assert gate.reached.wait(30)
    change(path)
    gate.go.set()
    assert hashes.touched()
    assert hashes.whole() == expected
    hashes.close()


def test_so_does_one_whose_time_was_set_back(path: Path) -> None:
    gate = Gate()
    hashes = HashedBeside(states(path), gate)
    assert gate.reached.wait(30)
    before = path.stat()
    _spoil_the_end(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    gate.go.set()
    assert hashes.touched()
    hashes.close()


def test_a_file_that_changed_before_it_is_hashed_has_no_digest(path: Path) -> None:
    """Another one of the slide's was hashed first."""
    other = path.with_name("other.bin")
    shutil.copy(path, other)
    gate = Gate()
    hashes = HashedBeside(states(path, other), gate)
    assert gate.reached.wait(30)
    _spoil_the_end(other)
    gate.go.set()
    with pytest.raises(SlideChanged):
        hashes.parts()
    hashes.close()


def test_at_once_the_same_holds(path: Path) -> None:
    before = states(path)
    _spoil_the_end(path)
    with pytest.raises(SlideChanged):
        hashes_of(before)


def test_an_error_of_the_disk_or_of_its_limit_reaches_everyone_who_asks(path: Path) -> None:
    gate = Gate(error=ShareTooSlow("the share took too long"))
    gate.go.set()
    hashes = HashedBeside(states(path), gate)
    for _ in range(2):
        with pytest.raises(ShareTooSlow, match="took too long"):
            hashes.whole()
    before = states(path)
    path.unlink()
    with pytest.raises(SlideError, match="there is no such file"):
        HashedBeside(before, gate).whole()


def test_a_slide_that_is_left_is_not_hashed_on(path: Path) -> None:
    gate = Gate()
    hashes = HashedBeside(states(path), gate)
    assert gate.reached.wait(30)
    closing = threading.Thread(target=hashes.close)
    closing.start()
    gate.go.set()
    closing.join(30)
    assert not closing.is_alive()
    with pytest.raises(SlideError, match="left before its bytes were hashed"):
        hashes.whole()


def test_what_is_small_or_was_hashed_before_is_known_at_once(path: Path) -> None:
    known = hashed(path)
    assert hashes_of(states(path)).digest == known.sha256
    with hashed_beside(3 * MIB + 1):
        assert hashes_of(states(path)).digest == known.sha256
    with hashed_beside(0), already_hashed({path: Hashed("beef" * 16, known.state)}):
        assert hashes_of(states(path)).digest == "beef" * 16
    with hashed_beside(3 * MIB):
        hashes = hashes_of(states(path))
        assert isinstance(hashes, HashedBeside)
        assert hashes.whole() == known.sha256
        hashes.close()


@pytest.mark.parametrize("reader", ["tiff", "openslide"])
def test_a_slide_is_the_same_whenever_it_is_hashed(cmu: Path, reader: str) -> None:
    with open_slide(cmu, None, reader) as first:
        pass
    with hashed_beside(0), open_slide(cmu, None, reader) as later:
        assert not isinstance(later.info.digest, str)
        assert later.info.fingerprint == first.info.fingerprint == sha256(cmu)
        assert later.info.is_hashed


def test_so_is_one_of_several_files(shared_data: Path, tmp_path: Path) -> None:
    half: dict[str, object] = {"TotalPixelMatrixColumns": 478, "TotalPixelMatrixRows": 357}
    half |= {"NumberOfFrames": 4}
    folder = series(tmp_path, shared_data / "dicom" / "wsi2dcm" / "raw.dcm", [{}, half])
    with open_slide(folder, None, "dicom") as first:
        assert len(first.info.parts) == 2
    with hashed_beside(0), open_slide(folder, None, "dicom") as later:
        assert later.info.parts == first.info.parts
        assert later.info.fingerprint == first.info.fingerprint
