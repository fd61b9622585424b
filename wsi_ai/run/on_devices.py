"""Slides through a run's devices: one in this process, a process for each of several, or a
cluster's workers."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from wsi_ai.core.contracts import Post, Watcher
from wsi_ai.core.plugins import needs_extra
from wsi_ai.errors import InputError
from wsi_ai.inference.registry import devices_asked
from wsi_ai.run.assembly import Assembly
from wsi_ai.run.options import RunOptions
from wsi_ai.run.outcome import Out
from wsi_ai.run.run_record import RunLog
from wsi_ai.run.several_models import SlideTask
from wsi_ai.run.stages import through_stages


def recorded(log: RunLog, outcomes: Iterable[Out]) -> Iterator[Out]:
    """The same; and the run's record at their end, or where the caller gives up."""
    complete = False
    try:
        for outcome in outcomes:
            log.outcomes.append(outcome)
            yield outcome
        complete = True
    finally:
        log.write(complete=complete)


def devices_of(options: RunOptions) -> list[str]:
    """Of this machine, by name; or the cluster.  Raises InputError."""
    if not options.cluster:
        return devices_asked(options.device)
    if "," in options.device:
        raise InputError(
            f"--device {options.device}: of a cluster, each worker has one device; start a worker"
            " for each"
        )
    return [options.cluster]


def on_devices(
    assembly: Assembly[Out],
    devices: Sequence[str],
    slides: Sequence[Path],
    watch: Watcher,
    post: Post,
) -> Iterator[Out]:
    """An outcome for each slide and model.  Raises ModelError or DeviceError before any slide."""
    if assembly.options.cluster:
        yield from _on_cluster(assembly, slides, watch, post)
        return
    if len(devices) > 1:
        from wsi_ai.run.fleet.fleet import Fleet

        yield from Fleet(assembly, devices, watch, post).outcomes(slides)
        return
    work, refused = assembly.on(devices[0]).work(watch, post)
    for _, error in refused:
        raise error
    stages = work.prepare, work.infer, work.publish
    tasks = (work.begin(slide) for slide in slides)
    for task in through_stages(tasks, stages, work.stop, SlideTask.is_over, SlideTask.passes):
        yield from task.outcomes


def _on_cluster(
    assembly: Assembly[Out], slides: Sequence[Path], watch: Watcher, post: Post
) -> Iterator[Out]:
    with needs_extra("cluster", InputError):
        from wsi_ai.run.cluster.cluster import ClusterRun
        from wsi_ai.run.cluster.connecting import connected
        from wsi_ai.run.cluster.roster import Roster
    with connected(assembly.options.cluster) as session:
        yield from ClusterRun(session, assembly, post, slides, Roster(watch)).outcomes()
