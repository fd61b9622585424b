"""``wsi-ai work``."""

import logging
import platform
import signal
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from wsi_ai.app import RunOptions, make_folder
from wsi_ai.cli.output import Exit, exit_on_error, log_to, say
from wsi_ai.cli.service_arguments import WorkArguments
from wsi_ai.core.logs import LogSettings
from wsi_ai.core.plugins import needs_extra
from wsi_ai.core.software import software
from wsi_ai.delivery.posting import open_posting
from wsi_ai.errors import InputError
from wsi_ai.results.published import results_place
from wsi_ai.run.process import prepare_process
from wsi_ai.service.local_lines import LocalLines
from wsi_ai.service.local_runs import LocalRuns
from wsi_ai.service.opening import open_queue
from wsi_ai.service.sectra.fetch import PacsFetch
from wsi_ai.service.sectra.image_info import address_of
from wsi_ai.service.work import Worker, run_side_by_side
from wsi_ai.service.workers import Station


@exit_on_error
def run(database: str, send: Sequence[str], out: Path, arguments: WorkArguments) -> int:
    """Until SIGTERM or SIGINT; the jobs at hand go back to the queue."""
    prepare_process()
    log_to(LogSettings(logging.WARNING))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    place = results_place(out)
    make_folder(place.folder)
    options = RunOptions(
        published=place.published,
        device=arguments.device,
        cluster=arguments.cluster,
        policy=arguments.policy,
        mpp=arguments.mpp,
        trusted_keys=arguments.trusted_keys,
    )
    with (
        _places(arguments) as places,
        open_posting(send, database, arguments.audit_file) as posting,
    ):
        queue = open_queue(posting.relay.outbox.engine)
        pacs = [one for one in posting.endpoints if one.url.startswith("sectra+")]
        runs = LocalRuns(
            out=place.folder,
            fetches={address_of(one, ""): PacsFetch(one, queue) for one in pacs},
            queue=queue,
            posting=posting,
            options=options,
            quiet_s=arguments.quiet_s,
            patience_s=60 * arguments.patience_minutes,
        )
        say(f"working; {queue.counts().get('waiting', 0)} jobs wait; stop with Ctrl-C")
        run_side_by_side(_workers(runs, stop, arguments, places))
        posting.drain(10.0)
    return Exit.OK


def _workers(
    runs: LocalRuns, stop: threading.Event, arguments: WorkArguments, places: int
) -> list[Worker]:
    """One for a device of this machine, which has the next slide ready; of a cluster one for each
    slide that it is to have at once."""
    devices = [f"cluster {n}" for n in range(places)] if arguments.cluster else [arguments.device]
    host, lines = platform.node()[:100], None if arguments.cluster else LocalLines(runs)
    stations = [Station(uuid.uuid4().hex, host, device, software()) for device in devices]
    return [
        Worker(
            queue=runs.queue,
            runs=runs,
            stop=stop,
            name=station.worker_id,
            lines=lines,
            station=station,
        )
        for station in stations
    ]


@contextmanager
def _places(arguments: WorkArguments) -> Iterator[int]:
    """Number of jobs at once.  A cluster stays connected while the block runs."""
    if not arguments.cluster:
        yield 1
        return
    with needs_extra("cluster", InputError):
        from wsi_ai.run.cluster.connecting import connected
        from wsi_ai.run.cluster.settings import AT_HAND
    with connected(arguments.cluster) as session:
        yield arguments.at_once or AT_HAND * max(1, len(session.workers()))
