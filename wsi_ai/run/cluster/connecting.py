"""Opens a cluster by what ``--cluster`` names, once for all who use it at the same time."""

import contextlib
import importlib
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster, Security

from wsi_ai.core.attempt import error_of
from wsi_ai.errors import DeviceError, InputError
from wsi_ai.run.cluster.address import (
    Factory,
    LocalWorkers,
    Scheduler,
    cluster_address,
    refuse_open,
)
from wsi_ai.run.cluster.session import Session
from wsi_ai.run.cluster.settings import AT_HAND, PRELOAD, SLIDES, quieten, refuse_lossy, with_ours

log = logging.getLogger(__name__)
_CONNECT_S = 30.0
_HERE_ONLY = "127.0.0.1:0"
_CERTIFICATES = (
    "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, …__CLIENT__CERT and …__CLIENT__KEY name the files (PEM)"
)


@dataclass(slots=True)
class _Open:
    session: Session
    users: int = 0


_LOCK = threading.Lock()
_OPEN: dict[str, _Open] = {}


@contextmanager
def connected(text: str) -> Iterator[Session]:
    """The cluster that ``--cluster`` names.  The last one who uses it closes it.

    Raises InputError where it is named, secured or set up wrongly, DeviceError where it does not
    answer.
    """
    with _LOCK:
        one = _OPEN.get(text)
        if one is None or not one.session.is_alive:
            one = _OPEN[text] = _Open(_session(text))
        one.users += 1
    try:
        yield one.session
    finally:
        with _LOCK:
            one.users -= 1
            if not one.users:
                if _OPEN.get(text) is one:
                    del _OPEN[text]
                one.session.end()


def _session(text: str) -> Session:
    quieten()
    match cluster_address(text):
        case LocalWorkers(workers):
            session = _of_cluster(lambda: _local(workers))
        case Scheduler(url, encrypted):
            session = _of_scheduler(url, encrypted)
        case Factory(module, function):
            session = _of_cluster(_factory(module, function))
    try:
        refuse_lossy(session.client)
        session.begin()
    except (InputError, DeviceError):
        session.end()
        raise
    return session


def _of_scheduler(url: str, encrypted: bool) -> Session:  # noqa: FBT001
    security = Security(require_encryption=True) if encrypted else None
    clients: list[Client] = []

    def connect() -> None:
        clients.append(Client(url, timeout=_CONNECT_S, security=security, set_as_default=False))

    match error_of(connect):
        case None:
            return Session(clients[0], clients[0].close)
        case FileNotFoundError() | TypeError():
            raise InputError(f"--cluster {url}: no certificates: {_CERTIFICATES}")
        case OSError() | TimeoutError():
            raise DeviceError(f"--cluster {url} does not answer, or refuses our certificate")
        case error:
            log.debug("no connection", exc_info=error)
            raise InputError(f"--cluster {url}: the certificates cannot be used: {_CERTIFICATES}")


def _of_cluster(make: Any) -> Session:
    """Of a cluster that is made here, and ends with the run."""
    clusters: list[Any] = []
    with with_ours():
        if error := error_of(lambda: clusters.append(make())):
            log.debug("no cluster", exc_info=error)
            if isinstance(error, InputError):
                raise error
            raise DeviceError(f"the cluster cannot be made: {_words(error)}")
        (cluster,) = clusters
        with contextlib.ExitStack() as if_refused:
            if_refused.callback(cluster.close)
            refuse_open(cluster.scheduler_address)
            client = Client(
                cluster, timeout=_CONNECT_S, security=cluster.security, set_as_default=False
            )
            if_refused.pop_all()

    def close() -> None:
        client.close()
        cluster.close()

    return Session(client, close)


def _local(workers: int) -> LocalCluster:
    """Encrypted, by certificates that exist in memory only: else any user of this machine could run
    programs as us."""
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=AT_HAND,
        processes=True,
        resources={SLIDES: AT_HAND},
        memory_limit=0,
        security=True,
        preload=[PRELOAD],
        dashboard_address=_HERE_ONLY,
        worker_dashboard_address=_HERE_ONLY,
        silence_logs=logging.CRITICAL,
    )


def _factory(module: str, function: str) -> Any:
    """From what is installed, or lies in the folder that the command is given in."""
    with contextlib.ExitStack() as here:
        sys.path.insert(0, str(Path.cwd()))
        here.callback(sys.path.remove, str(Path.cwd()))
        try:
            return getattr(importlib.import_module(module), function)
        except ModuleNotFoundError as error:
            raise InputError(f"--cluster {module}:{function}: there is no {error.name}") from None
        except AttributeError:
            raise InputError(f"--cluster {module}:{function}: it has no {function}") from None


def _words(error: Exception) -> str:
    """Of what a library or the user's function has to say, the first line."""
    return (str(error).strip().splitlines() or ["no reason was given"])[0]
