"""Where a user's files go, and the processors that the process may use."""

import os
from pathlib import Path

import pytest

from wsi_ai.core.environment import cache_folder, data_folder, threads


def test_what_can_be_made_again_goes_where_the_user_keeps_caches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert cache_folder() == tmp_path / "cache" / "wsi-ai"
    assert data_folder() == tmp_path / "data" / "wsi-ai"


@pytest.mark.parametrize("share", [1, 2, 1000])
def test_processors_are_divided_and_none_is_left_without(share: int) -> None:
    assert threads(share) == max(1, len(os.sched_getaffinity(0)) // share)
