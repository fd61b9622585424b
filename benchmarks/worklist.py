"""The worklist of a region: a page of 100 of 18,000 lines, on SQLite and PostgreSQL.

    python benchmarks/worklist.py [--lines 18000] [--rounds 60] [--json] [URL …]

Each URL is a database of its own that is empty; without any, a file of SQLite and, where there is
one on this machine, a PostgreSQL that lives as long as this does.  A page is all that ``GET /``
does, over ASGI and without a network: rights, lines, counts, the red band, and HTML.
"""

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx
from sqlalchemy import Engine, insert, text
from starlette.applications import Starlette
from starlette.requests import HTTPConnection

from tests.delivery.servers import postgres
from wsi_ai.core.flags import Level
from wsi_ai.core.timing import timestamp
from wsi_ai.delivery.receiver.changes import LINE, note
from wsi_ai.delivery.receiver.line import columns_of
from wsi_ai.delivery.receiver.tables import newest
from wsi_ai.service.access.who import REGION, Right, Role, Scope, Who
from wsi_ai.service.database.opening import open_service_database
from wsi_ai.service.pages.parts import PageParts
from wsi_ai.service.pages.routes import page_routes
from wsi_ai.service.queue import Queue
from wsi_ai.service.worklist import lines
from wsi_ai.service.worklist.filters import Filters
from wsi_ai.testing import example_body

TRUSTS, NETWORKS, MODELS, STAINS = 17, 4, ("tumour 1.0.0", "mitosis 2.1.0"), ("H&E", "Ki-67", None)
_SHARES = (0.1, 0.1, 0.8)
_DAYS_S = 3 * 86_400


def seed_lines(engine: Engine, number: int, seed: int = 1) -> None:
    """Lines of 17 trusts in 4 networks: a tenth to expedite, a tenth not assessed, and a tenth of
    all acknowledged."""
    chance, now = random.Random(seed), time.time()
    templates = {
        level: columns_of(example_body(str(uuid.uuid4()), level), "evt") for level in Level
    }
    rows = []
    for n in range(number):
        trust = n % TRUSTS
        level = chance.choices([Level.EXPEDITE, Level.NOT_ASSESSED, Level.STANDARD], _SHARES)[0]
        issued = datetime.fromtimestamp(now - chance.random() * _DAYS_S, UTC)
        flag_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        own = {
            "flag_id": flag_id, "event_id": f"evt_{n}", "at": now, "seq": 1, "silent": False,
            "same_since": 1, "acknowledged": chance.random() < 0.1, "acknowledged_before": False,
            "listed": True, "issued": timestamp(issued), "trust": f"R{trust:02d}",
            "network": f"N{trust % NETWORKS}", "accession": f"S26-{n:05d}",
            "slide": f"S26-{n:05d}-A1", "image_sha256": f"{n:064x}", "stain": STAINS[n % 3],
            "model": MODELS[n % 2],
        }  # fmt: skip
        rows.append(templates[level] | own)
    with engine.begin() as connection:
        connection.execute(insert(newest), rows)
        connection.execute(text("ANALYZE"))  # as a database does by itself after a minute
        note(connection, LINE, rows[0]["flag_id"], now)


@contextmanager
def databases() -> Iterator[list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        lite = str(Path(folder) / "service.db")
        try:
            with postgres() as url:
                yield [lite, url]
        except BaseException as error:
            if type(error).__name__ != "Skipped":
                raise
            yield [lite]


class _As:
    """A door for one person."""

    def __init__(self, who: Who) -> None:
        self._who = who

    def who(self, connection: HTTPConnection) -> Who:
        return self._who


def reader(*scopes: Scope) -> Who:
    rights = {Right(role, one) for one in scopes for role in (Role.READ, Role.ACKNOWLEDGE)}
    return Who("subject:benchmark", "benchmark", frozenset(rights), trust="R03")


PEOPLE = {
    "region": reader(REGION),
    "network": reader(Scope("network", "N1")),
    "trust": reader(Scope("trust", "R03")),
}
PAGES = {
    "first page": "/",
    "one level": "/?level=standard",
    "one trust": "/?trust=R03",
    "unacknowledged, one model": "/?acknowledged=no&model=mitosis+2.1.0",
    "deep page": "",
    "acknowledged, rare": "/?acknowledged=yes&stain=Ki-67&level=standard",
}


def app(engine: Engine, who: Who) -> Starlette:
    parts = PageParts(engine, _As(who), time.time, Queue(engine, time.time, random.Random(1)))
    return Starlette(routes=page_routes(parts))


def measured_ms(fetch: Callable[[], None], rounds: int) -> tuple[float, float, float]:
    """p50 and p95, and the processor's time of this process alone."""
    taken, start_cpu = [], time.process_time()
    for _ in range(rounds):
        start = time.perf_counter()
        fetch()
        taken.append((time.perf_counter() - start) * 1e3)
    cpu = (time.process_time() - start_cpu) * 1e3 / rounds
    return statistics.median(taken), statistics.quantiles(taken, n=20)[18], cpu


def measure(engine: Engine, rounds: int) -> Iterator[dict[str, object]]:
    deep = lines.page(engine, PEOPLE["region"], Filters(), most=9000).lines[-1].key
    for name, who in PEOPLE.items():
        transport = httpx.ASGITransport(app(engine, who))
        client = httpx.AsyncClient(transport=transport, base_url="http://localhost")
        with asyncio.Runner() as runner:
            for page, path in PAGES.items():
                fetch = partial(_fetch, runner, client, path or f"/?after={deep}")
                fetch()
                p50, p95, cpu = (round(one, 1) for one in measured_ms(fetch, rounds))
                figures = {"p50_ms": p50, "p95_ms": p95, "cpu_ms": cpu}
                yield {"database": engine.dialect.name, "reads": name, "page": page} | figures


def _fetch(runner: asyncio.Runner, client: httpx.AsyncClient, path: str) -> None:
    answer = runner.run(client.get(path))
    assert answer.status_code == 200, answer.text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("urls", nargs="*")
    parser.add_argument("--lines", type=int, default=18_000)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    with databases() as own:
        for url in wanted.urls or own:
            engine = open_service_database(url)
            seed_lines(engine, wanted.lines)
            for figure in measure(engine, wanted.rounds):
                if wanted.json:
                    print(json.dumps(figure))
                else:
                    print(
                        f"{figure['database']:<11}{figure['reads']:<9}{figure['page']:<27}"
                        f"p50 {figure['p50_ms']:>6} ms  p95 {figure['p95_ms']:>6} ms"
                        f"  processor {figure['cpu_ms']:>5} ms"
                    )
            engine.dispose()


if __name__ == "__main__":
    main()
