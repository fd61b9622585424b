"""Files are whole or not there, and a lock is one process's."""

import os
import threading
from pathlib import Path

import pytest

from wsi_ai.core.files import in_turn, lock_at_once, locked, write_private, write_whole


def test_a_write_that_fails_leaves_what_was_there_and_nothing_beside_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "record.json"
    write_whole(path, b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_whole(path, b"new and longer")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


def test_a_file_that_is_written_again_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_whole(path, b"one")
    path.chmod(0o600)
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_is_private_is_read_by_its_owner_alone_whoever_might_before(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"before")
    path.chmod(0o644)
    write_private(path, b"after")
    assert path.read_bytes() == b"after"
    assert path.stat().st_mode & 0o777 == 0o600
    write_whole(path, b"again")
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_that_is_held_is_refused_at_once_and_given_after(tmp_path: Path) -> None:
    first = lock_at_once(tmp_path / "lock")
    with pytest.raises(BlockingIOError):
        lock_at_once(tmp_path / "lock")
    os.close(first)
    os.close(lock_at_once(tmp_path / "lock"))
    with (tmp_path / "waits").open("wb") as file, locked(file), pytest.raises(BlockingIOError):
        lock_at_once(tmp_path / "waits")


def test_those_who_take_turns_are_never_two_and_leave_nothing(tmp_path: Path) -> None:
    inside, most = list[int](), list[int]()

    def take_turns(number: int) -> None:
        for _ in range(25):
            with in_turn(tmp_path / ".lock"):
                inside.append(number)
                most.append(len(inside))
                inside.remove(number)

    threads = [threading.Thread(target=take_turns, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 150
    assert not list(tmp_path.iterdir())
