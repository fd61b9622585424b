"""A flag is kept until it is delivered, once per revision and sink, in order per flag."""

from wsi_ai.delivery.outbox.admin import Line, Mismatch
from wsi_ai.delivery.outbox.backoff import Backoff
from wsi_ai.delivery.outbox.claims import Claimed
from wsi_ai.delivery.outbox.database import open_database
from wsi_ai.delivery.outbox.outbox import Outbox
from wsi_ai.delivery.outbox.states import NO_SINK, State

__all__ = ["NO_SINK", "Backoff", "Claimed", "Line", "Mismatch", "Outbox", "State", "open_database"]
