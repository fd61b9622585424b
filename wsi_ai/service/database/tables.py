"""The service's own tables.  Times are seconds since 1970; ids are text.

Their names begin with ``wsi_ai_``, for a database may be another program's too: a table of the
same name that is there already would be taken for ours.  Beside them stand those of the inbox: the
lines of the worklist, and what changed (``delivery.receiver.tables``).
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from wsi_ai.delivery.receiver.tables import PREFIX

META = MetaData()

schema_version = Table(
    f"{PREFIX}schema", META, Column("version", Integer, primary_key=True), Column("at", Float)
)
"""One row for each step that was made; the highest is what the tables are."""

worker = Table(
    f"{PREFIX}worker",
    META,
    Column("worker_id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("software", Text, nullable=False),
    Column("models", JSON, nullable=False),
    Column("started", Float, nullable=False),
    Column("beat", Float, nullable=False),
    Column("job_id", Text),
    Column("draining", Boolean, nullable=False),
)
"""A worker by a name that is new at each start; one that has not beaten for a minute is gone."""

watched = Table(
    f"{PREFIX}watched",
    META,
    Column("path", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("unchanged_since", Float, nullable=False),
    Column("state", Text, nullable=False),
    Column("job_id", Text),
    Column("reason", Text),
)
"""A file or folder below a watched one: ``settling``, ``submitted``, ``unrouted``, ``refused``."""

acknowledgement = Table(
    f"{PREFIX}acknowledgement",
    META,
    Column("flag_id", Text, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("by", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("note", Text),
    Column("undone_at", Float),
)

room_op = Table(
    f"{PREFIX}room_op",
    META,
    Column("room", Text, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("op_id", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("by", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("trust", Text),
    Column("note_id", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("body", JSON),
    UniqueConstraint("room", "op_id"),
)
"""Notes on a slide as a log that only grows; ``room`` is the slide's fingerprint, and no body means
that the note was removed."""
Index(f"{PREFIX}room_op_note", room_op.c.room, room_op.c.note_id)

share = Table(
    f"{PREFIX}share",
    META,
    Column("share_id", Text, primary_key=True),
    Column("slide", Text, nullable=False),
    Column("to", Text, nullable=False),
    Column("trust", Text),
    Column("by", Text, nullable=False),
    Column("made", Float, nullable=False),
    Column("until", Float, nullable=False),
)
"""One slide opened to somebody of elsewhere for one consult.  ``to`` is ``subject:…`` or
``trust:…``; ``trust`` is whose slide it is."""
Index(f"{PREFIX}share_to", share.c.to, share.c.slide)

token = Table(
    f"{PREFIX}token",
    META,
    Column("sha256", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("made", Float, nullable=False),
    Column("until", Float),
    Column("revoked", Float),
)
"""Of a machine.  Its rights are those of the subject ``token:NAME``."""

session = Table(
    f"{PREFIX}session",
    META,
    Column("sha256", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("trust", Text),
    Column("claims", JSON, nullable=False),
    Column("made", Float, nullable=False),
    Column("used", Float, nullable=False),
    Column("until", Float, nullable=False),
)
"""Of a person at a browser; ``claims`` are ``NAME=VALUE``, those that rights may be given to."""

right = Table(
    f"{PREFIX}right",
    META,
    Column("right_id", Text, primary_key=True),
    Column("to", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", Float, nullable=False),
    UniqueConstraint("to", "role", "scope"),
)
"""``to`` is ``subject:…``, ``token:…`` or ``claim:NAME=VALUE``; ``scope`` is ``trust:RXX``,
``network:N`` or ``region``."""

act = Table(
    f"{PREFIX}act",
    META,
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("who", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("ids", JSON, nullable=False),
    Column("trust", Text),
    Column("before", Text, nullable=False),
    Column("sha256", Text, nullable=False),
)
"""What people did, each line bound to the one before it."""
