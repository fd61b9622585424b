"""A worker of benchmarks/service.py whose slides take a set time, and no pixels: it claims, posts a
flag through the outbox, and is done; it prints when each job began.

    python -m benchmarks.service_stand_in DATABASE SECONDS
"""

import random
import signal
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from wsi_ai.core.flags import Identity, Level
from wsi_ai.delivery.posting import Posting, open_posting
from wsi_ai.service.database.opening import make_service_tables
from wsi_ai.service.job_post import JobPost
from wsi_ai.service.job_watch import JobWatch
from wsi_ai.service.jobs import Job
from wsi_ai.service.queue import Answer, Queue
from wsi_ai.service.work import Pace, Worker
from wsi_ai.service.workers import Station
from wsi_ai.testing import example_body

LEVELS = [Level.EXPEDITE, Level.NOT_ASSESSED, Level.STANDARD]


@dataclass(frozen=True, slots=True)
class StandIn:
    """See ``work.Runs``."""

    queue: Queue
    posting: Posting
    seconds: float
    chance: random.Random

    def run(self, mine: Job, watch: JobWatch) -> Answer:
        print(f"began {mine.job_id} {time.time():.4f}", flush=True)
        until = time.monotonic() + self.seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(0.1, left))
            watch.passed(1)
        return self._said(mine, self.chance.choices(LEVELS, (0.1, 0.1, 0.8))[0])

    def give_up(self, mine: Job, reason: str) -> Answer:
        return self._said(mine, Level.NOT_ASSESSED)

    def _said(self, mine: Job, level: Level) -> Answer:
        case = mine.asked.case
        identity = Identity(case["trust"], case["accession"], case["slide_id"])
        body = example_body(str(uuid.uuid5(uuid.NAMESPACE_OID, mine.job_id)), level, 0.9, identity)
        post = JobPost(self.posting, self.queue, mine)
        post.put(body)
        return Answer(level=level.value, reason="a stand-in", flag_ids=post.flag_ids)


def main(database: str, seconds: float) -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    sink = f"worklist+{database}" if "://" in database else f"worklist://{Path(database).resolve()}"
    audit = Path(sys.argv[3])
    with open_posting([sink], database, audit) as posting:
        engine = posting.relay.outbox.engine
        make_service_tables(engine)
        queue = Queue(engine, time.time, random.SystemRandom())
        name = uuid.uuid4().hex
        runs = StandIn(queue, posting, seconds, random.Random(name))
        station = Station(name, "benchmark", f"stand-in {name[:4]}", "benchmark")
        Worker(queue, runs, stop, Pace(idle_s=0.25), name, station=station).run()
        posting.drain(10)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
