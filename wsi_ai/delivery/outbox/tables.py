"""The outbox's tables, on SQLite or PostgreSQL."""

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

META = MetaData()

event = Table(
    "event",
    META,
    Column("event_id", Text, primary_key=True),
    Column("flag_id", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("level", Text, nullable=False),
    Column("trust", Text),
    Column("model_name", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("answer_sha256", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("body_sha256", Text, nullable=False),
    Column("created", Float, nullable=False),
    UniqueConstraint("flag_id", "revision"),
    Index("event_model", "model_name", "model_version"),
    Index("event_recall", "model_name", "model_version", "flag_id", "revision"),
)
"""One revision of one flag, as it is sent.  Never changed."""

delivery = Table(
    "delivery",
    META,
    Column("event_id", Text, primary_key=True),
    Column("sink", Text, primary_key=True),
    Column("flag_id", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_at", Float, nullable=False),
    Column("lease_until", Float),
    Column("changed", Float, nullable=False),
    Column("created", Float, nullable=False),
    Column("last_code", Integer),
    Column("last_error", Text),
    Column("reference", Text),
    Column("alarmed", Boolean, nullable=False, default=False),
    Index("delivery_due", "sink", "state", "rank", "next_at"),
    Index("delivery_order", "flag_id", "sink", "revision"),
    Index("delivery_listed", "state", "created", "revision", "event_id", "sink"),
    Index("delivery_changed", "state", "changed"),
    Index("delivery_alarm", "alarmed", "rank", "state", "created"),
)
"""How far an event has come at one sink.  ``rank`` 0 goes first; ``changed`` is when the row was
last decided on, so that a clock that was set back is noticed."""

endpoint = Table(
    "endpoint",
    META,
    Column("sink", Text, primary_key=True),
    Column("paused_until", Float, nullable=False),
    Column("changed", Float, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("why", Text),
)
"""Sinks that failed lately as a whole."""

held_elsewise = Table(
    "held",
    META,
    Column("sink", Text, primary_key=True),
    Column("flag_id", Text, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("retracted", Boolean, nullable=False),
)
"""What a receiver said that it holds of a flag, where that came from another outbox."""

addressed = Table(
    "addressed",
    META,
    Column("event_id", Text, primary_key=True),
    Column("sink", Text, primary_key=True),
    Column("supersedes", Text, nullable=False),
)
"""What a revision said at a sink that it follows, so that it says the same every time."""

unrecorded = Table("unrecorded", META, Column("event_id", Text, primary_key=True))
"""Events that the audit does not tell of yet."""

known_sink = Table(
    "sink",
    META,
    Column("name", Text, primary_key=True),
    Column("url_sha256", Text, nullable=False),
)
"""Sinks that a settings file gave a name."""

about = Table("about", META, Column("name", Text, primary_key=True), Column("value", Text))
"""Of the outbox itself: its ``id``; ``not_started``, of a run that could not begin; and
``unrouted``, the number of slides without a model."""
