"""What ``--cluster`` names.  Dask's tasks are pickles: whoever reaches a scheduler's port, or
listens on the way to it, runs code here and there; so a way out of this machine is encrypted."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from wsi_ai.errors import InputError

MOST_WORKERS = 256
_FORMS = "tls://HOST:PORT, local:N or MODULE:FACTORY"


@dataclass(frozen=True, slots=True)
class LocalWorkers:
    """So many worker processes on this machine, as long as the run lasts."""

    workers: int


@dataclass(frozen=True, slots=True)
class Scheduler:
    """A cluster that is there already."""

    url: str
    encrypted: bool


@dataclass(frozen=True, slots=True)
class Factory:
    """A function of the user's that makes a cluster, of SLURM or Kubernetes for example."""

    module: str
    function: str


ClusterAddress = LocalWorkers | Scheduler | Factory


def cluster_address(text: str) -> ClusterAddress:
    """Raises InputError, also where the way to the scheduler would not be encrypted."""
    if "://" in text:
        refuse_open(text)
        return Scheduler(text, encrypted=text.startswith("tls://"))
    if counted := re.fullmatch(r"local:([0-9]{1,4})", text):
        if not 1 <= int(counted[1]) <= MOST_WORKERS:
            raise InputError(f"--cluster {text}: 1 to {MOST_WORKERS} workers")
        return LocalWorkers(int(counted[1]))
    if named := re.fullmatch(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)", text):
        return Factory(named[1], named[2])
    raise InputError(f"--cluster {text}: it is {_FORMS}")


def refuse_open(url: str) -> None:
    """Raises InputError for an address that leaves this machine unencrypted."""
    try:
        parts = urlsplit(url)
        complete = parts.hostname is not None and parts.port is not None
    except ValueError:
        complete = False
    if not complete or parts.scheme not in ("tls", "tcp"):
        raise InputError(f"--cluster {url}: it is {_FORMS}")
    if parts.scheme == "tcp" and not _is_loopback(parts):
        raise InputError(
            f"--cluster {url}: without TLS, whoever reaches this port or listens on the way can run"
            " programs on every machine of the cluster; start scheduler and workers with"
            " certificates and name it tls://…: see docs/scaling.md"
        )


def _is_loopback(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
