"""How a cluster has to be set up so that it loses no slide."""

import logging
from collections.abc import Mapping
from typing import Any

import dask
from distributed import Client

from wsi_ai.errors import InputError
from wsi_ai.run.cluster.address import refuse_open

SLIDES = "slide"
"""The resource of which a worker has as many as it may have slides at hand."""
AT_HAND = 2
"""Of a worker: while one is inferred, the next one is opened."""
LONGEST_TTL_S = 300.0
PRELOAD = f"{__package__}.worker"
"""Loaded before a worker is taken for one: else it does that while its heart should beat, and on a
busy machine is taken for frozen."""

OURS: Mapping[str, Any] = {
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.allowed-failures": 2,
    "distributed.scheduler.worker-ttl": "60s",
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}
"""Of the clusters that are made here.  What becomes of a slide whose worker ends is decided by the
run, so ``allowed-failures`` may be any number elsewhere."""

_START = (
    f'dask worker … --nworkers 1 --nthreads {AT_HAND} --resources "{SLIDES}={AT_HAND}"'
    f" --memory-limit 0 --preload {PRELOAD}"
)


def refuse_lossy(client: Client) -> None:
    """Raises InputError where the scheduler's settings would lose work, and says which and how to
    set them."""
    found = client.run_on_scheduler(
        lambda dask_scheduler: {
            "stealing": "stealing" in dask_scheduler.extensions,
            "ttl": dask_scheduler.worker_ttl,
            "address": dask_scheduler.address,
        }
    )
    refuse_open(found["address"])
    if found["stealing"]:
        raise InputError(
            "the cluster moves slides from worker to worker, so that one is run twice; start its"
            " scheduler with DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING=False"
        )
    if not found["ttl"] or found["ttl"] > LONGEST_TTL_S:
        raise InputError(
            "the cluster would wait for a frozen worker for more than five minutes; start its"
            " scheduler with DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL=60s"
        )


def complaint_of(address: str, worker: Mapping[str, Any]) -> str:
    """Why slides are not given to this worker, by what the scheduler knows of it; empty where they
    are."""
    try:
        refuse_open(address)
    except InputError as error:
        return str(error)
    if worker["memory_limit"]:
        return (
            "a worker would be killed for the memory that it takes, with its slide; start it with"
            f" {_START}"
        )
    if worker["resources"].get(SLIDES) != AT_HAND or worker["nthreads"] < AT_HAND:
        return f"a worker has no room for two slides; start it with {_START}"
    return ""


def quieten() -> None:
    """Dask's log is for who looks for a mistake: it names tasks and addresses, and the run itself
    tells of each worker that ends."""
    if logging.getLogger().isEnabledFor(logging.DEBUG):
        return
    for name in ("distributed", *logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)


def with_ours() -> dask.config.set:
    """A context in which clusters are made with our settings."""
    return dask.config.set(dict(OURS))
