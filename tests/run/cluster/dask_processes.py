"""A Dask cluster of processes of its own, as a site starts it: a scheduler, and workers with
nannies, encrypted by certificates of a CA made here."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import dask

from tests.delivery.certificates import write_certificates
from tests.delivery.servers import until
from wsi_ai.run.cluster.settings import PRELOAD

ROOT = Path(__file__).parents[3]
QUICK = {
    "DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING": "False",
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "10s",
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
    "DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES": "[]",
    "DASK_DISTRIBUTED__WORKER__HTTP__ROUTES": "[]",
}
"""A frozen worker is noticed after ten to twenty seconds."""
SAFE = {**QUICK, "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "20s"}
"""On a machine that is so busy that a worker may not be heard of for some seconds."""
ROOM = ("--nthreads", "2", "--resources", "slide=2", "--memory-limit", "0",
        "--preload", PRELOAD)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Processes:
    """What runs."""

    folder: Path
    scheduler: subprocess.Popen[bytes]
    url: str


@contextmanager
def dask_processes(
    folder: Path,
    workers: int = 2,
    settings: Mapping[str, str] = QUICK,
    room: tuple[str, ...] = ROOM,
) -> Iterator[Processes]:
    """A cluster as long as the block runs."""
    folder.mkdir(exist_ok=True)
    write_certificates(folder)
    place = folder / "scheduler.json"
    words = "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(place)
    started = [_start(folder, settings, "scheduler", *words, *_tls(folder, "server"))]
    try:
        until(place.exists, 60)
        for number in range(workers):
            words = "--scheduler-file", str(place), "--name", str(number), *_tls(folder, "client")
            started.append(
                _start(folder, settings, "worker", *words, *room, *_tls(folder, "client"))
            )
        yield Processes(folder, started[0], json.loads(place.read_text())["address"])
    finally:
        for process in reversed(started):
            _end(process)


@contextmanager
def certificates(folder: Path, who: str = "client", ca: str = "ca") -> Iterator[None]:
    """As the variables that docs/scaling.md names set them."""
    with dask.config.set({
        "distributed.comm.tls.ca-file": str(folder / f"{ca}.pem"),
        "distributed.comm.tls.client.cert": str(folder / f"{who}.pem"),
        "distributed.comm.tls.client.key": str(folder / f"{who}.key"),
    }):  # fmt: skip
        yield


def _tls(folder: Path, who: str) -> list[str]:
    ca, cert, key = folder / "ca.pem", folder / f"{who}.pem", folder / f"{who}.key"
    return ["--tls-ca-file", str(ca), "--tls-cert", str(cert), "--tls-key", str(key)]


def _start(folder: Path, settings: Mapping[str, str], *words: str) -> subprocess.Popen[bytes]:
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *words, "--no-dashboard"],
            cwd=ROOT,
            env={**os.environ, **settings, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """With what it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
