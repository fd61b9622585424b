"""What a user's own module may make; see docs/scaling.md."""

import logging
from typing import Any

from distributed import LocalCluster, Security

from wsi_ai.errors import InputError


def two_workers() -> LocalCluster:
    return LocalCluster(**ROOM, n_workers=2, security=Security.temporary())


def reached_openly() -> LocalCluster:
    """On every address of this machine, without TLS."""
    return LocalCluster(**ROOM, n_workers=0, host="0.0.0.0", protocol="tcp")


def in_this_process() -> LocalCluster:
    """Its workers would share our interpreter."""
    return LocalCluster(**ROOM, n_workers=1, processes=False)


def small() -> LocalCluster:
    """As Dask makes one where nothing is asked for."""
    return LocalCluster(**{**ROOM, "resources": None, "memory_limit": "auto"}, n_workers=1)


def broken() -> LocalCluster:
    raise InputError("the account has no hours left")


ROOM: dict[str, Any] = {
    "threads_per_worker": 2,
    "resources": {"slide": 2},
    "memory_limit": 0,
    "dashboard_address": "127.0.0.1:0",
    "worker_dashboard_address": "127.0.0.1:0",
    "silence_logs": logging.CRITICAL,
}
