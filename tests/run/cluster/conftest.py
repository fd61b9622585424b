"""One ``local:2`` for all tests of this folder."""

from collections.abc import Iterator

import pytest

from wsi_ai.run.cluster.connecting import connected

LOCAL = "local:2"


@pytest.fixture(scope="package")
def local_cluster() -> Iterator[str]:
    """Who names the same cluster at the same time has the same one."""
    with connected(LOCAL):
        yield LOCAL
