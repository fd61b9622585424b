"""The site's key is made once, read by its owner alone, and every seal depends on every byte."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_ai.core.seals import key_path, open_file, seal, sealed_with, site_key
from wsi_ai.errors import OutputError

KEY = bytes(32)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


def test_the_key_is_made_once_and_its_owner_alone_reads_it(home: Path) -> None:
    first = site_key()
    assert site_key() == first
    assert len(first) == 32
    assert stat.S_IMODE(key_path().stat().st_mode) == 0o600
    assert [path.name for path in key_path().parent.iterdir()] == ["results.key"]


def test_processes_that_need_it_at_once_agree_on_one(home: Path) -> None:
    code = "from wsi_ai.core.seals import site_key; print(site_key().hex())"
    words = [sys.executable, "-c", code]
    asked = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert len({process.communicate()[0] for process in asked}) == 1


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604])
def test_a_key_that_others_can_read_is_refused(home: Path, mode: int) -> None:
    site_key()
    key_path().chmod(mode)
    with pytest.raises(OutputError, match="chmod 600"):
        site_key()


@pytest.mark.parametrize("content", [b"", bytes(31), bytes(33)])
def test_a_key_of_another_length_is_refused(home: Path, content: bytes) -> None:
    site_key()
    key_path().write_bytes(content)
    with pytest.raises(OutputError, match="no key of 32 bytes"):
        site_key()


def test_a_link_in_the_place_of_the_key_is_not_followed(home: Path) -> None:
    site_key()
    key_path().rename(home / "elsewhere")
    key_path().symlink_to(home / "elsewhere")
    with pytest.raises(OutputError, match="cannot be had"):
        site_key()


def test_workers_share_a_key_through_the_sites_settings(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = site_key()
    (home / "site.toml").write_text('[results]\nkey = "shared.key"\n')
    monkeypatch.setenv("WSI_AI_SITE", str(home / "site.toml"))
    shared = site_key()
    assert shared != own
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "another"))
    assert site_key() == shared


PARTS = st.lists(st.binary(max_size=8), max_size=4)


@given(PARTS, PARTS, st.sampled_from(["a", "b"]), st.sampled_from(["a", "b"]))
def test_two_seals_are_the_same_exactly_where_all_is(
    one: list[bytes], other: list[bytes], why: str, why_other: str
) -> None:
    same = sealed_with(KEY, why, *one) == sealed_with(KEY, why_other, *other)
    assert same == ((why, one) == (why_other, other))
    assert sealed_with(bytes(31) + b"x", why, *one) != sealed_with(KEY, why, *one)


def test_only_a_file_in_its_own_place_is_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    os.close(open_file(tmp_path / "file", os.O_RDONLY))
    for place in (tmp_path / "link", tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError, match=r"."):
            open_file(place, os.O_RDONLY)
    assert seal("x") == seal("x")
