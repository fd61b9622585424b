"""The queue's jobs on a cluster: several at once, each with its own case and its own flag."""

import os
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tests.models_for_tests import red_network, write_model
from tests.service.conftest import asked
from tests.service.test_work import FAST, posting_in
from tests.stand_in_runs import write_slide
from wsi_ai.app import RunOptions
from wsi_ai.service.local_runs import LocalRuns
from wsi_ai.service.work import Worker, run_side_by_side

NAMES = "a", "b", "c"


def test_jobs_run_on_a_cluster_and_each_flag_is_of_its_own_case(
    tmp_path: Path, local_cluster: str
) -> None:
    model = write_model(tmp_path / "red", red_network(), mpp=0.5)
    (tmp_path / "out").mkdir()
    stop = threading.Event()
    with posting_in(tmp_path) as (posting, queue):
        for seed, name in enumerate(NAMES):
            path = write_slide(tmp_path / f"{name}.tif", seed=seed)
            os.utime(path, (1, 1))
            case = {"trust": "RXX", "accession": f"S26-{name}", "slide_id": f"S26-{name}-1"}
            queue.submit(replace(asked(), slide_uri=path.as_uri(), models=(str(model),), case=case))
        options = RunOptions(cluster=local_cluster, device="cpu")
        runs = LocalRuns(tmp_path / "out", queue, posting, options, quiet_s=0)
        watching = threading.Thread(target=_stop_when_done, args=(queue, stop))
        watching.start()
        run_side_by_side([Worker(queue, runs, stop, FAST) for _ in range(2)])
        watching.join()
        assert queue.counts() == {"done": 3}
        flags = list(posting.relay.outbox.flags())
    accessions = {
        flag["case"]["accession"]["value"]: flag["slide"]["slide_id"]["value"] for flag in flags
    }
    assert accessions == {f"S26-{name}": f"S26-{name}-1" for name in NAMES}


def _stop_when_done(queue: object, stop: threading.Event) -> None:
    for _ in range(600):
        with suppress(Exception):
            if queue.counts().get("done") == len(NAMES):  # type: ignore[attr-defined]
                break
        stop.wait(0.1)
    stop.set()
