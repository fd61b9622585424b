"""``/metrics`` for Prometheus: what the database says at the moment of asking, so that every
process answers alike.  No slide, case or person is in a label."""

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from sqlalchemy import Connection, Engine, Select, func, select
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from wsi_ai.core.timing import DAY_S
from wsi_ai.delivery.outbox import State
from wsi_ai.delivery.outbox.database import reading
from wsi_ai.delivery.outbox.outbox import Clock
from wsi_ai.delivery.outbox.tables import delivery, event
from wsi_ai.errors import OutputError
from wsi_ai.service import workers
from wsi_ai.service.jobs import JobState, Priority, job


@dataclass(frozen=True, slots=True)
class Figures(Collector):
    """Raises OutputError where the database is away: then there is nothing to say, and the scrape
    fails, which is an alarm of its own."""

    engine: Engine
    clock: Clock

    def collect(self) -> Iterator[Metric]:
        now = self.clock()
        with reading(self.engine) as connection:
            yield _jobs(connection)
            yield _oldest(connection, now)
            yield _seconds(connection, now)
            yield _delays(connection, now)
            yield _lost(connection)
            yield _deliveries(connection)
        yield _workers(self.engine, now)


def metrics(engine: Engine, clock: Clock, request: Request) -> Response:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Figures(engine, clock))
    try:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
    except OutputError as error:
        return PlainTextResponse(f"{error}\n", 503)


def _jobs(connection: Connection) -> Metric:
    gauge = GaugeMetricFamily(
        "wsi_ai_jobs", "Jobs by state and priority.", labels=["state", "priority"]
    )
    counted = select(job.c.state, job.c.priority, func.count().label("n"))
    found = connection.execute(counted.group_by(job.c.state, job.c.priority))
    there = {(row.state, row.priority): row.n for row in found}
    for state in JobState:
        for priority in Priority:
            gauge.add_metric([state, priority], there.get((state.value, priority.value), 0))
    return gauge


def _oldest(connection: Connection, now: float) -> Metric:
    gauge = GaugeMetricFamily(
        "wsi_ai_oldest_waiting_seconds",
        "Age of the oldest job that waits; 0 where none does.",
        labels=["priority"],
    )
    oldest = select(job.c.priority, func.min(job.c.created).label("at"))
    waiting = oldest.where(job.c.state == JobState.WAITING).group_by(job.c.priority)
    there = {row.priority: row.at for row in connection.execute(waiting)}
    for priority in Priority:
        at = there.get(priority.value)
        gauge.add_metric([priority], 0.0 if at is None else max(0.0, now - at))
    return gauge


def _seconds(connection: Connection, now: float) -> Metric:
    """Of jobs of the last day: the mean says which stage grows."""
    gauge = GaugeMetricFamily(
        "wsi_ai_slide_seconds",
        "Mean seconds of a slide in a stage, of the last day's slides.",
        labels=["stage"],
    )
    sums: dict[str, list[float]] = {}
    for row in connection.execute(_finished(now)):
        for stage, seconds in (row.seconds or {}).items():
            sums.setdefault(stage, []).append(float(seconds))
    for stage, found in sorted(sums.items()):
        gauge.add_metric([stage], sum(found) / len(found))
    return gauge


def _delays(connection: Connection, now: float) -> Metric:
    """From the first time that a flag was put to its delivery, of the last day's."""
    gauge = GaugeMetricFamily(
        "wsi_ai_flag_delay_seconds",
        "Seconds from a flag to its delivery, of the last day's.",
        labels=["sink", "quantile"],
    )
    arrived = select(delivery.c.sink, delivery.c.created, delivery.c.changed)
    recent = arrived.where(delivery.c.state == State.DELIVERED, delivery.c.changed > now - DAY_S)
    by_sink: dict[str, list[float]] = {}
    for row in connection.execute(recent):
        by_sink.setdefault(row.sink, []).append(row.changed - row.created)
    for sink, found in sorted(by_sink.items()):
        for quantile in ("0.5", "0.95"):
            gauge.add_metric([sink, quantile], _quantile(sorted(found), float(quantile)))
    return gauge


def _lost(connection: Connection) -> Metric:
    gauge = GaugeMetricFamily(
        "wsi_ai_attempts_lost",
        "Attempts of jobs in the table that ended with their worker, or by a mistake.",
    )
    lost = select(func.sum(job.c.attempt - job.c.given_back)).where(job.c.attempt > 0)
    once = select(func.count()).where(job.c.attempt > 0, job.c.state != JobState.WAITING)
    total = (connection.scalar(lost) or 0) - (connection.scalar(once) or 0)
    gauge.add_metric([], max(0, total))
    return gauge


def _deliveries(connection: Connection) -> Metric:
    gauge = GaugeMetricFamily(
        "wsi_ai_deliveries", "Flags by sink, state and level.", labels=["sink", "state", "level"]
    )
    counted = (
        select(delivery.c.sink, delivery.c.state, event.c.level, func.count().label("n"))
        .join(event, event.c.event_id == delivery.c.event_id)
        .group_by(delivery.c.sink, delivery.c.state, event.c.level)
    )
    for row in connection.execute(counted):
        gauge.add_metric([row.sink, row.state, row.level], row.n)
    return gauge


def _workers(engine: Engine, now: float) -> Metric:
    gauge = GaugeMetricFamily(
        "wsi_ai_worker_up", "1 where a worker beats, 0 where it is gone.", labels=["host", "device"]
    )
    for one in workers.up(engine, now):
        gauge.add_metric([one.host, one.device], 0.0 if one.gone else 1.0)
    return gauge


def _finished(now: float) -> Select[tuple[dict[str, float]]]:
    return (
        select(job.c.seconds)
        .where(job.c.state == JobState.DONE, job.c.created > now - DAY_S)
        .limit(20_000)
    )


def _quantile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]
