"""Two outboxes that do not know of each other ask the same questions of one receiver.

    python -m tests.delivery.two_outboxes [--kills 50] [--flags 300] [--database sqlite|postgresql]

Each outbox has a relay in a process of its own, killed again and again (SIGKILL), while the
receiver fails a third of all requests.  At the end every flag must be held as the last word of the
outbox that spoke last, and nothing that was put may be dead.
"""

import argparse
import itertools
import random
import signal
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.flags import endpoint, outbox_at, process, receiving, words
from tests.delivery.servers import empty_database, postgres
from wsi_ai.core.flags import Level
from wsi_ai.delivery.events import answer_digest
from wsi_ai.delivery.outbox import Outbox, State
from wsi_ai.delivery.receiver.inbox import Became, Inbox, open_inbox
from wsi_ai.testing import example_body

SEED = 13


@dataclass(frozen=True)
class Found:
    kills: int
    conflicts: int
    lost: int
    """Flags of which the receiver holds nothing, or no more than an answer that was replaced."""
    out_of_order: int
    """Revisions that the receiver took though it held a higher one."""
    wrong: int
    """Flags of which the receiver holds an answer that is not the last word of either outbox."""
    dead: int


def measured(folder: Path, databases: Sequence[str], flags: int, kills: int) -> Found:
    outboxes = [outbox_at(database) for database in databases]
    names = [str(uuid.UUID(int=random.Random(SEED + n).getrandbits(128))) for n in range(flags)]
    store, said = str(folder / "store.db"), [dict[str, str](), dict[str, str]()]
    with receiving(store, failing=1 / 3) as base:
        putters = [
            threading.Thread(target=_put_all, args=(outbox, base, names, answers, n))
            for n, (outbox, answers) in enumerate(zip(outboxes, said, strict=True))
        ]
        for putter in putters:
            putter.start()
        _kill_again_and_again(databases, base, kills)
        for putter in putters:
            putter.join()
        with _relays(databases, base):
            end = time.monotonic() + 300
            while any(outbox.waiting() for outbox in outboxes):
                assert time.monotonic() < end, "what waits does not go out"
                time.sleep(0.1)
    dead = sum(len(list(outbox.all_lines((State.DEAD,)))) for outbox in outboxes)
    for outbox in outboxes:
        outbox.engine.dispose()
    return _judged(open_inbox(store), names, said, (kills, dead))


def _put_all(outbox: Outbox, base: str, names: list[str], answers: dict[str, str], n: int) -> None:
    """Every flag of both; the second outbox gives other answers, and now and then another one."""
    chance, order = random.Random(SEED * 7 + n), list(names)
    chance.shuffle(order)
    for name in order:
        for _ in range(chance.choice([1, 1, 2])):
            level = chance.choice([Level.EXPEDITE, Level.STANDARD])
            score = 0.5 + chance.random() / 2 if level is Level.EXPEDITE else chance.random() / 2
            body = example_body(name, level, round(score, 6))
            answers[name] = answer_digest(body)
            outbox.put(body, [endpoint(base)])
        time.sleep(chance.random() * 0.05)


def _kill_again_and_again(databases: Sequence[str], base: str, kills: int) -> None:
    chance = random.Random(SEED)
    running = {database: _started(database, base) for database in databases}
    for database in itertools.islice(itertools.cycle(databases), kills):
        time.sleep(0.7 + chance.uniform(0, 0.6))
        running[database].send_signal(signal.SIGKILL)
        assert running[database].wait() == -signal.SIGKILL
        running[database] = _started(database, base)
    for one in running.values():
        one.kill()
        one.wait()


def _started(database: str, base: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(words("relay", database, base))


@contextmanager
def _relays(databases: Sequence[str], base: str) -> Iterator[None]:
    with process("relay", databases[0], base), process("relay", databases[1], base):
        yield


def _judged(
    inbox: Inbox, names: list[str], said: list[dict[str, str]], counted: tuple[int, int]
) -> Found:
    held = {line["flag_id"]: line for line in inbox.held()}
    arrivals = inbox.arrivals()
    inbox.close()
    last = {name: {answers[name] for answers in said} for name in names}
    missing = [name for name in names if name not in held]
    wrong = [n for n in names if n in held and held[n]["answer_digest"] not in last[n]]
    newest: dict[str, int] = {}
    backwards = 0
    for _, flag_id, revision, became in arrivals:
        if became == Became.NEWEST:
            backwards += revision <= newest.get(flag_id, 0)
            newest[flag_id] = revision
    conflicts = sum(became == Became.CONFLICT for *_, became in arrivals)
    return Found(counted[0], conflicts, len(missing), backwards, len(wrong), counted[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--flags", type=int, default=300)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.database == "sqlite":
            print(measured(folder, _files(folder), asked.flags, asked.kills))
            return
        with postgres() as first, postgres() as second:
            for url in (first, second):
                empty_database(url)
            print(measured(folder, [first, second], asked.flags, asked.kills))


def _files(folder: Path) -> list[str]:
    return [str(folder / "one.db"), str(folder / "other.db")]


if __name__ == "__main__":
    main()
