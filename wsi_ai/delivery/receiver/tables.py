"""What a receiver keeps, on SQLite or PostgreSQL.  Times are seconds since 1970.

The names begin with ``wsi_ai_``: the tables may stand beside an outbox's, and in a database that
has others.
"""

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, Table, Text

PREFIX = "wsi_ai_"
META = MetaData()
_COUNTED = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by themselves under this very name only."""

arrival = Table(
    f"{PREFIX}arrival",
    META,
    Column("n", _COUNTED, primary_key=True, autoincrement=True),
    Column("event_id", Text, nullable=False, index=True),
    Column("flag_id", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("at", Float, nullable=False),
    Column("became", Text, nullable=False),
)
"""Every event that came, and what it did to the worklist."""

newest = Table(
    f"{PREFIX}newest",
    META,
    Column("flag_id", Text, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("retracted", Boolean, nullable=False),
    Column("silent", Boolean, nullable=False),
    Column("seen", Text, nullable=False),
    Column("same_since", Integer, nullable=False),
    Column("acknowledged", Boolean, nullable=False),
    Column("acknowledged_before", Boolean, nullable=False),
    Column("listed", Boolean, nullable=False),
    Column("urgency", Integer, nullable=False),
    Column("level", Text, nullable=False),
    Column("issued", Text, nullable=False),
    Column("trust", Text),
    Column("network", Text),
    Column("accession", Text),
    Column("slide", Text, nullable=False),
    Column("image_sha256", Text, nullable=False),
    Column("stain", Text),
    Column("model", Text, nullable=False),
    Column("score", Float),
    Column("threshold", Float, nullable=False),
    Column("analysed_fraction", Float, nullable=False),
    Column("quality", Text, nullable=False),
    Column("explanation", Text, nullable=False),
    Column("statement", Text, nullable=False),
    Column("flag", Text, nullable=False),
)
"""The newest revision of each flag, and a line of the worklist.  ``seen`` is a digest of what a
reader sees of it, which is the same since the revision ``same_since``.  ``acknowledged`` is for
whoever keeps acknowledgements; a revision that a reader sees to be another clears it, and then
``acknowledged_before`` says that somebody has to look again.  ``listed`` says whether it is shown.
``seq`` numbers the last change.
``flag`` comes last: a list does not read it."""
_ORDER = newest.c.urgency, newest.c.acknowledged, newest.c.issued, newest.c.flag_id
Index(f"{PREFIX}newest_order", newest.c.listed, *_ORDER)
Index(f"{PREFIX}newest_of_trust", newest.c.trust, newest.c.listed, *_ORDER)
_COUNTED_BY = "listed", "trust", "network", "level", "acknowledged", "model", "stain"
Index(f"{PREFIX}newest_counted", *(newest.c[name] for name in _COUNTED_BY))

heard = Table(
    f"{PREFIX}heard",
    META,
    Column("sender", Text, primary_key=True),
    Column("at", Float, nullable=False),
    Column("told", Text, nullable=False),
    Column("since", Float),
)
"""The last heartbeat of each sender, and since when it says that flags may be missing."""

audit_head = Table(
    f"{PREFIX}audit_head",
    META,
    Column("n", _COUNTED, primary_key=True, autoincrement=True),
    Column("sender", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("lines", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Index(f"{PREFIX}audit_head_sender", "sender", "n"),
)

change = Table(
    f"{PREFIX}change",
    META,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("what", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("trust", Text),
    Column("network", Text),
    Column("at", Float, nullable=False),
)
"""What changed, in one order that every reader sees without a gap; see ``changes.note``."""
