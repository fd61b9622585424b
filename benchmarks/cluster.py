"""What a cluster costs, and what a second worker gives; prints a line of JSON each.

python benchmarks/cluster.py overhead --slides 2000
python benchmarks/cluster.py scaling --model models/demo-tumour SLIDES...

``scaling`` compares one worker with two, each with one thread and one processor.  On a machine that
others use, too, the clock says little; so it also says what the processors' time allows: twice the
seconds that a slide costs one worker, by those that it costs each of two.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from wsi_ai.app import NoWatcher, RunOptions, run_slides
from wsi_ai.run.assembly import Assembly
from wsi_ai.run.cluster.cluster import ClusterRun
from wsi_ai.run.cluster.connecting import connected
from wsi_ai.run.cluster.roster import Roster
from wsi_ai.run.flags_for import flags_for
from wsi_ai.run.no_ops import NoPost
from wsi_ai.slides.identity import Cases


def overhead(slides: int) -> None:
    """Of slides that nothing is done with: by no model."""
    paths = [Path(f"slide-{number}.svs") for number in range(slides)]
    with tempfile.TemporaryDirectory() as out, connected("local:2") as session:
        nothing = Assembly(flags_for(None, Cases(), Path(out)), None, RunOptions(device="cpu"))
        began, busy = time.perf_counter(), time.process_time()
        run = ClusterRun(session, nothing, NoPost(), paths, Roster(NoWatcher()))
        assert list(run.outcomes()) == []
        wall, busy = time.perf_counter() - began, time.process_time() - busy
    found = {"ms_a_slide": 1e3 * wall / slides, "processor_ms_a_slide": 1e3 * busy / slides}
    _print({"benchmark": "cluster overhead", "slides": slides, **found})


def scaling(slides: Sequence[Path], model: Path, times: int) -> None:
    walls, busies = list[float](), list[float]()
    for _ in range(times):
        one, two = _of(slides, model, 1), _of(slides, model, 2)
        walls.append(one[0] / two[0])
        busies.append(2 * one[1] / two[1])
    _print({
        "benchmark": "cluster scaling", "slides": len(slides), "times": times,
        "two_by_one_wall": [round(ratio, 2) for ratio in walls],
        "two_by_one_wall_median": statistics.median(walls),
        "two_by_one_by_processor_time": [round(ratio, 2) for ratio in busies],
        "two_by_one_by_processor_time_median": statistics.median(busies),
        "load": os.getloadavg()[0],
    })  # fmt: skip


def _of(slides: Sequence[Path], model: Path, workers: int) -> tuple[float, float]:
    """Seconds by the clock, and of the workers' processors, with the runtimes open before."""
    name = f"local:{workers}"
    options = RunOptions(cluster=name, device="cpu", threads=1, force=True)
    with tempfile.TemporaryDirectory() as out, connected(name) as session:
        pids = session.client.run(os.getpid)
        for number, pid in enumerate(pids.values()):
            processors = sorted(os.sched_getaffinity(0))
            for thread in psutil.Process(pid).threads():
                os.sched_setaffinity(thread.id, {processors[number % len(processors)]})
        list(run_slides(slides[:workers], model, Path(out), options))
        before, began = _busy_s(pids.values()), time.perf_counter()
        list(run_slides(slides, model, Path(out), options))
        return time.perf_counter() - began, _busy_s(pids.values()) - before


def _busy_s(pids: Sequence[int]) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(one.user + one.system for one in times)


def _print(found: dict[str, object]) -> None:
    rounded = {k: round(v, 2) if isinstance(v, float) else v for k, v in found.items()}
    print(json.dumps(rounded), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(required=True, dest="kind")
    first = kinds.add_parser("overhead")
    first.add_argument("--slides", type=int, default=2000)
    second = kinds.add_parser("scaling")
    second.add_argument("--model", type=Path, required=True)
    second.add_argument("--times", type=int, default=3)
    second.add_argument("slides", type=Path, nargs="+")
    given = parser.parse_args()
    if given.kind == "overhead":
        overhead(given.slides)
    else:
        scaling(given.slides, given.model, given.times)


if __name__ == "__main__":
    main()
