"""A flag is kept until it is delivered, once per revision and sink, in order per flag."""

from wsi_ai.outbox.book import Line, Mismatch
from wsi_ai.outbox.claims import Claimed
from wsi_ai.outbox.outbox import Outbox
from wsi_ai.outbox.schedule import Schedule
from wsi_ai.outbox.states import NO_SINK, State
from wsi_ai.outbox.tables import open_database

__all__ = ["NO_SINK", "Claimed", "Line", "Mismatch", "Outbox", "Schedule", "State", "open_database"]
