"""Flags on their way: how fast, how late, and what is lost when everything fails.

    python benchmarks/flags.py [--json] [--flags 10000] [--kills 20]

Every figure of delivery is measured with real processes over real sockets: the relay, and the
reference receiver, each in its own.  The outbox is an SQLite file on the disk that TMPDIR names.
How early a flag is raised is measured by time_to_flag.py, and told here too.
"""

import argparse
import base64
import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpcore
import uvicorn
from fastapi import FastAPI, Request, Response

from wsi_ai.core.flags import Level
from wsi_ai.delivery.contract import Sink
from wsi_ai.delivery.messages import Credentials, Endpoint, Secret
from wsi_ai.delivery.outbox import Backoff, Outbox, State, open_database
from wsi_ai.delivery.receiver.inbox import open_inbox
from wsi_ai.delivery.receiver.web import Access, receiver
from wsi_ai.delivery.relay import Pace, Relay
from wsi_ai.delivery.sinks.webhook import open_sink
from wsi_ai.testing import example_body

KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()
HOST = "127.0.0.1"
SEED = 6
IMPATIENT = Backoff(steps_s=(0.1, 0.2, 0.5), urgent_most_s=0.5, failures_in_a_row=1000)
"""The schedule's shape in little, so that hours fit into minutes."""


@dataclass(frozen=True)
class Figure:
    name: str
    value: float | str
    target: float | str


def endpoint(base: str) -> Endpoint:
    return Endpoint(
        name="region",
        url=f"{base}/flags",
        trusts=frozenset({"RXX"}),
        credentials=Credentials((lambda: Secret(KEY.encode()),)),
        timeout_s=1.0,
        read_back=f"{base}/flags",
        allowed_hosts=frozenset({HOST}),
    )


def outbox_at(database: str, schedule: Backoff | None = None) -> Outbox:
    return Outbox(open_database(database), time.time, random.SystemRandom(), schedule or Backoff())


# The processes ------------------------------------------------------------------------------------


def serve(store: str, port: int, failing: float) -> None:
    """The reference receiver, which fails a share of all requests: half of those before it took the
    flag, half after, by an error or by hanging up."""
    chance = random.Random(SEED)
    app = receiver(open_inbox(store), Access((KEY,)), time.time)
    if failing:
        _make_fail(app, failing, chance)
    uvicorn.run(app, host=HOST, port=port, log_level="error", access_log=False)


def _make_fail(app: FastAPI, share: float, chance: random.Random) -> None:
    @app.middleware("http")
    async def fail(request: Request, go_on: Callable[[Request], Any]) -> Response:
        if request.method != "POST" or chance.random() >= share:
            answer: Response = await go_on(request)
            return answer
        if chance.random() < 0.5:
            await go_on(request)
        return Response(status_code=chance.choice([500, 502, 503, 504, 429, 408]))


def relay_on(database: str, base: str) -> None:
    """A relay that is in a hurry, until it is killed."""
    with two_connections(base) as sinks:
        relay = Relay(outbox_at(database, IMPATIENT), sinks, Pace(lease_s=1.0, idle_s=0.02))
        relay.run(threading.Event())


@contextmanager
def two_connections(base: str) -> Iterator[list[Sink]]:
    """As ``wsi-ai relay`` has them."""
    with closing(open_sink(endpoint(base))) as one, closing(open_sink(endpoint(base))) as other:
        yield [one, other]


def words(*told: object) -> list[str]:
    """That start one of the processes above."""
    return [sys.executable, __file__, *map(str, told)]


@contextmanager
def process(*told: object) -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen(words(*told))
    try:
        yield started
    finally:
        started.kill()
        started.wait()


@contextmanager
def receiving(store: str, failing: float = 0.0) -> Iterator[str]:
    with socket.socket() as door:
        door.bind((HOST, 0))
        port = door.getsockname()[1]
    with process("serve", store, port, failing):
        end = time.monotonic() + 30
        while not _is_up(f"http://{HOST}:{port}/health"):
            if time.monotonic() > end:
                raise TimeoutError("the receiver did not start")
            time.sleep(0.05)
        yield f"http://{HOST}:{port}"


def _is_up(url: str) -> bool:
    try:
        return httpcore.request("GET", url).status == 200
    except httpcore.ConnectError:
        return False


# The figures --------------------------------------------------------------------------------------


def relay_speed(folder: Path, flags: int = 3000) -> Figure:
    """Flags per second that one relay takes from the outbox to a receiver on this machine, which
    keeps them in memory: so that it is the relay's speed, not the receiver's disk's."""
    outbox = outbox_at(str(folder / "speed.db"))
    with receiving(":memory:") as base, two_connections(base) as sinks:
        for _ in range(flags):
            outbox.put(example_body(str(uuid.uuid4())), [sinks[0].endpoint])
        began = time.perf_counter()
        with Relay(outbox, sinks).running():
            while outbox.waiting():
                time.sleep(0.05)
        took = time.perf_counter() - began
    outbox.engine.dispose()
    return Figure("relay flags per second, SQLite to a local receiver", round(flags / took), 500)


def latency(folder: Path, flags: int = 200) -> list[Figure]:
    """Seconds from a level that is decided to the receiver's answer, the relay running in the
    same process as the run, or in one of its own."""
    return [
        Figure(f"s from decision to receipt, p99, relay {where}", measure(folder, flags), 1.0)
        for where, measure in (("in the run", _inside), ("as a service", _outside))
    ]


def _inside(folder: Path, flags: int) -> float:
    outbox = outbox_at(str(folder / "inside.db"))
    with receiving(str(folder / "inside-store.db")) as base, two_connections(base) as sinks:
        relay = Relay(outbox, sinks)
        with relay.running():
            waits = [_wait(outbox, sinks[0].endpoint, relay.wake) for _ in range(flags)]
    outbox.engine.dispose()
    return _p99(waits)


def _outside(folder: Path, flags: int) -> float:
    database = str(folder / "outside.db")
    outbox = outbox_at(database)
    with receiving(str(folder / "outside-store.db")) as base, process("relay", database, base):
        waits = [_wait(outbox, endpoint(base), lambda: None) for _ in range(flags)]
    outbox.engine.dispose()
    return _p99(waits[5:])  # the relay's own start


def _wait(outbox: Outbox, where: Endpoint, wake: Callable[[], None]) -> float:
    began = time.perf_counter()
    outbox.put(example_body(str(uuid.uuid4())), [where])
    wake()
    while outbox.waiting():
        time.sleep(0.002)
    return time.perf_counter() - began


def _p99(waits: list[float]) -> float:
    return round(sorted(waits)[int(0.99 * len(waits))], 3)


def faults(folder: Path, flags: int, kills: int) -> list[Figure]:
    """So many flags, every fifth of them amended, through a receiver that fails a third of the time
    at random, while the relay is killed again and again."""
    database, store = str(folder / "faults.db"), str(folder / "faults-store.db")
    outbox, chance = outbox_at(database), random.Random(SEED)
    expected: dict[str, int] = {}
    with receiving(store, failing=1 / 3) as base:
        putter = threading.Thread(target=_put_all, args=(outbox, endpoint(base), flags, expected))
        putter.start()
        done = _kill_again_and_again(database, base, kills, chance)
        putter.join()
        with process("relay", database, base):
            while outbox.waiting():
                time.sleep(0.1)
        dead = len(list(outbox.all_lines((State.DEAD,))))
    outbox.engine.dispose()
    inbox = open_inbox(store)
    arrivals, held = inbox.arrivals(), {f["flag_id"]: f["revision"] for f in inbox.held()}
    inbox.close()
    return [
        Figure("flags put", len(expected), flags),
        Figure("times the relay was killed", done, kills),
        Figure("flags lost", _lost(expected, held) + dead, 0),
        Figure("flags out of order", _out_of_order(arrivals), 0),
        Figure("duplicates with another event id", _renamed(arrivals), 0),
        Figure("duplicates with the same event id", _repeated(arrivals), "any"),
    ]


def _put_all(outbox: Outbox, where: Endpoint, flags: int, expected: dict[str, int]) -> None:
    for n in range(flags):
        name = str(uuid.uuid4())
        expected[name] = outbox.put(example_body(name, Level.EXPEDITE, 0.6), [where])["revision"]
        if n % 5 == 0:
            again = outbox.put(example_body(name, Level.EXPEDITE, 0.9), [where])
            expected[name] = again["revision"]
        if n % 5 == 1 and n > 50:  # long after the first revision went out
            older = next(k for k in list(expected)[-50:] if expected[k] == 1)
            amended = outbox.put(example_body(older, Level.EXPEDITE, 0.9), [where])
            expected[older] = amended["revision"]


def _kill_again_and_again(database: str, base: str, kills: int, chance: random.Random) -> int:
    for _ in range(kills):
        with process("relay", database, base) as relay:
            time.sleep(1.5 + chance.uniform(0, 1.5))  # it needs a second to start
            relay.send_signal(signal.SIGKILL)
            if relay.wait() != -signal.SIGKILL:
                raise AssertionError("the relay ended by itself")
    return kills


Arrivals = list[tuple[str, str, int, str]]


def _lost(expected: dict[str, int], held: dict[str, int]) -> int:
    return sum(held.get(name) != revision for name, revision in expected.items())


def _out_of_order(arrivals: Arrivals) -> int:
    """Flags of which some revision came for the first time after a newer one."""
    newest: dict[str, int] = {}
    seen, wrong = set(), set()
    for event_id, flag_id, revision, _ in arrivals:
        if event_id not in seen and revision < newest.get(flag_id, 0):
            wrong.add(flag_id)
        seen.add(event_id)
        newest[flag_id] = max(revision, newest.get(flag_id, 0))
    return len(wrong)


def _renamed(arrivals: Arrivals) -> int:
    names: dict[tuple[str, int], set[str]] = {}
    for event_id, flag_id, revision, _ in arrivals:
        names.setdefault((flag_id, revision), set()).add(event_id)
    return sum(len(ids) > 1 for ids in names.values())


def _repeated(arrivals: Arrivals) -> int:
    return len(arrivals) - len({event_id for event_id, *_ in arrivals})


def time_to_flag() -> list[Figure]:
    """See time_to_flag.py, which also makes a table of it."""
    import time_to_flag as early

    return [Figure(*row) for row in early.figures(early.measured())]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--flags", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = [relay_speed(folder), *latency(folder)]
        figures += faults(folder, asked.flags, asked.kills)
    figures += time_to_flag()
    for figure in figures:
        print(json.dumps(vars(figure)) if asked.json else f"{figure.name}: {figure.value}")
    return 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", store, port, failing]:
            serve(store, int(port), float(failing))
        case ["relay", database, base]:
            relay_on(database, base)
        case _:
            sys.exit(main())
