"""Slides on a cluster of which something is killed.  What came of it, as a table:

python -m tests.run.cluster.kills --times 10
"""

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.run.cluster.dask_processes import ROOT, SAFE, Processes, certificates, dask_processes
from tests.stand_in_runs import (
    EndsAfter,
    EndsAnother,
    EndsOnce,
    Failed,
    FreezesOnce,
    assembly,
    write_slide,
)
from wsi_ai.app import NoWatcher
from wsi_ai.core.contracts import Post
from wsi_ai.delivery.outbox import Outbox
from wsi_ai.delivery.posting import Posting, open_posting
from wsi_ai.errors import DeviceError
from wsi_ai.run.no_ops import NoPost
from wsi_ai.run.on_devices import on_devices
from wsi_ai.run.outcome import Outcome

NAMES = "once", "b", "c", "d"
_REVISIONS = 2
"""Early, and in the end: as of a run that nothing happens to."""


@dataclass(frozen=True, slots=True)
class Came:
    """Of four slides, one of which met with something."""

    outcomes: list[Outcome]
    revisions: dict[str, int]
    """Of each slide's flag in the outbox, by slide."""
    resumed: int
    """Tiles of the slide ``once`` that were kept from before."""
    folders: int
    left: list[str]
    """What lies beside the results and should not; a journal whose slide is done is taken away by
    the next slide that is inferred there."""
    seconds: float

    @property
    def is_whole(self) -> bool:
        """One outcome, one folder and one revision for each slide, and nothing left."""
        names = sorted(outcome.slide.stem for outcome in self.outcomes)
        levels = {outcome.level.value for outcome in self.outcomes}
        once = self.revisions == dict.fromkeys(NAMES, _REVISIONS)
        each = names == sorted(NAMES) and levels == {"expedite"}
        return each and once and self.folders == len(NAMES) and not self.left


def slides_in(folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    return [write_slide(folder / f"{name}.tif", seed=i) for i, name in enumerate(NAMES)]


def run_on(
    cluster: str, folder: Path, kind: type[Failed], post: Post | None = None
) -> Iterator[Outcome]:
    """Results go to ``folder``/out."""
    one = assembly(folder / "out", kind)
    one = replace(one, options=replace(one.options, cluster=cluster))
    slides = slides_in(folder / "in")
    return on_devices(one, [cluster], slides, NoWatcher(), post or NoPost())


@contextmanager
def posting_in(folder: Path) -> Iterator[Posting]:
    place = folder / "arrived"
    place.mkdir(parents=True, exist_ok=True)
    with open_posting([f"RXX=file://{place}"], str(folder / "outbox.db")) as posting:
        yield posting


def came_of(folder: Path, outcomes: list[Outcome], posting: Posting, began: float) -> Came:
    out = folder / "out"
    records = {path.parts[-3].rpartition("-")[0]: path for path in out.glob("*/*/run.json")}
    resumed = (
        json.loads(records["once"].read_text())["tiles"]["resumed"] if "once" in records else -1
    )
    left = [path.name for path in out.glob("*/.*") if path.suffix not in (".lock", ".kept")]
    return Came(
        outcomes=outcomes,
        revisions=revisions(posting.relay.outbox),
        resumed=resumed,
        folders=len(list(out.glob("*/*/flag.json"))),
        left=left,
        seconds=time.monotonic() - began,
    )


def revisions(outbox: Outbox) -> dict[str, int]:
    found: dict[str, int] = {}
    for flag in outbox.flags():
        name = flag["slide"]["slide_id"]["value"]
        found[name] = max(found.get(name, 0), flag["revision"])
    return found


def worker_killed(cluster: str, folder: Path, kind: type[Failed]) -> Came:
    began = time.monotonic()
    with posting_in(folder) as posting:
        return came_of(folder, list(run_on(cluster, folder, kind, posting)), posting, began)


def scheduler_killed(processes: Processes, again: str, folder: Path) -> Came:
    """The run ends; the same one goes on with another cluster."""
    began = time.monotonic()
    (folder / "out").mkdir(parents=True)
    (folder / "out" / "victim").write_text(str(processes.scheduler.pid))
    outcomes = list[Outcome]()
    with posting_in(folder) as posting:
        try:
            outcomes += run_on(processes.url, folder, EndsAnother, posting)
            raise AssertionError("the run outlived its scheduler")
        except DeviceError:
            pass
        outcomes = list(run_on(again, folder, EndsAnother, posting))
        return came_of(folder, outcomes, posting, began)


def client_killed(url: str, certified: Path, folder: Path) -> Came:
    """Its workers stop; the same one goes on."""
    began = time.monotonic()
    (folder / "out").mkdir(parents=True)
    words = [sys.executable, "-m", "tests.run.cluster.kills", "--client", url]
    words += [str(certified), str(folder)]
    client = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.DEVNULL)
    (folder / "out" / "victim").write_text(str(client.pid))
    if client.wait(120) != -9:
        raise AssertionError("the run was not killed")
    with posting_in(folder) as posting:
        outcomes = list(run_on(url, folder, EndsAnother, posting))
        return came_of(folder, outcomes, posting, began)


def _be_client(url: str, certified: Path, folder: Path) -> None:
    with certificates(certified), posting_in(folder) as posting:
        list(run_on(url, folder, EndsAnother, posting))


def _kinds(folder: Path) -> Mapping[str, Callable[[Path, Processes], Came]]:
    return {
        "nothing": lambda at, up: worker_killed(up.url, at, Failed),
        "worker killed in a slide": lambda at, up: worker_killed(up.url, at, EndsOnce),
        "worker killed after its slide": lambda at, up: worker_killed(up.url, at, EndsAfter),
        "worker frozen in a slide": lambda at, up: worker_killed(up.url, at, FreezesOnce),
        "run killed in a slide": lambda at, up: client_killed(up.url, up.folder, at),
    }


def main(times: int) -> None:
    print(f"{'what happens':32} whole  resumed (tiles of 64)  seconds", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with dask_processes(folder / "cluster", settings=SAFE) as up, certificates(up.folder):
            for number, (what, kind) in enumerate(_kinds(folder).items()):
                _print(what, [kind(folder / f"{number}-{n}", up) for n in range(times)])
            cames = []
            for n in range(times):
                with (
                    dask_processes(folder / f"cluster-{n}", settings=SAFE) as other,
                    certificates(other.folder),
                ):
                    at = folder / f"s-{n}"
                    cames.append(_scheduler(other, up, at))
            _print("scheduler killed in a slide", cames)


def _scheduler(other: Processes, up: Processes, at: Path) -> Came:
    """``again`` has certificates of its own: local:2 makes them."""
    return scheduler_killed(other, "local:2", at)


def _print(what: str, cames: list[Any]) -> None:
    whole = sum(came.is_whole for came in cames)
    resumed = " ".join(str(came.resumed) for came in cames)
    seconds = sorted(came.seconds for came in cames)
    print(
        f"{what:32} {whole}/{len(cames)}  {resumed}  {seconds[0]:.1f} to {seconds[-1]:.1f}",
        flush=True,
    )
    for came in cames:
        if not came.is_whole:
            for one in came.outcomes:
                print("   ", one.slide.stem, one.level.value, one.reason, one.fresh, one.judged)
            print("   ", came.revisions, came.folders, came.left, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--client", nargs=3)
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if given.client:
        _be_client(given.client[0], Path(given.client[1]), Path(given.client[2]))
    else:
        main(given.times)
