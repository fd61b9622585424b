"""What the administration page shows of the machine: senders, sinks, disk, versions, models."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, func, select, text

from wsi_ai.delivery.outbox.database import reading
from wsi_ai.delivery.outbox.tables import delivery, endpoint
from wsi_ai.delivery.receiver.tables import newest
from wsi_ai.service.access.who import Role, Who, visible

_MOST_MODELS = 100


@dataclass(frozen=True, slots=True)
class SinkLine:
    name: str
    states: Mapping[str, int]
    """Number of deliveries in each."""
    paused_until: float | None
    why: str | None


@dataclass(frozen=True, slots=True)
class Room:
    """On a disk."""

    name: str
    used: int | None
    """Of the database, in bytes."""
    free: int | None


@dataclass(frozen=True, slots=True)
class ModelLine:
    name: str
    weights_sha256: str
    manifest_sha256: str
    flags: int
    last: float


def sinks(engine: Engine, now: float) -> list[SinkLine]:
    """Raises OutputError."""
    by = delivery.c.sink, delivery.c.state
    with reading(engine, "database") as connection:
        rows = connection.execute(select(*by, func.count().label("n")).group_by(*by)).all()
        paused = {row.sink: row for row in connection.execute(select(endpoint))}
    states: dict[str, dict[str, int]] = {name: {} for name in sorted({row.sink for row in rows})}
    for row in rows:
        states[row.sink][row.state] = row.n
    return [_sink(name, found, paused.get(name), now) for name, found in states.items()]


def _sink(name: str, states: Mapping[str, int], paused: Any, now: float) -> SinkLine:
    if paused is None or paused.paused_until <= now:
        return SinkLine(name, states, None, None)
    return SinkLine(name, states, paused.paused_until, paused.why)


def rooms(engine: Engine, folders: Mapping[str, Path]) -> list[Room]:
    """Raises OutputError."""
    with reading(engine, "database") as connection:
        found = [_database(connection)]
    for name, folder in folders.items():
        try:
            found.append(Room(name, None, shutil.disk_usage(folder).free))
        except OSError:
            found.append(Room(name, None, None))
    return found


def _database(connection: Connection) -> Room:
    if connection.dialect.name == "postgresql":
        size = text("SELECT pg_database_size(current_database())")
        return Room("database", connection.scalar(size), None)
    path = Path(connection.engine.url.database or "")
    files = path, path.with_name(f"{path.name}-wal")
    try:
        used = sum(one.stat().st_size for one in files if one.exists())
        return Room("database", used, shutil.disk_usage(path.parent).free)
    except OSError:
        return Room("database", None, None)


def models(engine: Engine, who: Who) -> Sequence[ModelLine]:
    """Of the lines that they administer, each as its newest flag names it.  Raises OutputError."""
    mine = visible(who, Role.ADMIN, newest.c.trust, newest.c.network)
    counted = select(newest.c.model, func.count().label("n"), func.max(newest.c.at).label("last"))
    with reading(engine, "database") as connection:
        rows = connection.execute(
            counted.where(mine)
            .group_by(newest.c.model)
            .order_by(newest.c.model)
            .limit(_MOST_MODELS)
        ).all()
        return [_model(connection, row) for row in rows]


def _model(connection: Connection, row: Any) -> ModelLine:
    found = select(newest.c.flag).where(newest.c.model == row.model, newest.c.at == row.last)
    model = json.loads(connection.scalar(found.limit(1)) or "{}").get("model", {})
    weights, manifest = model.get("weights_sha256", ""), model.get("manifest_sha256", "")
    return ModelLine(row.model, weights, manifest, row.n, row.last)
