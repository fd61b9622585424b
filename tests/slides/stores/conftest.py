"""A store of objects on loopback, and the environment that points to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from wsi_ai.testing import ObjectStore, object_store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    with object_store() as running:
        for name, value in environment(running.url, tmp_path / "staging").items():
            monkeypatch.setenv(name, value)
        yield running


def environment(url: str, staging: Path) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "key-of-the-tests",
        "AWS_SECRET_ACCESS_KEY": "secret-of-the-tests",
        "AWS_REGION": "eu-west-2",
        "WSI_AI_STAGING": str(staging),
        "WSI_AI_STORE_SECONDS": "20",
    }
