"""What waits for a sink that is not set up, and how another one takes it over."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from wsi_ai.delivery.messages import Endpoint, bare_name
from wsi_ai.delivery.outbox.claims import sinks_in
from wsi_ai.delivery.outbox.states import NO_SINK, OPEN, State
from wsi_ai.delivery.outbox.tables import delivery, event, known_sink


def waiting_elsewhere(connection: Connection, configured: Collection[str]) -> dict[str, int]:
    """By sink that is not among ``configured``: how many deliveries wait for it."""
    found = {}
    for name in sinks_in(connection):
        if name not in configured and name != NO_SINK:
            here = delivery.c.sink == name, delivery.c.state.in_(OPEN)
            found[name] = connection.scalar(select(func.count()).select_from(delivery).where(*here))
    return {name: waits for name, waits in found.items() if waits}


def with_known_names(connection: Connection, endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """An address that a settings file gave one name, now or earlier, is that sink."""
    named = [one for one in endpoints if one.name != bare_name(one.url)]
    for one in named:
        connection.execute(delete(known_sink).where(known_sink.c.name == one.name))
        connection.execute(insert(known_sink).values(name=one.name, url_sha256=_digest(one.url)))
    found: dict[str, Endpoint] = {one.name: one for one in named}
    for one in endpoints:
        if one.name == bare_name(one.url):
            same = select(known_sink.c.name).where(known_sink.c.url_sha256 == _digest(one.url))
            names = list(connection.scalars(same))
            name = names[0] if len(names) == 1 else one.name
            found.setdefault(name, replace(one, name=name))
    return tuple(found.values())


def take_over_bare(connection: Connection, endpoints: Sequence[Endpoint], now: float) -> int:
    """Give what was put for a bare address to the sink that has a name for it now, with all that is
    known of it.  Returns how many deliveries changed hands."""
    changed = 0
    for one in endpoints:
        if one.name != bare_name(one.url):
            other = delivery.alias("other")
            there = (
                select(other.c.sink)
                .where(other.c.event_id == delivery.c.event_id, other.c.sink == one.name)
                .exists()
            )
            mine = delivery.c.sink == bare_name(one.url), delivery.c.state != State.INFLIGHT
            taken = update(delivery).where(*mine, _takes(one), ~there)
            changed += connection.execute(taken.values(sink=one.name, changed=now)).rowcount
    return changed


def adopt(connection: Connection, old: str, endpoints: Sequence[Endpoint], now: float) -> int:
    """Have what waits for ``old``, or is dead there, go to the endpoints that take its trust.
    Where one of them was given the flag's like or a newer one already, that is enough."""
    wanted = select(delivery, event.c.trust).join(event, event.c.event_id == delivery.c.event_id)
    left = delivery.c.sink == old, delivery.c.state.in_((*OPEN, State.DEAD))
    rows = connection.execute(wanted.where(*left).order_by(delivery.c.revision)).all()
    adopted = 0
    for row in rows:
        takers = [one.name for one in endpoints if one.takes(row.trust) and one.name != old]
        for name in takers:
            as_new = select(delivery.c.event_id).where(
                delivery.c.flag_id == row.flag_id,
                delivery.c.sink == name,
                delivery.c.revision >= row.revision,
                delivery.c.state != State.SKIPPED,
            )
            if connection.execute(as_new).first() is None:
                kept = {c.name: getattr(row, c.name) for c in delivery.columns}
                again = {"sink": name, "state": State.PENDING, "attempts": 0, "next_at": now}
                more = {"lease_until": None, "changed": now, "last_error": None, "alarmed": False}
                here = delivery.c.event_id == row.event_id, delivery.c.sink == name
                connection.execute(delete(delivery).where(*here))
                connection.execute(insert(delivery).values(kept | again | more))
        if takers:
            here = delivery.c.event_id == row.event_id, delivery.c.sink == old
            gone = {"state": State.SKIPPED, "changed": now, "lease_until": None}
            told = f"adopted by {', '.join(takers)}"
            connection.execute(update(delivery).where(*here).values(**gone, last_error=told))
            adopted += 1
    return adopted


def _takes(endpoint: Endpoint) -> ColumnElement[bool]:
    """Of a delivery: whether its flag's trust is one of the endpoint's."""
    trusts = select(event.c.event_id).where(event.c.event_id == delivery.c.event_id)
    if endpoint.trusts is not None:
        trusts = trusts.where(event.c.trust.in_(sorted(endpoint.trusts)))
    return trusts.exists()


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()
